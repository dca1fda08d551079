"""Check that imports point down the layers of the library, and that none form a cycle.

    python scripts/check_layers.py

prints one line for each fault and fails if there is one. A unit of a layer may import what lies in the layers below and
itself, not its siblings; this holds for imports inside functions too, and no imports form a cycle. Those inside
functions, and those for type checkers alone, are counted besides: MOST_DEFERRED bounds them, the commands' left out,
which wait with everything heavy until they run. A module does not import the `__init__` of a package that it lies in;
from the bare `ldrestore` it takes the version alone.
"""

import sys
from collections import Counter
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from syntax_trees import Import, Module, imports_of, read_modules

LAYERS = (
    ("errors", "structures", "configs", "requirements"),
    ("registry", "config", "options", "weights", "records", "images"),
    ("tiling", "metrics"),
    ("assets", "blocks"),
    ("degradations",),
    ("datasets",),
    ("guides",),
    ("estimators", "prompts", "adapters", "sampling", "refiners", "regressors"),
    ("checkpoints",),
    ("systems",),
    ("conversion", "pipelines"),
    ("tracks",),
    ("restorers",),
    ("jobs", "hub"),
    ("explanations",),
    ("evaluation",),
    ("training",),
    ("serving",),
    ("cli",),
    ("__main__",),
)
"""The units of the library (modules and folders right below `ldrestore`), lowest layer first."""

MOST_DEFERRED = 25
"""How many imports of the library by itself may be deferred; to be lowered when one goes."""

WAITING = frozenset({"cli", "__main__"})
"""Units whose deferred imports are not counted."""

_RANKS = {unit: rank for rank, units in enumerate(LAYERS) for unit in units}


def check_layers(modules: list[Module], *, most_deferred: int = MOST_DEFERRED) -> list[str]:
    """All faults of the import graph, one line each.

    Args:
        modules: The library, or a part of it.
        most_deferred: How many imports may be deferred.
    """
    names = {module.name for module in modules}
    inner = [edge for module in modules for edge in _inner_imports(module, names)]
    homeless = [f"{name}: in no layer; name its unit in LAYERS" for name in sorted(names) if _unit(name) not in _RANKS]
    return [
        *homeless,
        *_climbing(inner),
        *_own_package(inner, names),
        *_cycles(inner),
        *_too_many_deferred(inner, most_deferred),
    ]


def _inner_imports(module: Module, names: set[str]) -> list[Import]:
    """Imports of a module that stay inside the library, with modules as targets where they are known."""
    edges = []
    for edge in imports_of(module):
        parent = edge.target.rpartition(".")[0]
        is_attribute = edge.target not in names and parent in names and parent != "ldrestore"
        if edge.target.partition(".")[0] == "ldrestore":
            edges.append(replace(edge, target=parent if is_attribute else edge.target))
    return edges


def _unit(name: str) -> str:
    """The part of a module's name that a layer lists; for the bare package, one of the lowest layer."""
    return name.split(".")[1] if "." in name else LAYERS[0][0]


def _climbing(edges: list[Import]) -> list[str]:
    """Imports of a higher layer or of a sibling."""
    faults = []
    for edge in edges:
        low, high = _unit(edge.target), _unit(edge.source)
        if "." not in edge.source or "." not in edge.target or low == high or low not in _RANKS or high not in _RANKS:
            continue
        if _RANKS[low] >= _RANKS[high]:
            relation = "its sibling" if _RANKS[low] == _RANKS[high] else "which lies above it"
            faults.append(f"{edge.source}:{edge.line}: {high} imports {low}, {relation} ({edge.target})")
    return faults


def _own_package(edges: list[Import], names: set[str]) -> list[str]:
    """Imports of the `__init__` of a package that the module lies in, and names taken from the bare `ldrestore`."""
    faults = []
    for edge in edges:
        is_own = "." in edge.target and edge.source.startswith(f"{edge.target}.")
        is_lazy_name = edge.target.count(".") == 1 and edge.target not in names | {"ldrestore.__version__"}
        if is_own or is_lazy_name:
            faults.append(f"{edge.source}:{edge.line}: imports {edge.target}; import from the module that defines it")
    return faults


def _cycles(edges: list[Import]) -> list[str]:
    """The first cycle of the imports, deferred ones included."""
    graph: dict[str, set[str]] = {}
    for edge in edges:
        if edge.source != edge.target:
            graph.setdefault(edge.source, set()).add(edge.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [f"import cycle: {' < '.join(error.args[1])}"]
    return []


def _too_many_deferred(edges: list[Import], most: int) -> list[str]:
    """One line if more imports are deferred than may be, with their number in each unit."""
    counts = Counter(_unit(edge.source) for edge in edges if edge.is_deferred and _unit(edge.source) not in WAITING)
    if counts.total() <= most:
        return []
    homes = ", ".join(f"{unit} ({number})" for unit, number in sorted(counts.items()))
    return [f"{counts.total()} imports are deferred, at most {most}: {homes}; import at the top where that works"]


if __name__ == "__main__":
    faults = check_layers(read_modules())
    print("\n".join(faults) or "layers: no fault")
    sys.exit(bool(faults))
