"""What `ldrestore doctor` looks at: versions, extras, devices, memory, the Hub's switch, models; nothing is fetched."""

import os
import platform
import re
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.resources import files
from pathlib import Path

LEAST_MEMORY_GB = 4.0
"""What `restore` plans for unasked, in 10^9 bytes."""
LEAST_DISK_GB = 1.0
"""Of the cache's disk, for weights that are fetched, in 10^9 bytes."""
OFFLINE_SWITCHES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
"""Variables that keep the Hub from being asked."""
USER_EXTRAS = (
    *("app", "clip", "explain", "export", "guide", "heif", "instructions", "iqa", "metrics", "peers", "ray"),
    *("spandrel", "train", "xformers"),
)
"""Extras for those who restore, train or measure; the others are for developers."""

_TRUE = {"1", "ON", "YES", "TRUE"}
_REQUIREMENT = re.compile(r"^([\w.-]+)(?:\[[^\]]*\])?\s*(?:\(?>=\s*([\w.]+)\)?)?")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([\w-]+)['"]""")


class State(StrEnum):
    """How something stands."""

    GOOD = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthFinding:
    """One thing that was looked at."""

    topic: str
    """Such as "torch" or "extra app"."""
    state: State
    """A problem keeps something from working that every installation needs; a note does not."""
    text: str
    """What was found."""
    remedy: str | None = None
    """What to do about it; None where nothing is to be done."""


def look_at_everything() -> list[HealthFinding]:
    """All findings, of the outermost first."""
    return [*_python(), *_packages(), *_devices(), *_memory(), *_network(), *_models(), *_extras()]


def versions_of_tests() -> dict[str, tuple[str, ...]]:
    """Package to the exact versions that this release was tested with, one or several by Python; in a wheel too."""
    text = files("ldrestore.requirements").joinpath("tested.txt").read_text(encoding="utf-8")
    lines = (line.split(";")[0].strip() for line in text.splitlines())
    pairs = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    found: dict[str, tuple[str, ...]] = {}
    for name, number in pairs:
        found[_canonical(name)] = (*found.get(_canonical(name), ()), number.strip())
    return found


def requirements() -> dict[str | None, dict[str, str | None]]:
    """Extra, None for none, to package to its least version; of the checkout, else of the installed package."""
    checkout = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if checkout.is_file():
        project = tomllib.loads(checkout.read_text(encoding="utf-8"))["project"]
        groups = {None: project["dependencies"], **project["optional-dependencies"]}
        lines = [(extra, line) for extra, group in groups.items() for line in group]
    else:
        found = [(line, _EXTRA.search(line)) for line in requires("ldrestore") or ()]
        lines = [(None if extra is None else extra[1], line) for line, extra in found]
    packages: dict[str | None, dict[str, str | None]] = {None: {}}
    for extra, line in lines:
        match = _REQUIREMENT.match(line)
        if match is not None and _canonical(match[1]) != "ldrestore":
            packages.setdefault(extra, {})[_canonical(match[1])] = match[2]
    return packages


def _python() -> Iterator[HealthFinding]:
    """The interpreter."""
    text = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield HealthFinding(topic="python", state=State.GOOD, text=text)


def _packages() -> Iterator[HealthFinding]:
    """What every installation needs."""
    tested = versions_of_tests()
    for name, least in requirements()[None].items():
        present = _version(name)
        if present is None:
            remedy = f"pip install '{name}{'' if least is None else f'>={least}'}'"
            yield HealthFinding(topic=name, state=State.PROBLEM, text="not installed", remedy=remedy)
        elif least is not None and _numbers(present) < _numbers(least):
            text, remedy = f"{present}, older than {least}", f"pip install --upgrade '{name}>={least}'"
            yield HealthFinding(topic=name, state=State.PROBLEM, text=text, remedy=remedy)
        elif name in tested and present.split("+")[0] not in tested[name]:
            text = f"{present}, tested with {' or '.join(tested[name])}"
            remedy = f"fine as long as it works; pip install {name}=={tested[name][0]} otherwise"
            yield HealthFinding(topic=name, state=State.NOTE, text=text, remedy=remedy)
        else:
            yield HealthFinding(topic=name, state=State.GOOD, text=present)


def _devices() -> Iterator[HealthFinding]:
    """Where torch can compute."""
    try:
        import torch
    except (ImportError, OSError) as error:  # a build for another machine
        yield HealthFinding(
            topic="devices", state=State.PROBLEM, text=f"torch cannot be loaded ({error})", remedy="reinstall it"
        )
        return
    capability = torch.backends.cpu.get_cpu_capability()
    yield HealthFinding(topic="cpu", state=State.GOOD, text=f"{torch.get_num_threads()} threads, {capability}")
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        facts = torch.cuda.get_device_properties(index)
        text = f"{facts.name}, {facts.total_memory / 1e9:.0f} GB"
        yield HealthFinding(topic=f"cuda:{index}", state=State.GOOD, text=text)
    if torch.backends.mps.is_available():
        yield HealthFinding(topic="mps", state=State.GOOD, text="Apple's GPU")
    elif not torch.cuda.is_available():
        built = (
            "torch is built without CUDA"
            if torch.version.cuda is None
            else f"torch is built for CUDA {torch.version.cuda}"
        )
        yield HealthFinding(
            topic="gpu",
            state=State.NOTE,
            text=f"none; {built}",
            remedy="models of the fast track are made for the CPU; for others see https://pytorch.org/get-started",
        )


def _memory() -> Iterator[HealthFinding]:
    """Room in memory, and on the disk of the user's cache."""
    free = free_memory()
    if free is None:
        yield HealthFinding(topic="memory", state=State.NOTE, text="unknown on this system")
    else:
        is_little = free < LEAST_MEMORY_GB * 1e9
        yield HealthFinding(
            topic="memory",
            state=State.NOTE if is_little else State.GOOD,
            text=f"{free / 1e9:.1f} GB free",
            remedy=f"give restore --memory {max(0.5, free / 2e9):.1f}" if is_little else None,
        )
    folder = user_cache()
    room = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.is_dir())).free
    is_little = room < LEAST_DISK_GB * 1e9
    yield HealthFinding(
        topic="disk",
        state=State.NOTE if is_little else State.GOOD,
        text=f"{room / 1e9:.1f} GB free for the cache in {folder}",
        remedy="make room, or set XDG_CACHE_HOME to another folder" if is_little else None,
    )


def _network() -> Iterator[HealthFinding]:
    """Whether the Hub may be asked, and which; it is not asked here."""
    switched = [name for name in OFFLINE_SWITCHES if os.environ.get(name, "").upper() in _TRUE]
    endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    if switched:
        text = f"offline, by {' and '.join(switched)}: only what lies on this machine is used"
        yield HealthFinding(topic="hub", state=State.NOTE, text=text, remedy=f"unset {' '.join(switched)} to fetch")
    else:
        yield HealthFinding(topic="hub", state=State.GOOD, text=f"{endpoint} is asked for models that are not here")


def _models() -> Iterator[HealthFinding]:
    """Weights inside the package, and those of metrics, which are fetched once."""
    from ldrestore.assets.catalog import MODELS, folder_of
    from ldrestore.metrics.metric_weights import cache_of_metrics

    missing = [record.name for record in MODELS if not any(folder_of(record).rglob("*.safetensors"))]
    if missing:
        text = f"the weights of {', '.join(missing)} are missing from the package"
        yield HealthFinding(topic="models", state=State.PROBLEM, text=text, remedy="reinstall ldrestore")
    else:
        yield HealthFinding(topic="models", state=State.GOOD, text=f"{', '.join(MODELS.names())} lie in the package")
    if any(cache_of_metrics().glob("*.safetensors")):
        yield HealthFinding(topic="metrics", state=State.GOOD, text=f"weights in {cache_of_metrics()}")
    else:
        text = "weights of LPIPS, DISTS and NIQE are not fetched"
        yield HealthFinding(
            topic="metrics", state=State.NOTE, text=text, remedy="ldrestore fetch metrics, if you score"
        )


def _extras() -> Iterator[HealthFinding]:
    """What is optional."""
    packages = requirements()
    for extra in USER_EXTRAS:
        missing = [name for name in packages.get(extra, {}) if _version(name) is None]
        if missing:
            text = f"without {', '.join(missing)}"
            remedy = f"pip install 'ldrestore[{extra}]'"
            yield HealthFinding(topic=f"extra {extra}", state=State.NOTE, text=text, remedy=remedy)
        else:
            yield HealthFinding(topic=f"extra {extra}", state=State.GOOD, text="installed")


def free_memory() -> int | None:
    """Memory that programs may still take, in bytes; None where the system does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        facts = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
        return facts["MemAvailable"]
    except (OSError, KeyError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows, macOS
        return None


def user_cache() -> Path:
    """Where what is fetched is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ldrestore"


def _version(name: str) -> str | None:
    """The installed version of a package; None where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _canonical(name: str) -> str:
    """A package's name as indices compare it."""
    return re.sub(r"[-_.]+", "-", name.strip().partition("[")[0]).lower()


def _numbers(text: str) -> tuple[int, ...]:
    """The first three numbers of a version, for comparing; 2.10 is 2.10.0."""
    numbers = [int(part) for part in re.findall(r"\d+", text.split("+")[0])[:3]]
    return (*numbers, 0, 0, 0)[:3]
