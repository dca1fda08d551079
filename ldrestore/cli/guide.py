"""`ldrestore guide`: what a guide says about each picture, into one cache."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ldrestore.cli.rendering import show_plan, show_report, show_run
from ldrestore.cli.shared_options import (
    ClipOption,
    DeviceOption,
    DtypeOption,
    InArgument,
    JsonOption,
    MaxPixelsOption,
    NumberFormat,
    QuietOption,
    RecursiveOption,
)
from ldrestore.errors import InputError, printable
from ldrestore.jobs.outcome import Job, Result
from ldrestore.jobs.plan import Plan, plan_pictures
from ldrestore.jobs.report import RunReport
from ldrestore.jobs.runner import Work

if TYPE_CHECKING:
    from torch import Tensor

    from ldrestore.guides.embedding_cache import EmbeddingWriter
    from ldrestore.guides.guide_identity import GuideIdentity
    from ldrestore.images.photo import Photo

GUIDE_EXAMPLES = """\b
Examples:
  ldrestore guide rainy/ rainy.safetensors --recursive --device cuda --dtype bfloat16
  ldrestore guide rainy/ small.safetensors --guide models/FastVLM-0.5B
  ldrestore guide rainy/ text.safetensors --captions rainy.csv
"""
"""Shown below the help; the first character keeps the lines as they are."""

Embed = Callable[[Job, "Photo"], "Tensor"]
"""One picture to its embedding."""
Read = Callable[[Path], "Photo"]
"""A file to its picture."""


def guide_command(  # each parameter is an option
    source: InArgument,
    target: Annotated[
        str, typer.Argument(metavar="OUT", help="The cache, a file that ends with .safetensors; it grows if it exists.")
    ],
    guide: Annotated[
        str | None,
        typer.Option(
            metavar="NAME_OR_PATH",
            help="A model of the Hub or a folder; without it Qwen/Qwen2.5-VL-3B-Instruct, "
            "and with --captions timm/resnet50_clip.openai.",
        ),
    ] = None,
    question: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What a multimodal guide is asked about each picture."),
    ] = None,
    captions: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="CSV with the columns path,text: embed these captions with CLIP instead of asking a multimodal guide.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = NumberFormat.FLOAT32,
    max_pixels: MaxPixelsOption = None,
    clip: ClipOption = False,
    recursive: RecursiveOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Ask a guide about pictures, and keep what it says for training and restoring without it.

    OUT holds one embedding for each picture, found again by the picture's pixels, whatever its name. Pictures that it
    holds already are skipped; a cache of another guide, or made with another question, is refused.
    """
    if captions is not None and question is not None:
        raise InputError("--question is for multimodal guides, --captions for CLIP; give one of them")
    _check_target(target)
    plan = plan_pictures(source, target, is_recursive=recursive)
    from ldrestore.images.files import read_photo

    texts = None if captions is None else _read_captions(captions)
    report = show_plan(plan, command="guide") if not plan.jobs else None
    if report is None:
        report = _run(
            plan,
            _clip_embedding(guide, texts, captions=str(captions), device=device, dtype=dtype)
            if texts is not None
            else _guide_embedding(guide, question, device=device, dtype=dtype),
            read=partial(read_photo, max_pixels=max_pixels, clip=clip),
            is_quiet=quiet,
        )
    raise typer.Exit(show_report(report, as_json=as_json, is_quiet=quiet))


def _check_target(target: str) -> None:
    """Refuse an OUT that cannot become a cache, before a guide is loaded.

    Raises:
        InputError: its name has another suffix, or it lies in no folder.
        EmbeddingCacheError: it exists and is damaged, or no cache.
    """
    path = Path(target)
    if path.suffix.lower() != ".safetensors":
        raise InputError(f"OUT must be a file that ends with .safetensors, got {target!r}")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} for OUT; make it first")
    if path.exists():
        from ldrestore.guides.embedding_cache import load_embedding_cache

        load_embedding_cache(path)


def _read_captions(captions: str) -> dict[str, str]:
    """The captions by the names of the pictures.

    Raises:
        ConfigError: the file cannot be read.
    """
    from ldrestore.guides.clip_text import read_captions

    return read_captions(captions)


def _guide_embedding(
    name_or_path: str | None, question: str | None, *, device: str, dtype: NumberFormat
) -> "tuple[GuideIdentity, Embed]":
    """A loaded multimodal guide: who it is, and what it makes of a picture."""
    import torch

    from ldrestore.guides.multimodal_guide import DEFAULT_GUIDE, DEFAULT_QUESTION, load_multimodal_guide
    from ldrestore.restorers import device_of

    guide = load_multimodal_guide(
        name_or_path or DEFAULT_GUIDE,
        question=DEFAULT_QUESTION if question is None else question,
        device=device_of(device),
        dtype=getattr(torch, dtype.value),
    )
    return guide.identity, lambda job, photo: guide([photo])[0]


def _clip_embedding(
    name_or_path: str | None, texts: dict[str, str], *, captions: str, device: str, dtype: NumberFormat
) -> "tuple[GuideIdentity, Embed]":
    """A loaded text encoder: who it is, and what it makes of a picture's caption."""
    import torch

    from ldrestore.guides.clip_text import DEFAULT_CLIP, load_clip_text
    from ldrestore.restorers import device_of

    encoder = load_clip_text(name_or_path or DEFAULT_CLIP, device=device_of(device), dtype=getattr(torch, dtype.value))

    def embed(job: Job, photo: "Photo") -> "Tensor":
        if job.name not in texts:
            raise InputError(f"{captions} has no caption for {job.name}; add a line for it")
        vector: Tensor = encoder([texts[job.name]])[0]
        return vector

    return encoder.identity, embed


def _run(plan: Plan, guide: "tuple[GuideIdentity, Embed]", *, read: Read, is_quiet: bool) -> RunReport:
    """Embed all pictures of a plan into its cache.

    Raises:
        OtherGuideError: the cache is another guide's.
        EmbeddingCacheError: the cache cannot be written.
    """
    from ldrestore.guides.embedding_cache import EmbeddingWriter

    identity, embed = guide
    with EmbeddingWriter(plan.jobs[0].target, identity) as writer:
        return show_run(plan, _embedding(embed, writer, read=read), command="guide", label="asking", is_quiet=is_quiet)


def _embedding(embed: Embed, writer: "EmbeddingWriter", *, read: Read) -> Work:
    """The work on one picture: read, look it up, embed, put into the cache."""
    from ldrestore.guides.embedding_cache import picture_key

    def embed_job(job: Job) -> Result:
        photo = read(job.source)
        key = picture_key(photo)
        is_new = key not in writer
        if is_new:
            writer.add(key, embed(job, photo))
        skipped = None if is_new else f"{printable(job.target)} holds its pixels"
        return Result(record={"key": key, "is_new": is_new}, skipped=skipped)

    return embed_job
