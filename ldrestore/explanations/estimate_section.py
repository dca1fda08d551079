"""What models see to be wrong with one picture, or with many: numbers, and one figure for all tracks."""

from collections.abc import Sequence

import numpy as np

from ldrestore.explanations.drawing import draw_ranking, draw_table
from ldrestore.explanations.page_parts import image_of, rounded, rounded_all, table_of
from ldrestore.explanations.sections import Section
from ldrestore.structures import DegradationEstimate

MIN_LISTED = 0.05
"""Degradations below this probability are left out of the page's table; the JSON file has all."""
MAX_TABLE_PICTURES = 30
"""Of more pictures the mean probabilities are drawn."""
MAX_NAME = 32
"""Letters of a picture's name in a figure."""

_HEADING, _FIGURE = "Degradations", "estimate.png"


def section_of_estimate(
    estimate: DegradationEstimate | None, lead: str, *, is_given: bool = False, note: str | None = None
) -> Section:
    """What is wrong with one picture, as the model sees it or was given it.

    Args:
        estimate: None from a model that estimates nothing.
        lead: What the probabilities are.
        is_given: Whether they were given.
        note: A further paragraph.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    if estimate is None:
        return Section(document={"estimate": None})
    ranked = estimate.ranked()
    listed = [(name, f"{share:.2f}") for name, share in ranked if share >= MIN_LISTED]
    table = table_of(("degradation", "probability"), listed) if listed else "None is likelier than 5 %."
    title = f"degradations {'given' if is_given else 'that the model sees'}"
    return Section(
        document={"estimate": {name: rounded(share) for name, share in ranked}},
        heading=_HEADING,
        paragraphs=[lead, *([note] if note else []), table, image_of(_FIGURE, f"bars: {title}")],
        figures={_FIGURE: draw_ranking(ranked, title=title)},
    )


def section_of_estimates(names: Sequence[str], probabilities: np.ndarray, pictures: Sequence[str]) -> Section:
    """What a model sees in many pictures.

    Args:
        names: The N degradations.
        probabilities: (P, N), in [0, 1].
        pictures: Names of the P pictures; at least one.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    mean = probabilities.mean(axis=0).tolist()
    ranked = sorted(zip(names, mean, strict=True), key=lambda pair: -pair[1])
    if len(pictures) > MAX_TABLE_PICTURES:
        title = f"degradations that the model sees, mean over {len(pictures)} pictures"
        figure = draw_ranking(ranked, title=title)
    else:
        figure = draw_table(
            {
                f"{number}: {_readable(name)}": row
                for number, (name, row) in enumerate(zip(pictures, probabilities, strict=True), start=1)
            },
            title="probability of each degradation, the highest framed",
            unit="",
            columns=[name.replace("_", " ") for name in names],
            is_framed=True,
        )
    return Section(
        document={
            "degradations": list(names),
            "mean": rounded_all(mean),
            "pictures": [
                {"name": name, "probabilities": rounded_all(row)}
                for name, row in zip(pictures, probabilities, strict=True)
            ],
        },
        heading=_HEADING,
        paragraphs=[
            "The mean of the probabilities P, predicted from the pictures:",
            table_of(("degradation", "mean probability"), [(name, f"{share:.2f}") for name, share in ranked]),
            image_of(_FIGURE, "the probability of each degradation"),
        ],
        figures={_FIGURE: figure},
    )


def _readable(name: str) -> str:
    """A picture's name, its end where it is long, without signs that matplotlib reads as formulas."""
    short = name if len(name) <= MAX_NAME else f"…{name[-MAX_NAME:]}"
    return short.replace("$", r"\$")
