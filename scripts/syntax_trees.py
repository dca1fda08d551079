"""The syntax trees of the library, for the checks in this folder; nothing of it is imported."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "ldrestore": "ldrestore",
    "ldrestore.configs": "configs",
    "ldrestore.pipelines": "pipelines",
    "ldrestore.requirements": "requirements",
    "ldrestore.training": "training",
}
"""Package name to folder of the checkout."""
SCRIPTS = "scripts"
"""The folder of what belongs to no package."""

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_DEFERRING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One parsed file."""

    name: str
    """Dotted name; a package's is that of its folder."""
    text: str
    """The source."""
    tree: ast.Module
    """Its syntax tree."""
    is_package: bool
    """Whether the file is an `__init__.py`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """One name that one module imports."""

    source: str
    """The module that imports."""
    target: str
    """The module imported, or "module.attribute" of it."""
    line: int
    """Line of the import statement."""
    is_deferred: bool
    """Whether it runs in a function or is for type checkers alone, so not when the module is imported."""


def parse_module(name: str, text: str, *, is_package: bool = False) -> Module:
    """Parse one module from its source."""
    return Module(name=name, text=text, tree=ast.parse(text, filename=name), is_package=is_package)


def read_modules(root: Path = ROOT) -> list[Module]:
    """Every module of the library, in the order of the names.

    Args:
        root: The checkout.
    """
    modules = []
    for package, folder in PACKAGES.items():
        for path in (root / folder).rglob("*.py"):
            parts = path.relative_to(root / folder).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join((package, *(parts[:-1] if is_package else parts)))
            modules.append(parse_module(name, path.read_text(encoding="utf-8"), is_package=is_package))
    return sorted(modules, key=lambda module: module.name)


def read_scripts(root: Path = ROOT) -> list[Module]:
    """Every file of `scripts/`, which import each other as modules of their own, in the order of the names.

    Args:
        root: The checkout.
    """
    paths = sorted((root / SCRIPTS).glob("*.py"))
    return [parse_module(path.stem, path.read_text(encoding="utf-8")) for path in paths]


def imports_of(module: Module) -> Iterator[Import]:
    """Everything that a module imports, of the library or not; relative imports are left to the linter."""
    for node, is_deferred in _import_statements(module.tree, is_deferred=False):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        else:
            targets = [f"{node.module}.{alias.name}" for alias in node.names if node.level == 0]
        for target in targets:
            yield Import(source=module.name, target=target, line=node.lineno, is_deferred=is_deferred)


def _import_statements(node: ast.AST, *, is_deferred: bool) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    """Import statements below a node, each with whether it is deferred."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, is_deferred
        elif isinstance(child, ast.If) and ast.unparse(child.test).rpartition(".")[2] == "TYPE_CHECKING":
            for branch, defers in ((child.body, True), (child.orelse, is_deferred)):
                yield from _import_statements(ast.Module(branch, []), is_deferred=defers)
        else:
            yield from _import_statements(child, is_deferred=is_deferred or isinstance(child, _DEFERRING))
