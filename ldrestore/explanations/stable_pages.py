"""What models of the stable track do, as plain values for JSON, and as a short page in Markdown."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ldrestore import __version__
from ldrestore.explanations.explanation import difference_of
from ldrestore.explanations.page_parts import code, rounded, rounded_all, table_of
from ldrestore.explanations.pages import MIN_LISTED
from ldrestore.explanations.point_map import PointMap
from ldrestore.explanations.prompt_maps import TEXTS, WORDS, PromptMaps
from ldrestore.explanations.stable_explanation import StableExplanation, StableReport
from ldrestore.explanations.stable_figures import strip_of
from ldrestore.records import hash_of_pixels

_TEXT_MEANINGS = {
    WORDS: "what the text encoder puts out at each word of T, which no picture changes",
    TEXTS: "what it puts out after the words that the CM-Adapter and T say of each picture for each degradation",
}


def document_of_stable(explanation: StableExplanation, *, name: str) -> dict[str, Any]:
    """All numbers of an explanation.

    Args:
        explanation: Of one picture.
        name: What to call the picture.

    Returns:
        Plain values, ready for JSON; no paths and no time stamps.
    """
    height, width = explanation.whole_size
    picture = explanation.picture
    return {
        "ldrestore": __version__,
        "kind": "stable picture",
        "model": dict(explanation.model),
        "picture": {"name": name, "height": height, "width": width},
        "seen": {**asdict(explanation.seen), "sha256": hash_of_pixels(picture.pixels, picture.alpha)},
        "estimate": {key: rounded(value) for key, value in explanation.estimate.ranked()},
        "is_given": explanation.is_given,
        "sampling": {"num_steps": explanation.num_steps, "estimates": _entries_of_estimates(explanation)},
        "has_refiner": explanation.unrefined is not None,
        "prompts": _document_of_prompts(explanation.prompts),
        "differences": {
            key: {"mean": rounded(difference.mean), "psnr": rounded(difference.psnr)}
            for key, difference in explanation.differences.items()
        },
        "record": dict(explanation.record),
    }


def document_of_stable_report(report: StableReport) -> dict[str, Any]:
    """All numbers of a report over many pictures: plain values, ready for JSON."""
    return {
        "ldrestore": __version__,
        "kind": "stable folder",
        "model": dict(report.model),
        "degradations": list(report.names),
        "mean": rounded_all(report.probabilities.mean(axis=0)),
        "pictures": [
            {"name": name, "probabilities": rounded_all(row)}
            for name, row in zip(report.pictures, report.probabilities, strict=True)
        ],
        "prompts": _document_of_prompts(report.prompts),
    }


def page_of_stable(explanation: StableExplanation, *, name: str) -> str:
    """The page about one picture.

    Args:
        explanation: Of one picture.
        name: What to call the picture.
    """
    height, width = explanation.whole_size
    options, seen = explanation.record["options"], explanation.seen
    listed = [(one, f"{share:.2f}") for one, share in explanation.estimate.ranked() if share >= MIN_LISTED]
    told = "given with the call" if explanation.is_given else "predicted from the picture"
    lines = [
        f"# What {_title_of(explanation.model)} does with {code(name)}",
        "",
        f"{width} × {height} pixels; {explanation.model['scheduler']}, {options['num_inference_steps']} steps, seed "
        f"{options['seed']}. All numbers are in [explanation.json](explanation.json).",
    ]
    if not seen.is_whole:
        lines += [
            "",
            f"The picture is large: all of this is about the {seen.width} × {seen.height} pixels at its middle, "
            "restored by themselves. With the rest around them the result may be another.",
        ]
    lines += ["", "## Degradations", "", f"The probabilities P, {told}; they weigh all prompts.", ""]
    lines += table_of(("degradation", "probability"), listed)
    lines += ["", f"![bars: the probability of each degradation, {told}](estimate.png)"]
    lines += [*_section_of_sampling(explanation), *_sections_of_prompts(explanation.prompts)]
    rows = [
        (key, f"{255 * difference.mean:.2f}", f"{difference.psnr:.2f}" if key.endswith("gt") else "")
        for key, difference in explanation.differences.items()
    ]
    lines += ["", "## What it changes", ""]
    lines += table_of(("difference", "mean of absolute values, of 255", "PSNR, dB"), rows)
    lines += ["", f"![pictures, and maps of their differences: {', '.join(explanation.differences)}](differences.png)"]
    return "\n".join(lines) + "\n"


def page_of_stable_report(report: StableReport) -> str:
    """The page about many pictures."""
    mean = sorted(zip(report.names, report.probabilities.mean(axis=0), strict=True), key=lambda pair: -pair[1])
    lines = [
        f"# What {_title_of(report.model)} sees in {len(report.pictures)} pictures",
        "",
        "Nothing was restored. All numbers are in [explanation.json](explanation.json).",
        "",
        "## Degradations",
        "",
        "The mean of the probabilities P, predicted from the pictures:",
        "",
        *table_of(("degradation", "mean probability"), [(name, f"{share:.2f}") for name, share in mean]),
        "",
        "![the probability of each degradation](estimate.png)",
        *_sections_of_prompts(report.prompts),
    ]
    return "\n".join(lines) + "\n"


def _section_of_sampling(explanation: StableExplanation) -> list[str]:
    """The strip, and how far each estimate is from the result."""
    lines = [
        "",
        "## Sampling",
        "",
        "At each step the model has an estimate of the clean picture, x₀, here as the autoencoder alone decodes it.",
    ]
    if explanation.unrefined is None:
        lines += ["The model has no refiner."]
    else:
        lines += ["The result is decoded from the last latents, without the refiner and with it."]
    if explanation.estimates:
        has_gt = explanation.gt is not None
        rows = [
            (str(entry["step"]), f"{entry['timestep']:g}", f"{entry['mean_to_result']:.2f}", f"{entry['psnr']:.2f}")
            if has_gt
            else (str(entry["step"]), f"{entry['timestep']:g}", f"{entry['mean_to_result']:.2f}")
            for entry in _entries_of_estimates(explanation)
        ]
        columns = ["step", "timestep", "mean distance to the result, of 255", *(["PSNR, dB"] if has_gt else [])]
        lines += ["", *table_of(columns, rows)]
    else:
        lines += ["", "There are no estimates on the way: memory allowed tiles only, and no pass saw the whole."]
    return [*lines, "", f"![pictures in a row: {'; '.join(strip_of(explanation))}](sampling.png)"]


def _entries_of_estimates(explanation: StableExplanation) -> list[dict[str, Any]]:
    """Step, timestep and distances of each estimate."""
    entries = []
    for one in explanation.estimates:
        psnr = None if explanation.gt is None else difference_of(one.picture, explanation.gt).psnr
        distance = 255 * difference_of(one.picture, explanation.restored).mean
        entries.append(
            {
                "step": one.step,
                "timestep": rounded(one.timestep),
                "mean_to_result": rounded(distance),
                "psnr": rounded(psnr),
            }
        )
    return entries


def _sections_of_prompts(prompts: PromptMaps) -> list[str]:
    """The maps, their silhouettes, and why some are not there."""
    lines = ["", "## Prompts", ""]
    lines += [
        "t-SNE keeps neighbours and not distances; the silhouettes are taken before it, by cosine, from -1 to 1. The "
        "further they lie above 0, the better are the degradations told apart.",
    ]
    for reason in prompts.absent:
        lines += ["", reason]
    if prompts.visual:
        lines += ["", "Visual prompts, each a point; V1 is the finest scale:", ""]
        lines += _table_of_silhouettes(prompts.visual)
        lines += ["", f"![t-SNE of the visual prompts by degradation: {', '.join(prompts.visual)}](visual_prompts.png)"]
    if prompts.text:
        meanings = "; ".join(f"{name}: {_TEXT_MEANINGS[name]}" for name in prompts.text)
        lines += ["", f"Texts. {meanings[0].upper()}{meanings[1:]}.", ""]
        lines += _table_of_silhouettes(prompts.text)
        lines += [
            "",
            f"![t-SNE of the text's embeddings by degradation: {', '.join(prompts.text)}](text_embeddings.png)",
        ]
    return lines


def _table_of_silhouettes(maps: Mapping[str, PointMap]) -> list[str]:
    """Number of points and silhouette of each map."""
    rows = [
        (name, str(len(found.points)), "none" if found.silhouette is None else f"{found.silhouette:.3f}")
        for name, found in maps.items()
    ]
    return table_of(("", "points", "silhouette of the degradations"), rows)


def _document_of_prompts(prompts: PromptMaps) -> dict[str, Any]:
    """Points, classes and silhouettes of all maps."""
    documents = {
        kind: [
            {
                "name": name,
                "silhouette": rounded(found.silhouette),
                "points": [
                    {"degradation": label, "at": rounded_all(point)}
                    for label, point in zip(found.labels, found.points, strict=True)
                ],
            }
            for name, found in maps.items()
        ]
        for kind, maps in (("visual", prompts.visual), ("text", prompts.text))
    }
    return {**documents, "absent": list(prompts.absent)}


def _title_of(model: Mapping[str, Any]) -> str:
    """Name of the model, where it has one."""
    return code(model["name"]) if model["name"] else str(model["pipeline"])
