"""Private names of other packages in the source, and imports of their undocumented modules; for a test.

A private name is an attribute with one leading underscore that no class, function or assignment of ours defines, or a
string that is one where an attribute or a key is looked up by it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from syntax_trees import ROOT, Module, imports_of, parse_module

PACKAGES = ("accelerate", "diffusers", "huggingface_hub", "peft", "torch", "transformers")
"""Whose promises are minded."""


def read_scripts(root: Path = ROOT) -> list[Module]:
    """The modules of `scripts/`, which use the library as it is used by nobody else.

    Args:
        root: The checkout.
    """
    paths = sorted((root / "scripts").glob("*.py"))
    return [parse_module(f"scripts.{path.stem}", path.read_text(encoding="utf-8")) for path in paths]


def private_names(modules: list[Module]) -> dict[str, list[str]]:
    """Private names that are not ours, and the places of each as "module:line".

    Args:
        modules: All whose names are ours.
    """
    ours = {name for module in modules for name in _defined(module.tree)}
    found: dict[str, list[str]] = {}
    for module in modules:
        for name, line in _used(module.tree):
            if name not in ours:
                found.setdefault(name, []).append(f"{module.name}:{line}")
    return found


def undocumented_imports(modules: list[Module], documented: frozenset[str]) -> dict[str, list[str]]:
    """What is imported from modules that are not documented, and the places of each as "module:line".

    Args:
        modules: To look through.
        documented: Modules that may be imported from.
    """
    found: dict[str, list[str]] = {}
    for module in modules:
        for edge in imports_of(module):
            is_ours = edge.target.partition(".")[0] not in PACKAGES
            if is_ours or edge.target in documented or edge.target.rpartition(".")[0] in documented:
                continue
            found.setdefault(edge.target, []).append(f"{module.name}:{edge.line}")
    return found


def _defined(tree: ast.Module) -> Iterator[str]:
    """Every name that a module defines somewhere, but for private ones that a class sets for its base."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and _is_own(node):
            yield node.attr


def _used(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Private names that are looked up, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            yield node.attr, node.lineno
        elif isinstance(node, ast.Call) and _is_lookup(node):
            yield from ((name, node.lineno) for name in _strings(node.args) if _is_private(name))
            yield from ((name.arg, node.lineno) for name in node.keywords if name.arg and _is_private(name.arg))
        elif isinstance(node, ast.Subscript):
            yield from ((name, node.lineno) for name in _strings([node.slice]) if _is_private(name))


def _is_own(node: ast.Attribute) -> bool:
    """Whether an attribute is one of the object or class itself."""
    return isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}


def _is_private(name: str) -> bool:
    """Whether a name has one leading underscore."""
    return name.startswith("_") and not name.startswith("__") and name.isidentifier() and name != "_"


def _is_lookup(node: ast.Call) -> bool:
    """Whether a call looks an attribute or a key up by name, or writes one."""
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return called in {"getattr", "hasattr", "setattr", "get", "pop", "setdefault", "register_to_config"}


def _strings(nodes: list[ast.expr]) -> Iterator[str]:
    """The strings among expressions."""
    return (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
