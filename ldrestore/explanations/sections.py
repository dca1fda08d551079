"""What an explanation is put together of: sections, each with its numbers, its part of the page and its figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ldrestore import __version__
from ldrestore.explanations.explainer import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One thing that there is to say, of whatever track the model is; without paragraphs it has no part of the page."""

    document: Mapping[str, Any] = field(default_factory=dict)
    """Plain values, for JSON, by the keys that they have there."""
    heading: str = ""
    """On the page."""
    paragraphs: Sequence[str] = ()
    """In Markdown; they name every figure."""
    figures: Mapping[str, bytes] = field(default_factory=dict)
    """File name, one of the track's record, to PNG."""


def finding_of(
    title: str, lead: Sequence[str], sections: Sequence[Section], *, kind: str, document: Mapping[str, Any]
) -> Finding:
    """Put an explanation together.

    Args:
        title: Of the page.
        lead: Paragraphs below it.
        sections: In the order of the page.
        kind: What is explained, for the document.
        document: Further values of it.
    """
    parts = [f"# {title}", *lead]
    values: dict[str, Any] = {"ldrestore": __version__, "kind": kind, **document}
    figures: dict[str, bytes] = {}
    for section in sections:
        if section.paragraphs:
            parts += [f"## {section.heading}", *section.paragraphs]
        values |= section.document
        figures |= section.figures
    return Finding(document=values, page="\n\n".join(parts) + "\n", figures=figures)
