"""`ldrestore models`: what there is to restore with."""

from dataclasses import asdict

import typer

from ldrestore.cli.console import print_json, print_table
from ldrestore.cli.shared_options import ListJsonOption

MODELS_EXAMPLES = """\b
Examples:
  ldrestore models
  ldrestore models --json
"""
"""Shown below the help; the first character keeps the lines as they are."""


def models_command(as_json: ListJsonOption = False) -> None:
    """List models and architectures.

    Models are ready to use with `ldrestore restore --model NAME`; some restore in one pass, others sample.
    Architectures can be trained, and published checkpoints of them converted. Operations are multiplications with
    addition for 256 x 256 pixels.
    """
    from ldrestore.assets.catalog import MODELS
    from ldrestore.regressors.catalog import REGRESSORS

    if as_json:
        architectures = [
            {
                "name": record.name,
                "parameters": record.parameters,
                "macs": record.macs,
                "tasks": record.tasks,
                "licence": record.licence,
                "source": record.source,
            }
            for record in REGRESSORS
        ]
        print_json({"models": [asdict(record) for record in MODELS], "architectures": architectures})
        raise typer.Exit()
    print_table(
        ("model", "kind", "summary", "for"),
        [
            (
                record.name,
                f"{record.track} track\n{record.parameters / 1e6:.2f} M\n{record.licence}",
                record.summary,
                ", ".join(record.tasks),
            )
            for record in MODELS
        ],
        title="models: ldrestore restore IN OUT --model NAME",
    )
    print_table(
        ("architecture", "parameters", "operations", "licence of published weights", "for"),
        [
            (
                record.name,
                f"{record.parameters / 1e6:.2f} M",
                f"{record.macs / 1e9:.1f} G",
                record.licence,
                ", ".join(record.tasks),
            )
            for record in REGRESSORS
        ],
        title="architectures: ldrestore convert NAME CHECKPOINT OUT_DIR",
    )
