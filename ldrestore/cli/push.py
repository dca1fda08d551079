"""`ldrestore push`: a model of one's own to the Hub."""

from typing import Annotated

import typer

PUSH_EXAMPLES = """\b
Examples:
  ldrestore push my-model somebody/my-model
  ldrestore push my-model somebody/my-model --licence Apache-2.0 --private
"""
"""Shown below the help; the first character keeps the lines as they are."""


def push_command(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of a model.")],
    repository: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Hub repository; made if it is missing.")],
    licence: Annotated[
        str | None, typer.Option(metavar="LICENCE", help="Of the weights; without it what the folder says.")
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository for its owner alone.")] = False,
    message: Annotated[str | None, typer.Option(metavar="TEXT", help="Of the commit.")] = None,
    new_card: Annotated[bool, typer.Option("--new-card", help="Generate a card even where there is one.")] = False,
) -> None:
    """Upload a model folder to the Hub, with a card.

    Configs, safetensors and the card are uploaded, never code. The model is loaded first, so that a damaged one is not
    published. The token is that of `hf auth login` or HF_TOKEN.
    """
    from ldrestore.hub import push_to_hub

    print(push_to_hub(folder, repository, licence=licence, private=private, message=message, new_card=new_card))
