"""`ldrestore convert`: a published checkpoint into a folder that `restore --model` takes."""

from typing import Annotated

import typer

from ldrestore.cli.completion import complete_architectures
from ldrestore.cli.console import say
from ldrestore.errors import printable

CONVERT_EXAMPLES = """\b
Examples:
  ldrestore convert nafnet_sidd_w32 NAFNet-SIDD-width32.pth nafnet-sidd
  ldrestore restore photo.jpg better.jpg --model nafnet-sidd
  ldrestore convert instructir im_instructir-7d.pt instructir --head lm_instructir-7d.pt
  ldrestore restore photo.jpg better.jpg --model instructir --instruction "remove the rain"
"""
"""Shown below the help; the first character keeps the lines as they are."""


def convert_command(
    architecture: Annotated[
        str,
        typer.Argument(
            metavar="ARCH",
            help="Name of the architecture; `ldrestore models --architectures` lists them. Or `instructir_head`, "
            "`clip_tower`, `faithdiff`; or `spandrel`, for whatever the package of that name recognises.",
            autocompletion=complete_architectures,
        ),
    ],
    checkpoint: Annotated[
        str, typer.Argument(metavar="CHECKPOINT", help="The authors' file: .pth, .pt or .safetensors.")
    ],
    out_dir: Annotated[str, typer.Argument(metavar="OUT_DIR", help="Folder to make; must not exist, or be empty.")],
    head: Annotated[
        str | None,
        typer.Option(
            metavar="HEAD",
            help="The file of the instruction head that the authors publish beside an InstructIR; without it the model "
            "takes no --instruction.",
        ),
    ] = None,
) -> None:
    """Convert a published checkpoint to a model folder.

    Pickled files are read without running code from them. Every weight must fit, or nothing is written.
    """
    from ldrestore.conversion import convert

    folder = convert(architecture, checkpoint, out_dir, head=head)
    print(printable(folder))
    if (folder / "model_index.json").is_file():
        say(f"next: ldrestore restore IN OUT --model {folder}")
