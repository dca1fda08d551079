"""Check that a public name means one thing in the whole library, a module's name too, and that variables are nouns.

    python scripts/check_names.py

prints one line for each fault and fails if there is one. Public are the functions, classes and constants at the top of
modules. What every module of a kind offers under one name is listed in INTERFACES, what modules of several rooms are
called by their kind in KINDS; what still has to be renamed in KNOWN_TWICE, which may only shrink.
"""

import ast
import sys
from collections import defaultdict
from pathlib import Path

from syntax_trees import ROOT, Module, parse_module, read_modules

INTERFACES = {
    "SIZE_MULTIPLE": "what each network's height and width are padded to",
    "main": "what each command starts with",
    "options_of_checkpoint": "what each architecture reads off a published checkpoint",
}
"""Names that are meant to be the same in every module of a kind."""

KINDS = {
    "__main__": "what `python -m` runs",
    "catalog": "the registry of a room",
    "config": "what a YAML file fills: how it is read, and of what training's consists",
    "conversion": "one thing, whose public name is that of `ldrestore.conversion`",
}
"""Names of modules, and of rooms, that are meant to be the same in several rooms."""

TYPED = ("ldrestore.cli.", "ldrestore.training.tasks.")
"""Modules of these rooms are called as what users type, a command or a stage, whatever the library calls its own."""

KNOWN_TWICE: set[str] = set()
"""Names that still mean two things; none may be added."""

PARTICIPLES = {"asked", "said", "seen", "told"}
"""Words that hide what a variable, an attribute or a function is."""

OTHER_FOLDERS = ("integrations", "scripts", "tests")
"""Beside the library, where variables are nouns, too."""


def names_twice(modules: list[Module]) -> dict[str, list[str]]:
    """Public names that several modules define, with these modules; interfaces left out."""
    homes = defaultdict(set)
    for module in modules:
        for name in _public_names(module.tree):
            homes[name].add(module.name)
    return {name: sorted(found) for name, found in sorted(homes.items()) if len(found) > 1 and name not in INTERFACES}


def modules_twice(modules: list[Module]) -> dict[str, list[str]]:
    """Last parts of names that modules or folders of several rooms share; kinds and what is typed left out."""
    homes = defaultdict(list)
    for module in modules:
        if not module.name.startswith(TYPED):
            homes[module.name.rpartition(".")[2]].append(module.name)
    return {
        name: sorted(found)
        for name, found in sorted(homes.items())
        if len({_room(one) for one in found}) > 1 and name not in KINDS
    }


def participles_of(module: Module) -> list[str]:
    """Variables, parameters, attributes and functions of a module that bear a participle as their name, as faults."""
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.append((node.lineno, "variable", node.id))
        elif isinstance(node, ast.arg):
            found.append((node.lineno, "variable", node.arg))
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            found.append((node.lineno, "variable", node.name))
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.append((node.lineno, "attribute", node.attr))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append((node.lineno, "function", node.name))
    return [
        f"{module.name}:{line}: {'an' if kind[0] == 'a' else 'a'} {kind} is called {name}; name what it is"
        for line, kind, name in sorted(found)
        if name.lstrip("_") in PARTICIPLES
    ]


def read_others(root: Path = ROOT) -> list[Module]:
    """Every Python file beside the library, by its path.

    Args:
        root: The checkout.
    """
    paths = sorted(path for folder in OTHER_FOLDERS for path in (root / folder).rglob("*.py"))
    return [parse_module(str(path.relative_to(root)), path.read_text(encoding="utf-8")) for path in paths]


def check_names(modules: list[Module], *, known_twice: set[str] = KNOWN_TWICE) -> list[str]:
    """All faults, one line each.

    Args:
        modules: The library, or a part of it.
        known_twice: Names that may mean two things.
    """
    twice = names_twice(modules) | modules_twice(modules)
    faults = [f"{name} means two things: {', '.join(twice[name])}" for name in twice if name not in known_twice]
    return [*faults, *(fault for module in modules for fault in participles_of(module))]


def _public_names(tree: ast.Module) -> list[str]:
    """Functions, classes and constants at the top of a module, without those that begin with an underscore."""
    names = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.append(node.name)
        elif isinstance(node, ast.Assign):
            parts = (part for target in node.targets for part in ast.walk(target))  # several at once stand in a tuple
            names += [part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.append(node.target.id)
    return [name for name in names if not name.startswith("_") and name != "logger"]


def _room(name: str) -> str:
    """The folder right below `ldrestore`, or the file where there is none."""
    return name.split(".")[1] if "." in name else name


if __name__ == "__main__":
    faults = check_names(read_modules())
    faults += [fault for module in read_others() for fault in participles_of(module)]
    print("\n".join(faults) or "names: no fault")
    sys.exit(bool(faults))
