"""A run on one page: before and after, what the model saw, options and errors; opens without a network.

Names, reasons and all other texts are escaped, and the page's own policy forbids scripts and every fetch. Pictures are
small and inside the page; links lead to the files as they lay beside it.
"""

import base64
import contextlib
import html
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ldrestore import __version__
from ldrestore.errors import ImageWriteError, OutputExistsError, printable
from ldrestore.jobs.outcome import Outcome, Status
from ldrestore.jobs.report import RunReport
from ldrestore.records import path_beside

SHEET_NAME = "report.html"
"""In the folder of the results; beside a single result its own name stands before it."""
MOST_PICTURED = 2000
"""So many pictures are shown; of the others the words alone."""
LEAST_SHOWN = 0.05
"""Probabilities below are left out."""
MARK = '<meta name="generator" content="ldrestore contact sheet">'
"""By which a sheet of ours is known."""

_ORDER = (Status.FAILED, Status.CANCELLED, Status.DONE, Status.SKIPPED, Status.PLANNED)
_STYLE = """
:root { color-scheme: light dark; --paper: light-dark(#f6f5f2, #151618); --sheet: light-dark(#fff, #1f2023);
  --ink: light-dark(#1c1b19, #e9e6e0); --soft: light-dark(#5f5c56, #a8a49c); --line: light-dark(#dedad1, #35363a);
  --accent: light-dark(#0d5c7d, #7cc4e4); --bad: light-dark(#a8261f, #ff8a80); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1500px; padding: 28px clamp(14px, 3vw, 40px) 60px; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 15px; margin: 0; overflow-wrap: anywhere; }
a { color: var(--accent); } p { margin: 6px 0 0; overflow-wrap: anywhere; } .soft { color: var(--soft); }
.counts { display: flex; flex-wrap: wrap; gap: 6px 28px; margin: 16px 0 0; padding: 0; list-style: none; }
.counts b { font-size: 24px; font-variant-numeric: tabular-nums; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 16px;
  margin-top: 24px; align-items: start; }
article { background: var(--sheet); border: 1px solid var(--line); border-radius: 10px; padding: 14px; min-width: 0; }
article.failed { border-color: var(--bad); } .failed .state { color: var(--bad); font-weight: 600; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; margin-top: 10px; }
figure { margin: 0; min-width: 0; } figcaption { color: var(--soft); font-size: 12px; }
img { display: block; width: 100%; height: auto; border-radius: 4px; }
table { border-collapse: collapse; margin-top: 10px; font-size: 13px; width: 100%; }
th { text-align: left; font-weight: 400; color: var(--soft); padding: 1px 10px 1px 0; vertical-align: top; }
td { padding: 1px 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; } meter { width: 90px; }
details { margin-top: 10px; font-size: 13px; } summary { cursor: pointer; color: var(--accent); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
@media print { article { break-inside: avoid; } }
"""


def sheet_path(target: str | Path, *, is_file: bool) -> Path:
    """Where the sheet of a run goes.

    Args:
        target: As the command was told: a file, or a folder.
        is_file: Whether it is a file.
    """
    path = Path(target)
    return path_beside(path, f".{SHEET_NAME}") if is_file else path / SHEET_NAME


def check_sheet_place(path: Path) -> None:
    """Refuse to replace a page that is no sheet of ours, before anything is computed.

    Raises:
        OutputExistsError: there is such a file.
    """
    try:
        with path.open("rb") as file:
            is_ours = MARK.encode() in file.read(600)
    except FileNotFoundError:
        return
    except OSError:
        is_ours = False
    if not is_ours:
        raise OutputExistsError(
            path, "lies where the report belongs, and is none of ours", "move it, or use --overwrite"
        )


def write_contact_sheet(report: RunReport, path: Path) -> None:
    """Write the sheet of a run, whole or not at all.

    Args:
        report: Of the run; outcomes with thumbnails are pictured.
        path: The page; its folder is made.

    Raises:
        ImageWriteError: it cannot be written.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(contact_sheet(report, folder=path.parent), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise ImageWriteError(path, f"the report cannot be written ({error.strerror})", "check the folder") from error


def contact_sheet(report: RunReport, *, folder: Path) -> str:
    """The page of a run.

    Args:
        report: Of the run.
        folder: Where the page will lie; links are relative to it.
    """
    outcomes = sorted(report.outcomes, key=lambda outcome: _ORDER.index(outcome.status))  # stable: by name within
    pictured = {id(one) for one in [one for one in outcomes if one.thumbnails][:MOST_PICTURED]}
    cards = "\n".join(_card(one, folder=folder, has_pictures=id(one) in pictured) for one in outcomes)
    states = [status for status in _ORDER if report.count(status)]
    counts = "".join(f"<li><b>{report.count(status)}</b> {status.value}</li>" for status in states)
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{MARK}\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(report.command)}: {len(outcomes)} pictures</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>ldrestore {_text(report.command)}</h1>\n"
        f'<p class="soft">version {_text(__version__)}; {_models(report)}{report.seconds:.1f} seconds of work</p>\n'
        f'<ul class="counts">{counts}</ul></header>\n<main class="grid">\n{cards}\n</main>\n</body>\n</html>\n'
    )


def _models(report: RunReport) -> str:
    """Name and first digits of the weights of what restored."""
    models = [(one.record or {}).get("model") for one in report.outcomes]
    found = {(str(one.get("name")), str(one.get("weights_sha256"))[:12]) for one in models if isinstance(one, Mapping)}
    return "".join(f"model {_text(name)} ({_text(digits)}); " for name, digits in sorted(found))


def _card(outcome: Outcome, *, folder: Path, has_pictures: bool) -> str:
    """One picture."""
    state = outcome.status.value + (f", {outcome.seconds:.1f} s" if outcome.seconds else "")
    name = _text(outcome.job.name)
    if outcome.status is Status.DONE:
        name = f'<a href="{_link(outcome.job.target, folder)}">{name}</a>'
    parts = [f'<article class="{outcome.status.value}">', f"<h2>{name}</h2>", f'<p class="state">{state}</p>']
    parts += [f"<p>{_text(text)}</p>" for text in (outcome.reason, *outcome.notes, *outcome.advice) if text]
    if has_pictures and outcome.thumbnails is not None:
        shown = zip(("before", "after"), outcome.thumbnails, strict=True)
        parts.append(
            f'<div class="pair">{"".join(_figure(word, data, outcome.job.name) for word, data in shown)}</div>'
        )
    record = outcome.record or {}
    parts += [_estimate(record.get("degradations")), _settings(record), "</article>"]
    return "\n".join(part for part in parts if part)


def _figure(word: str, data: bytes, name: str) -> str:
    """One of the two small pictures."""
    encoded = base64.b64encode(data).decode("ascii")
    image = f'<img loading="lazy" alt="{word}: {_text(name)}" src="data:image/jpeg;base64,{encoded}">'
    return f"<figure>{image}<figcaption>{word}</figcaption></figure>"


def _estimate(degradations: Any) -> str:
    """What the model saw, the surest first, as bars; empty from models that estimate nothing."""
    if not isinstance(degradations, Mapping):
        return ""
    ranked = sorted(degradations.items(), key=lambda pair: -pair[1])
    shown = [
        (name, f'<meter max="1" value="{share:.3f}"></meter> {share:.2f}')
        for name, share in ranked
        if share >= LEAST_SHOWN
    ]
    rows = [f'<tr><th scope="row">{_text(name)}</th><td>{bar}</td></tr>' for name, bar in shown]
    return f"<table>{''.join(rows)}</table>" if rows else '<p class="soft">the model saw nothing wrong</p>'


def _settings(record: Mapping[str, Any]) -> str:
    """Options, tiles and machine of a record, folded away."""
    groups = ("options", "tile_plan", "runtime", "packages")
    rows = [
        f'<tr><th scope="row">{_text(name)}</th><td>{_text(value)}</td></tr>' for name, value in _pairs(record, groups)
    ]
    return f"<details><summary>how it was made</summary><table>{''.join(rows)}</table></details>" if rows else ""


def _pairs(record: Mapping[str, Any], groups: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Entries of some groups of a record that say something."""
    for group in groups:
        entries = record.get(group)
        for name, value in entries.items() if isinstance(entries, Mapping) else ():
            if value is not None:
                yield name, value


def _link(path: Path, folder: Path) -> str:
    """A relative address of a file."""
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:  # another drive
        return html.escape(path.absolute().as_uri())
    return "./" + quote(os.fsencode(relative.replace(os.sep, "/")))


def _text(value: object) -> str:
    """A text in which no mark-up begins."""
    return html.escape(printable(value))
