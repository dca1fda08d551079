"""`ldrestore doctor`: what this installation can do, and what is missing."""

from dataclasses import asdict
from typing import Annotated

import typer

from ldrestore.cli.console import print_json

DOCTOR_EXAMPLES = """\b
Examples:
  ldrestore doctor
  ldrestore doctor --json
"""
"""Shown below the help; the first character keeps the lines as they are."""

_SIGNS = {"ok": " ok ", "note": "note", "problem": "FAIL"}


def doctor_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document instead of lines.")] = False,
) -> None:
    """Look at this installation: what works, what is missing, and how to get it.

    Versions against those that this release was tested with, devices, memory, whether the network may be asked, models,
    extras. Nothing is fetched or changed. Exit codes: 0 all is there that every installation needs, 1 something is not.
    """
    from ldrestore.cli.doctor_checks import State, look_at_everything

    findings = look_at_everything()
    problems = [finding for finding in findings if finding.state is State.PROBLEM]
    if as_json:
        print_json({"healthy": not problems, "findings": [asdict(finding) for finding in findings]})
    else:
        width = max(len(finding.topic) for finding in findings)
        for finding in findings:
            print(f"{_SIGNS[finding.state.value]}  {finding.topic.ljust(width)}  {finding.text}")
            if finding.remedy is not None:
                print(f"{' ' * (width + 8)}-> {finding.remedy}")
        print(f"\n{len(problems)} problems" if problems else "\nready: ldrestore restore photo.jpg better.jpg")
    raise typer.Exit(1 if problems else 0)
