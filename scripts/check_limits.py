"""Check the limits that keep the library readable: length, parameters, docstrings, types.

    python scripts/check_limits.py

prints one line for each fault and fails if there is one. A function's length leaves out its docstring and decorators.
Public is a module, and a module-level class, function or method of such a class, whose name and whose class's name do
not start with an underscore.
"""

import ast
import sys
from collections.abc import Iterator

from syntax_trees import FunctionNode, Module, read_modules

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 12
MAX_PARAMETERS_OF_CALLS = 24
"""For the `__call__` of a pipeline and the commands in `ldrestore.cli`, whose parameters are a user's options, and
for the `__init__` of a pipeline, whose parameters are its parts: diffusers saves and loads them by these names."""
MIN_DOCUMENTED = 0.95
"""Share of public modules, classes and functions that have a docstring."""


def check_limits(modules: list[Module]) -> list[str]:
    """All breaches, one line each.

    Args:
        modules: The library, or a part of it.
    """
    faults = []
    for module in modules:
        faults += [*_length_faults(module), *_parameter_faults(module), *_type_faults(module)]
    return [*faults, *_docstring_faults(modules)]


def _length_faults(module: Module) -> Iterator[str]:
    """The file and its functions, if too long."""
    num_lines = len(module.text.splitlines())
    if num_lines > MAX_FILE_LINES:
        yield f"{module.name}: {num_lines} lines, at most {MAX_FILE_LINES}; split it"
    for function in _functions(module):
        num_lines = function_lines(function)
        if num_lines > MAX_FUNCTION_LINES:
            yield f"{_place(module, function)} has {num_lines} lines, at most {MAX_FUNCTION_LINES}; split it"


def _parameter_faults(module: Module) -> Iterator[str]:
    """Functions with too many parameters."""
    for function in _functions(module):
        of_pipelines = module.name.startswith("ldrestore.pipelines.") and function.name in ("__call__", "__init__")
        takes_options = of_pipelines or module.name.startswith("ldrestore.cli.")
        limit = MAX_PARAMETERS_OF_CALLS if takes_options else MAX_PARAMETERS
        if len(_parameters(function)) > limit:
            yield f"{_place(module, function)} has {len(_parameters(function))} parameters, at most {limit}; group them"


def _type_faults(module: Module) -> Iterator[str]:
    """Public functions with a parameter or a result that has no type."""
    for node in _public(module):
        if isinstance(node, FunctionNode):
            untyped = [parameter.arg for parameter in _parameters(node) if parameter.annotation is None]
            if node.returns is None:
                untyped.append("the result")
            if untyped:
                yield f"{_place(module, node)} lacks the types of {', '.join(untyped)}"


def _docstring_faults(modules: list[Module]) -> list[str]:
    """Everything public without a docstring, if the share of it is too large."""
    nodes = [(module, node) for module in modules for node in (module.tree, *_public(module))]
    bare = [(module, node) for module, node in nodes if ast.get_docstring(node) is None]
    if len(nodes) - len(bare) >= MIN_DOCUMENTED * len(nodes):
        return []
    return [f"{_place(module, node)} has no docstring" for module, node in bare]


def function_lines(function: FunctionNode) -> int:
    """Lines of a function without its docstring and decorators."""
    num_lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is None:
        return num_lines
    docstring = function.body[0]
    return num_lines - ((docstring.end_lineno or docstring.lineno) - docstring.lineno + 1)


def _functions(module: Module) -> Iterator[FunctionNode]:
    """Every function of a module, methods and nested ones too."""
    return (node for node in ast.walk(module.tree) if isinstance(node, FunctionNode))


def _public(module: Module) -> Iterator[ast.ClassDef | FunctionNode]:
    """Public classes, functions and methods of a module."""
    for node in module.tree.body:
        if isinstance(node, ast.ClassDef | FunctionNode) and not node.name.startswith("_"):
            yield node
            if isinstance(node, ast.ClassDef):
                methods = (child for child in node.body if isinstance(child, FunctionNode))
                yield from (method for method in methods if not method.name.startswith("_"))


def _parameters(function: FunctionNode) -> list[ast.arg]:
    """Parameters of a function without self and cls."""
    arguments = function.args
    listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    listed += [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return [argument for argument in listed if argument.arg not in {"self", "cls"}]


def _place(module: Module, node: ast.Module | ast.ClassDef | FunctionNode) -> str:
    """Where a node lies, for a message."""
    return module.name if isinstance(node, ast.Module) else f"{module.name}:{node.lineno}: {node.name}"


if __name__ == "__main__":
    faults = check_limits(read_modules())
    print("\n".join(faults) or "limits: no fault")
    sys.exit(bool(faults))
