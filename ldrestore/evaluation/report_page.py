"""The third step's page: one `report.html` that opens without a network, with tables, charts and pictures to look at.

The page is a template of the library with its style, its scripts and all figures inside; pictures are inside as far as
`MAX_EMBEDDED` goes, the others in a folder beside it. Names and texts of the results enter as JSON in which no mark-up
can begin, and the scripts show them as text alone. A content policy in the page forbids every fetch and foreign script.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ldrestore.evaluation.report_data import page_data
from ldrestore.evaluation.report_pictures import MAX_EMBEDDED, gather_pictures
from ldrestore.evaluation.results import Results
from ldrestore.evaluation.stored_files import write_text

REPORT_FILE = "report.html"
"""Beside `results.json`."""
PAGE_FOLDER = Path(__file__).resolve().parent / "report_template"
"""Template, style and scripts."""
SCRIPTS = ("elements.js", "state.js", "figures.js", "charts.js", "gallery.js", "viewer.js", "record.js", "page.js")
"""In the order in which they are run."""
_PLACE = re.compile(r"\{\{(\w+)\}\}")
_UNSAFE = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


def write_page(
    results: Results, out_dir: Path, *, data_root: Path | None = None, max_embedded: int = MAX_EMBEDDED
) -> Path:
    """Write `report.html`, whole or not at all, and the pictures that do not fit into it beside it.

    Args:
        results: With means and comparisons.
        out_dir: The folder of the benchmark.
        data_root: The folder that sets lie in; without it pictures that lie there are not shown.
        max_embedded: The most bytes of pictures inside the page.

    Returns:
        The page.

    Raises:
        ImageWriteError: the folder or file cannot be written.
    """
    pictures = gather_pictures(results, out_dir, data_root=data_root, max_embedded=max_embedded)
    path = out_dir / REPORT_FILE
    write_text(path, page_text(page_data(results), pictures))
    return path


def page_text(data: Mapping[str, Any], pictures: Mapping[str, str]) -> str:
    """The whole page.

    Args:
        data: See `ldrestore.evaluation.report_data.page_data`.
        pictures: Hash of a picture's pixels to its address.
    """
    style = (PAGE_FOLDER / "page.css").read_text(encoding="utf-8")
    script = "\n".join((PAGE_FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}}})();\n'
    values = {
        "title": html.escape(f"{data['suite']}: restorers compared"),
        "policy": _policy(style, script),
        "style": style,
        "script": script,
        "data": json_in_html(data),
        "pictures": json_in_html(pictures),
    }
    template = (PAGE_FOLDER / "page.html").read_text(encoding="utf-8")
    return _PLACE.sub(lambda match: values[match[1]], template)


def json_in_html(value: Any) -> str:
    """JSON that may stand between script tags: it holds no letter that mark-up begins or ends with."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).translate(_UNSAFE)


def _policy(style: str, script: str) -> str:
    """What the page may do: run its own script and style, and show pictures of its own and beside it."""
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") for text in (style, script)
    ]
    return (
        f"default-src 'none'; img-src 'self' data: file:; style-src 'sha256-{hashes[0]}'; "
        f"script-src 'sha256-{hashes[1]}'; base-uri 'none'; form-action 'none'"
    )
