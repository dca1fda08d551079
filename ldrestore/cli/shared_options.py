"""Arguments and options that several commands share, so that all explain them in the same words."""

import math
from enum import StrEnum
from typing import Annotated

import typer

from ldrestore.cli.completion import complete_models
from ldrestore.jobs.plan import PictureFormat


class NumberFormat(StrEnum):
    """Number formats a network can run in."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


def refuse_nan(value: float | None) -> float | None:
    """What an option was given, unless it is no number, which lies in every range of older versions of typer.

    Raises:
        BadParameter: it is none.
    """
    if value is not None and math.isnan(value):
        raise typer.BadParameter(f"{value} is no number")
    return value


ModelOption = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        help="A name that `ldrestore models` lists, the folder of a model, or an exported .onnx file.",
        autocompletion=complete_models,
    ),
]

DeviceOption = Annotated[
    str,
    typer.Option(metavar="DEVICE", help="`auto` takes a GPU where there is one; or `cpu`, `cuda`, `cuda:1`, `mps`."),
]

DtypeOption = Annotated[NumberFormat, typer.Option(help="Number format of the network; the 16-bit ones are for GPUs.")]

InsArgument = Annotated[
    list[str], typer.Argument(metavar="IN...", help="Pictures, and folders of pictures; several go into a folder.")
]

InArgument = Annotated[str, typer.Argument(metavar="IN", help="A picture, or a folder of pictures.")]

BaseOption = Annotated[
    str | None,
    typer.Option(
        metavar="BASE",
        help="For a model of adapters alone: folder, file or Hub repository of the base that they were trained upon; "
        "without it where they say it is.",
    ),
]

OutArgument = Annotated[
    str,
    typer.Argument(
        metavar="OUT", help="A file, or a folder; a name that ends with '/' is a folder and is made if missing."
    ),
]

FormatOption = Annotated[
    PictureFormat | None,
    typer.Option(
        "--format", help="Format of the results written into a folder; without it each picture keeps its own."
    ),
]

QualityOption = Annotated[
    int, typer.Option(min=1, max=100, metavar="Q", help="Quality of JPEG and WebP results, 1 to 100.")
]

RecursiveOption = Annotated[
    bool,
    typer.Option("--recursive", "-r", help="Look into sub-folders too; hidden ones and links to folders are left out."),
]

OverwriteOption = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Write again what exists; without it a folder's results are skipped, a file's refused."
    ),
]

DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Only list what would be read and written, and what its format cannot hold; at most headers are read.",
    ),
]

MaxPixelsOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Read pictures of up to N pixels; 300 million if not given. For files that you trust."
    ),
]

ClipOption = Annotated[
    bool, typer.Option("--clip", help="Clip float pixels outside [0, 1], which are refused without it.")
]

VerboseOption = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="Name the files that are ignored, and what the model sees in each picture of many."
    ),
]

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document with every input, output, status and reason to stdout.")
]

QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress bar and no summary; failures and warnings are still named.")
]

ListJsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
