"""Static records of what the authors of systems and bases publish: where it lies, and its licence; imports no torch."""

from dataclasses import dataclass

from ldrestore.checkpoints.bases import BASES
from ldrestore.registry import Registry

INSTRUCTION_HEAD = "instructir_head"
"""Name under which `convert` takes the text head of InstructIR."""

CLIP_TOWER = "clip_tower"
"""Name under which `convert` takes a checkpoint of OpenCLIP, of whose vision tower it makes a `ClipTower`."""

FAITHDIFF = "faithdiff"
"""Name under which `convert` takes FaithDiff's published file."""

FOREIGN = "spandrel"
"""Name under which `convert` takes what the package of that name recognises."""

OTHER_LAYOUTS = (INSTRUCTION_HEAD, CLIP_TOWER, FAITHDIFF, FOREIGN)
"""What `convert` takes besides architectures of the fast track."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFile:
    """One file of the authors."""

    name: str
    """As they call it."""
    sha256: str | None = None
    """Where they, or we, know it; None where nobody has published one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """What `ldrestore fetch` knows of one system."""

    name: str
    """The name that `ldrestore convert` takes too, or that of a base."""
    licence: str
    """Of the weights."""
    page: str
    """For people: where the authors publish them."""
    repositories: tuple[str, ...] = ()
    """Hub repositories that hold the files, mirrors last; empty where a person has to fetch them from the page."""
    files: tuple[PublishedFile, ...] = ()
    """The checkpoint; several where any of them is one. Empty for a base, which is taken as a folder."""
    head: PublishedFile | None = None
    """The instruction head beside it."""
    encoder: str | None = None
    """Hub repository of the sentence encoder that the head reads with."""

    @property
    def is_base(self) -> bool:
        """Whether it is a whole repository, which stays in the cache of the Hub."""
        return not self.files


PUBLISHED_MODELS: Registry[PublishedModel] = Registry("published model")

_INSTRUCTIR = "https://huggingface.co/marcosv/InstructIR"
_INSTRUCTIR_HEAD = PublishedFile(name="lm_instructir-7d.pt")
_NAFNET = "https://github.com/megvii-research/NAFNet"
_RESTORMER = "https://github.com/swz30/Restormer"
_RESTORMER_LICENCE = "Academic Public License (non-commercial)"
_DENOISING = tuple(f"gaussian_color_denoising_{kind}.pth" for kind in ("blind", "sigma15", "sigma25", "sigma50"))

for _record in (
    PublishedModel(
        name="instructir",
        licence="MIT",
        page=_INSTRUCTIR,
        repositories=("marcosv/InstructIR",),
        files=(PublishedFile(name="im_instructir-7d.pt"),),
        head=_INSTRUCTIR_HEAD,
        encoder="TaylorAI/bge-micro-v2",
    ),
    PublishedModel(
        name="instructir_head",
        licence="MIT",
        page=_INSTRUCTIR,
        repositories=("marcosv/InstructIR",),
        files=(_INSTRUCTIR_HEAD,),
        encoder="TaylorAI/bge-micro-v2",
    ),
    PublishedModel(
        name="faithdiff",
        licence="MIT",
        page="https://huggingface.co/jychen9811/FaithDiff",
        repositories=("jychen9811/FaithDiff",),
        files=(PublishedFile(name="FaithDiff.bin"),),
    ),
    *(
        PublishedModel(
            name=f"nafnet_{task}_w{width}",
            licence="MIT",
            page=_NAFNET,
            files=(PublishedFile(name=f"NAFNet-{published}-width{width}.pth"),),
        )
        for task, published, width in (
            ("sidd", "SIDD", 32),
            ("sidd", "SIDD", 64),
            ("gopro", "GoPro", 32),
            ("gopro", "GoPro", 64),
            ("reds", "REDS", 64),
        )
    ),
    PublishedModel(
        name="restormer",
        licence=_RESTORMER_LICENCE,
        page=_RESTORMER,
        files=tuple(
            PublishedFile(name=f"{task}.pth")
            for task in ("deraining", "motion_deblurring", "single_image_defocus_deblurring")
        ),
    ),
    PublishedModel(
        name="restormer_biasfree",
        licence=_RESTORMER_LICENCE,
        page=_RESTORMER,
        files=tuple(PublishedFile(name=name) for name in ("real_denoising.pth", *_DENOISING)),
    ),
    PublishedModel(
        name="promptir",
        licence="Academic Public License (non-commercial)",
        page="https://github.com/va1shn9v/PromptIR",
        files=(PublishedFile(name="model.ckpt"),),
    ),
    *(
        PublishedModel(
            name=name,
            licence="Apache-2.0",
            page="https://github.com/eduardzamfir/MoCE-IR",
            files=(PublishedFile(name="last.ckpt"),),
        )
        for name in ("moce_ir", "moce_ir_s")
    ),
    *(
        PublishedModel(
            name=base.name,
            licence=base.licence,
            page=f"https://huggingface.co/{base.repository}",
            repositories=(base.repository, *base.mirrors),
        )
        for base in BASES
    ),
):
    PUBLISHED_MODELS.register(_record)
