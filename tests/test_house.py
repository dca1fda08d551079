"""What holds for the library as a whole: layout, layers, limits, packaging, public names, import time."""

import ast
import importlib
import importlib.metadata
import importlib.util
import inspect
import itertools
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from check_layers import check_layers
from check_limits import check_limits
from syntax_trees import PACKAGES, ROOT, imports_of, parse_module, read_modules

import ldrestore
from ldrestore.registry import resolve
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.systems.mperceiver_parts import MPERCEIVER_PARTS
from ldrestore.systems.regression import part_classes
from ldrestore.systems.unildiff_parts import UNILDIFF_PARTS

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

NETWORK_CLASSES = {
    "ldrestore.regressors.datprl_ir:DATPRLIR",
    "ldrestore.regressors.grid_nafnet:GridNAFNet",
    "ldrestore.regressors.instructir:InstructIR",
    "ldrestore.regressors.mmfe_ir:MMFEIR",
    "ldrestore.regressors.moce_ir:MoCEIR",
    "ldrestore.regressors.nafnet:NAFNet",
    "ldrestore.regressors.prompted_nafnet:PromptedNAFNet",
    "ldrestore.regressors.promptir:PromptIR",
    "ldrestore.regressors.restormer:Restormer",
}
"""Saved pipelines name these; a change here breaks every file that a user has saved."""
PART_CLASSES = {
    "ldrestore.adapters.daff:DAFF",
    "ldrestore.adapters.injection:InjectionLayers",
    "ldrestore.adapters.ir_adapter:IRAdapter",
    "ldrestore.adapters.lq_encoder:LQEncoder",
    "ldrestore.adapters.residual_alignment:ResidualAlignment",
    "ldrestore.estimators.degradation_predictor:DegradationPredictor",
    "ldrestore.prompts.cm_adapter:CMAdapter",
    "ldrestore.prompts.textual_prompts:TextualPromptPool",
    "ldrestore.refiners.daem:DetailExpertModule",
    "ldrestore.refiners.drm:DetailRefinementModule",
    "ldrestore.regressors.instruction_head:InstructionHead",
}
"""The same for what is trained upon a base, and for heads."""
PIPELINE_CLASSES = {
    "FastRestorePipeline": "ldrestore.pipelines.pipeline_fast_restore",
    "ForeignRestorePipeline": "ldrestore.pipelines.pipeline_foreign_restore",
    "StableRestorePipeline": "ldrestore.pipelines.pipeline_stable_restore",
    "XLRestorePipeline": "ldrestore.pipelines.pipeline_xl_restore",
}
"""The same for pipelines."""

PUBLIC = {
    "ldrestore": {"restore": ["image", "model", "options"], "list_models": [], "load_restorer": None},
    "ldrestore.regressors": {"create_regressor": ["name", "overrides"], "list_regressors": []},
    "ldrestore.conversion": {"convert": ["name", "checkpoint_path", "out_dir"]},
    "ldrestore.degradations": {"degrade": ["image", "recipe", "seed", "severity"], "list_degradations": []},
}
"""Functions that users call, with the names of their parameters where these are promised."""


@pytest.fixture(scope="module")
def modules():
    return read_modules()


DISTRIBUTIONS = {"open_clip": "open_clip_torch", "sklearn": "scikit-learn"}
"""Packages named otherwise than what is installed for them, for where they are not."""

OF_AN_EXTRA = {"ldrestore.serving.page", "ldrestore.serving.page_handlers", "ldrestore.serving.page_server"}
"""Modules that are loaded only where their extra is installed: gradio reads the types of its handlers at run time."""


def python_folders():
    """Package name of every folder of the library that holds Python files."""
    found = set()
    for package, folder in PACKAGES.items():
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.parent.relative_to(ROOT / folder).parts
            found.add(".".join((package, *parts)))
    return found


def run_python(code, *, cwd, path):
    """Run code in a fresh interpreter that finds modules in `path` first; return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code]
    outcome = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100)
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout.strip()


def test_imports_point_down_the_layers(modules):
    assert check_layers(modules) == []


def test_code_keeps_the_limits(modules):
    assert check_limits(modules) == []


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("ldrestore.images.files", "import ldrestore.restorers", "images imports restorers, which lies above it"),
        (
            "ldrestore.images.files",
            "def f():\n    from ldrestore.cli import main",
            "images imports cli, which lies above",
        ),
        ("ldrestore.prompts.pool", "from ldrestore.adapters.daff import DAFF", "prompts imports adapters, its sibling"),
        (
            "ldrestore.checkpoints.conversion",
            "import ldrestore.pipelines.a",
            "checkpoints imports pipelines, which lies",
        ),
        (
            "ldrestore.checkpoints.conversion",
            "def f():\n    import ldrestore.pipelines.a",
            "checkpoints imports pipelines, which lies",
        ),
        ("ldrestore.novel.thing", "", "ldrestore.novel.thing: in no layer"),
        (
            "ldrestore.images.files",
            "from ldrestore.images import Photo",
            "imports ldrestore.images; import from",
        ),
        ("ldrestore.cli.main", "from ldrestore import restore", "imports ldrestore.restore; import from the module"),
        ("ldrestore.errors", "import ldrestore.errors as e\nimport torch", None),
        ("ldrestore.cli.main", "from ldrestore import __version__\nfrom ldrestore.restorers import restore", None),
    ],
)
def test_a_forbidden_import_is_found(name, text, fault):
    others = ("ldrestore.images", "ldrestore.restorers", "ldrestore.structures", "ldrestore.cli.main")
    faults = check_layers([*(parse_module(other, "") for other in others), parse_module(name, text)])
    assert len(faults) == (fault is not None)
    assert all(fault in line for line in faults)


@pytest.mark.parametrize("indent", ["", "def f():\n    ", "if TYPE_CHECKING:\n    "])
def test_an_import_cycle_is_found_deferred_or_not(indent):
    left = parse_module("ldrestore.images.left", "import ldrestore.images.right")
    right = parse_module("ldrestore.images.right", f"{indent}from ldrestore.images.left import thing")
    (fault,) = check_layers([left, right])
    assert fault.startswith("import cycle: ldrestore.images.")


def test_deferred_imports_are_counted_but_for_those_of_commands():
    late = "def f():\n    from ldrestore.errors import InputError"
    modules = [
        parse_module("ldrestore.errors", ""),
        *(parse_module(f"ldrestore.{unit}.a", late) for unit in ("images", "cli")),
    ]
    assert check_layers(modules, most_deferred=1) == []
    assert check_layers(modules, most_deferred=0)[0].startswith("1 imports are deferred, at most 0: images (1);")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('"""M."""\n' * 501, "501 lines, at most 500"),
        ('"""M."""\ndef f() -> None:\n    """F."""\n' + "    pass\n" * 60, "f has 61 lines, at most 60"),
        ('"""M."""\ndef _f(a, b, c, d, e, f, g, h, i, j, k, l, m): ...', "_f has 13 parameters, at most 12"),
        ('"""M."""\ndef f(a, *, b: int):\n    """F."""', "f lacks the types of a, the result"),
        ('"""M."""\nclass A: ...', "A has no docstring"),
        ('"""M."""\ndef f() -> None:\n    """F."""\n' + "    pass\n" * 59, None),
    ],
)
def test_a_breach_of_the_limits_is_found(text, fault):
    faults = check_limits([parse_module("ldrestore.images.files", text)])
    assert len(faults) == (fault is not None)
    assert all(fault in line for line in faults)


def test_every_folder_is_a_package_and_is_listed_for_the_wheel():
    listed = PROJECT["tool"]["setuptools"]["packages"]
    assert sorted(listed) == sorted(python_folders())
    for package in listed:
        root = next(name for name in sorted(PACKAGES, key=len, reverse=True) if package.startswith(name))
        folder = ROOT / PACKAGES[root] / package.removeprefix(root).replace(".", "/").lstrip("/")
        assert (folder / "__init__.py").is_file(), package


def test_no_module_is_named_like_one_of_the_standard_library(modules):
    names = {part for module in modules for part in module.name.split(".")} - {"__main__"}
    assert names & sys.stdlib_module_names == set()


def test_no_folder_is_named_like_one_of_the_diffusers_pipelines():
    diffusers = Path(importlib.util.find_spec("diffusers").origin).parent
    theirs = {path.stem for path in (diffusers / "pipelines").iterdir()} - {"__init__"}
    assert len(theirs) > 30
    assert {package.rpartition(".")[2] for package in python_folders()} & theirs == set()


def test_modules_of_an_extra_are_reached_by_deferred_imports_alone(modules):
    reached = [
        edge
        for module in modules
        if module.name not in OF_AN_EXTRA
        for edge in imports_of(module)
        if not edge.is_deferred
        and any(edge.target == name or edge.target.startswith(f"{name}.") for name in OF_AN_EXTRA)
    ]
    assert reached == []


def test_what_is_imported_is_declared(modules):
    def canonical(name):
        return re.sub(r"[-_.]+", "-", name).lower()

    def names(requirements):
        return {canonical(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}

    core = names(PROJECT["project"]["dependencies"])
    extras = names(itertools.chain(*PROJECT["project"]["optional-dependencies"].values()))
    distributions = importlib.metadata.packages_distributions()
    undeclared = set()
    for edge in (edge for module in modules for edge in imports_of(module)):
        package = edge.target.partition(".")[0]
        if package == "ldrestore" or package in sys.stdlib_module_names:
            continue
        allowed = core | extras if edge.is_deferred or edge.source in OF_AN_EXTRA else core
        if not allowed & {
            canonical(name) for name in distributions.get(package, [DISTRIBUTIONS.get(package, package)])
        }:
            undeclared.add(f"{edge.source}:{edge.line}: {package}")
    assert undeclared == set()


def test_module_paths_of_saved_classes_stay(modules):
    assert {record.target for record in REGRESSORS} == NETWORK_CLASSES
    trained = {*MPERCEIVER_PARTS.trained.values(), *UNILDIFF_PARTS.trained.values()}
    assert trained | {*part_classes()["instruction_head"]} == PART_CLASSES
    for target in NETWORK_CLASSES | PART_CLASSES:
        network_class = resolve(target)
        assert f"{network_class.__module__}:{network_class.__name__}" == target
    for name, module in PIPELINE_CLASSES.items():
        assert getattr(ldrestore, name).__module__ == module


def test_every_error_that_users_meet_lies_in_one_module(modules):
    endings = ("Error", "Exception", "Warning")
    homes = {
        f"{module.name}:{node.name}"
        for module in modules
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        if any(ast.unparse(base).endswith(endings) for base in node.bases)
    }
    assert {home.partition(":")[0] for home in homes} == {"ldrestore.errors"}
    assert "ldrestore.errors:UndefinedNumbersError" in homes


def test_every_public_name_resolves():
    assert ldrestore.__all__ == sorted(set(ldrestore.__all__), key=lambda name: (not name.startswith("_"), name))
    for name in ldrestore.__all__:
        assert getattr(ldrestore, name) is not None
        assert name in dir(ldrestore)
    with pytest.raises(AttributeError, match="has no attribute 'restorr'"):
        _ = ldrestore.restorr


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in PUBLIC for name in PUBLIC[module]])
def test_promised_functions_take_the_promised_parameters(module, name):
    function = getattr(importlib.import_module(module), name)
    promised = PUBLIC[module][name]
    assert callable(function)
    assert promised is None or list(inspect.signature(function).parameters)[: len(promised)] == promised


def test_the_command_is_there():
    assert callable(resolve(PROJECT["project"]["scripts"]["ldrestore"]))


def test_version_has_three_numbers():
    assert re.fullmatch(r"\d+\.\d+\.\d+", ldrestore.__version__)


def test_importing_takes_little_time_and_nothing_heavy(tmp_path):
    code = (
        "import sys, time; start = time.perf_counter(); import ldrestore; took = time.perf_counter() - start;"
        "heavy = {'torch', 'diffusers', 'transformers', 'numpy', 'PIL', 'cv2', 'rich', 'typer'} & set(sys.modules);"
        "print(took, *heavy)"
    )
    runs = [run_python(code, cwd=tmp_path, path=ROOT).split() for _ in range(5)]
    assert min(float(took) for took, *_ in runs) <= 0.3
    assert {name for _, *heavy in runs for name in heavy} == set()


def test_a_bare_checkout_has_all_packages(tmp_path):
    code = (
        "import importlib.util, ldrestore;"
        f"print(*(importlib.util.find_spec(name).origin for name in {sorted(python_folders())!r}), sep='\\n')"
    )
    for origin in run_python(code, cwd=tmp_path, path=ROOT).splitlines():
        assert Path(origin).is_relative_to(ROOT)
