"""What is known of a published set of pictures: its layout on disk, its counts, its terms, its leaks."""

from dataclasses import dataclass

from ldrestore.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class SetLayout:
    """Where a set's pictures lie below a data root, and how they belong together."""

    lq: str | None
    """Glob of the degraded pictures; None where the set has clean pictures alone, which a suite degrades."""
    gt: str | None
    """Glob of the ground truth; None where there is none."""
    lq_key: str = r"([^/]+)\.[^./]+$"
    """Regular expression searched in the path below the data root: its groups together are the key of a degraded
    picture, the stem by default."""
    gt_key: str = r"([^/]+)\.[^./]+$"
    """The same for the ground truth: pictures of equal keys belong together, one clean to any number of degraded."""
    source: str = "official"
    """Whose layout it is: the authors' own, or that of a paper whose data many have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRecord:
    """One set, or one split of a set that papers report apart."""

    name: str
    """As suites name it."""
    title: str
    """As papers write it, with the split."""
    task: str
    """What is wrong with its pictures, a name of `list_degradations()` where there is one; "clean" for clean ones."""
    layouts: tuple[SetLayout, ...]
    """Those looked for, in turn; the first that holds pictures is taken."""
    num_pictures: int | None
    """Degraded pictures of the whole split, or clean ones of a clean set; None where it is not known for sure."""
    terms: str
    """What its authors allow, as far as they say."""
    source: str
    """Paper."""
    leaks: tuple[str, ...] = ()
    """Where its pictures are known to lie in training sets, and what its splits are taken for."""
    is_tested: bool = False
    """Whether tests read it from folders with the official layout; the others are registered as documented."""


BENCHMARKS: Registry[BenchmarkRecord] = Registry("benchmark set")
"""All sets; `benchmark_catalog` fills it."""


def folders_of_pairs(lq: str, gt: str, *, source: str = "official") -> SetLayout:
    """The layout of two folders whose pictures share their stems."""
    return SetLayout(lq=f"{lq}/*", gt=f"{gt}/*", source=source)


def folders_of_clean(*folders: str) -> tuple[SetLayout, ...]:
    """The layouts of folders of clean pictures, to be looked for in turn."""
    return tuple(SetLayout(lq=None, gt=f"{folder}/*") for folder in folders)
