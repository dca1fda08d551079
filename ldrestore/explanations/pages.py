"""Explanations as plain values for JSON, and as a short page in Markdown that shows the figures."""

from dataclasses import asdict
from typing import Any

from ldrestore import __version__
from ldrestore.explanations.explanation import MAX_SEEN, Explanation, SeenPart
from ldrestore.explanations.page_parts import code, entries, rounded, rounded_all, table_of
from ldrestore.explanations.sentence_map import SentenceMap
from ldrestore.explanations.usage_report import UsageReport
from ldrestore.records import hash_of_pixels

MIN_LISTED = 0.05
"""Degradations below this probability are left out of the page's table; the JSON file has all."""


def document_of_explanation(explanation: Explanation, *, name: str) -> dict[str, Any]:
    """All numbers of an explanation.

    Args:
        explanation: Of one picture.
        name: What to call the picture.

    Returns:
        Plain values, ready for JSON; no paths and no time stamps.
    """
    picture = explanation.picture
    document = {
        "ldrestore": __version__,
        "kind": "picture",
        "model": asdict(explanation.model),
        "picture": {
            "name": name,
            "height": picture.height,
            "width": picture.width,
            "sha256": hash_of_pixels(picture.pixels, picture.alpha),
        },
        "seen": asdict(explanation.seen),
        "is_told": explanation.is_told,
        "usage": entries(explanation.usage),
        "routing": [{**asdict(route), "probability": rounded(route.probability)} for route in explanation.routing],
        "expert_maps": None,
        "estimate": None,
        "instruction": None,
        "differences": {
            key: {"mean": rounded(difference.mean), "psnr": rounded(difference.psnr)}
            for key, difference in explanation.differences.items()
        },
        "record": dict(explanation.record),
    }
    if explanation.expert_maps is not None:
        document["expert_maps"] = [
            {"expert": index, "mean": rounded(one.mean()), "max": rounded(one.max())}
            for index, one in enumerate(explanation.expert_maps)
        ]
    if explanation.estimate is not None:
        document["estimate"] = {key: rounded(value) for key, value in explanation.estimate.ranked()}
    if explanation.instruction is not None:
        told = explanation.instruction
        likely = {key: rounded(value) for key, value in told.probabilities.items()}
        document["instruction"] = {"text": told.text, "asked_for": told.asked_for, "probabilities": likely}
    return document


def document_of_report(report: UsageReport) -> dict[str, Any]:
    """All numbers of a usage report: plain values, ready for JSON."""
    return {
        "ldrestore": __version__,
        "kind": "folder",
        "model": asdict(report.model),
        "pictures": list(report.pictures),
        "num_cut": report.num_cut,
        "mean_usage": entries(report.mean()),
        "shares": entries(report.shares(), key="shares"),
        "usage": [{"name": name, "weights": [rounded_all(row) for row in rows]} for name, rows in report.usage.items()],
    }


def document_of_sentences(found: SentenceMap) -> dict[str, Any]:
    """All numbers of a sentence map: plain values, ready for JSON."""
    rows = zip(found.sentences, found.predicted, found.before, found.after, strict=True)
    return {
        "ldrestore": __version__,
        "kind": "instructions",
        "encoder": found.encoder,
        "classes": list(found.classes),
        "accuracy": rounded(found.accuracy),
        "silhouette": {"before": rounded(found.silhouette_before), "after": rounded(found.silhouette_after)},
        "sentences": [
            {
                "text": sentence.text,
                "class": sentence.class_name,
                "predicted": predicted,
                "before": rounded_all(before),
                "after": rounded_all(after),
            }
            for sentence, predicted, before, after in rows
        ],
    }


def page_of_explanation(explanation: Explanation, *, name: str) -> str:
    """The page about one picture.

    Args:
        explanation: Of one picture.
        name: What to call the picture.
    """
    picture, model = explanation.picture, explanation.model
    lines = [
        f"# What {model.architecture} does with {code(name)}",
        "",
        f"{picture.width} × {picture.height} pixels; weights {code(model.weights_sha256[:12])}. All numbers are in "
        "[explanation.json](explanation.json).",
        *_section_of_estimate(explanation),
        *_section_of_instruction(explanation),
        *_section_of_usage(explanation),
        *_section_of_maps(explanation),
        *_section_of_differences(explanation),
    ]
    return "\n".join(lines) + "\n"


def page_of_report(report: UsageReport) -> str:
    """The page about many pictures."""
    model, unit = report.model, report.model.unit
    lines = [
        f"# What {model.architecture} uses over {len(report.pictures)} pictures",
        "",
        f"Weights {code(model.weights_sha256[:12])}. Nothing was restored. Every picture counts the same, and all "
        "numbers are in [explanation.json](explanation.json).",
    ]
    if report.num_cut:
        size = f"{MAX_SEEN} × {MAX_SEEN} pixels"
        lines += ["", f"Larger than {size}: {report.num_cut}. Of these only the part at the middle was looked at."]
    if shares := report.shares():
        count = len(next(iter(shares.values())))
        rows = [(block, *(f"{share:.0%}" for share in row)) for block, row in shares.items()]
        lines += ["", "## Routing", "", "The share of the pictures that each expert gets, block by block.", ""]
        lines += table_of(("block", *(f"expert {index}" for index in range(count))), rows)
        lines += ["", "![share of the pictures of each expert](routing.png)"]
    lines += ["", f"## {_title(unit)}", "", f"The mean over the pictures; the {unit}s are counted from 0.", ""]
    lines += [f"![usage of the {unit}s](usage.png)"]
    return "\n".join(lines) + "\n"


def page_of_sentences(found: SentenceMap) -> str:
    """The page about a sentence map."""
    missed = [
        (sentence.text, sentence.class_name, predicted)
        for sentence, predicted in zip(found.sentences, found.predicted, strict=True)
        if sentence.class_name in found.classes and predicted != sentence.class_name
    ]
    apart = [(name, value) for name, value in (("before", found.silhouette_before), ("after", found.silhouette_after))]
    lines = [
        f"# How {len(found.sentences)} instructions lie before and after the head",
        "",
        f"Encoder {code(found.encoder)}. The sentences are held out: the library's own head was not trained on them. "
        "t-SNE keeps neighbours and not distances; the numbers below are taken before it.",
        "",
        "![t-SNE of the instructions](instructions.png)",
        "",
        *table_of(
            ("", "silhouette of the classes"),
            [(name, "none" if value is None else f"{value:.3f}") for name, value in apart],
        ),
    ]
    if found.accuracy is not None:
        lines += ["", f"The head takes {found.accuracy:.1%} of the sentences that ask for something for their class."]
    if missed:
        lines += ["", *table_of(("taken for another class", "is", "taken for"), missed)]
    return "\n".join(lines) + "\n"


def _section_of_estimate(explanation: Explanation) -> list[str]:
    """What the model sees, if it says so."""
    if explanation.estimate is None:
        return []
    listed = [(name, f"{share:.2f}") for name, share in explanation.estimate.ranked() if share >= MIN_LISTED]
    table = table_of(("degradation", "probability"), listed) if listed else ["None is likelier than 5 %."]
    return ["", "## What it sees", "", *table, "", "![degradation estimate](estimate.png)"]


def _section_of_instruction(explanation: Explanation) -> list[str]:
    """What the instruction was taken for, if there was one."""
    told = explanation.instruction
    if told is None:
        return []
    asked_for, probability = told.asked_for, told.probabilities[told.asked_for]
    what = f"{code(told.text)} is taken for {asked_for.replace('_', ' ')} ({probability:.0%})."
    return ["", "## Instruction", "", what, "", "![classes of the instruction](instruction.png)"]


def _section_of_usage(explanation: Explanation) -> list[str]:
    """Prompts and experts, or that there are none."""
    model, usage = explanation.model, explanation.usage
    if not usage:
        return ["", "## Prompts and experts", "", f"{model.architecture} has no prompts or experts that it could show."]
    lines = ["", f"## {_title(model.unit)}", "", _told_of(explanation.seen, "The numbers are")]
    if explanation.is_told is False:
        lines += ["", "Neither an instruction nor an embedding was given, and the model says what it does without."]
    if model.routes_to_one:
        rows = [(route.block, str(route.expert), f"{route.probability:.2f}") for route in explanation.routing]
        lines += ["", "Each block gives the picture to its most probable expert, counted from 0, the cheapest.", ""]
        lines += table_of(("block", "expert", "probability"), rows)
    return [*lines, "", f"![usage of the {model.unit}s](usage.png)"]


def _section_of_maps(explanation: Explanation) -> list[str]:
    """Where each expert changes the result, if there are maps."""
    if explanation.expert_maps is None:
        return []
    what = "How far the result moves when an expert is silent everywhere. "
    told = _told_of(explanation.seen, "The maps are")
    return ["", "## Where each expert works", "", what + told, "", "![maps of the experts](expert_maps.png)"]


def _section_of_differences(explanation: Explanation) -> list[str]:
    """What the model changed, and what was and is wrong."""
    rows = [
        (key, f"{255 * difference.mean:.2f}", f"{difference.psnr:.2f}" if key.endswith("gt") else "")
        for key, difference in explanation.differences.items()
    ]
    table = table_of(("difference", "mean of absolute values, of 255", "PSNR, dB"), rows)
    return ["", "## What it changes", "", *table, "", "![differences](differences.png)"]


def _told_of(seen: SeenPart, subject: str) -> str:
    """Which part of the picture something is told of."""
    if seen.is_whole:
        return f"{subject} those of the whole picture, seen at once."
    return (
        f"{subject} those of the {seen.width} × {seen.height} pixels at the middle of the picture, seen at once. The "
        "rest was restored, but not looked at here: with it, or without it, the model may choose otherwise."
    )


def _title(unit: str | None) -> str:
    """Heading of a section about prompts or experts."""
    return f"{str(unit).capitalize()}s"
