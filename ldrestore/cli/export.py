"""`ldrestore export`: a model's network into one .onnx file that `restore --model` takes."""

from typing import Annotated

import typer

from ldrestore.cli.completion import complete_models
from ldrestore.errors import printable

EXPORT_EXAMPLES = """\b
Examples:
  ldrestore export default default.onnx
  ldrestore restore photo.jpg better.jpg --model default.onnx
"""
"""Shown below the help; the first character keeps the lines as they are."""


def export_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A name that `ldrestore models` lists, or the folder of a model.",
            autocompletion=complete_models,
        ),
    ],
    out_path: Annotated[str, typer.Argument(metavar="OUT", help="File to write; its name ends in .onnx.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Write again what exists.")] = False,
) -> None:
    """Export a model to ONNX, for any height and width.

    The file is checked with onnxruntime against the model before it gets its name. It needs the extra `export`.
    """
    from diffusers.utils import logging

    from ldrestore.restorers import export_model

    logging.disable_progress_bar()
    print(printable(export_model(model, out_path, overwrite=overwrite)))
