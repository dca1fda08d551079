"""Explains the models of the fast track."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ldrestore.explanations.differences import section_of_differences
from ldrestore.explanations.drawing import draw_table
from ldrestore.explanations.estimate_section import section_of_estimate
from ldrestore.explanations.explainer import Finding
from ldrestore.explanations.fast_explanation import (
    Explanation,
    Usage,
    check_usage,
    describe_model,
    explain,
    explained_network,
    usage_of,
)
from ldrestore.explanations.page_parts import code, entries, image_of, rounded_all, table_of
from ldrestore.explanations.picture_part import MAX_SIDE, middle_part
from ldrestore.explanations.sections import Section, finding_of
from ldrestore.explanations.usage_report import UsageReport, report_usage
from ldrestore.explanations.usage_section import (
    draw_usage,
    heading_of,
    section_of_instruction,
    section_of_maps,
    section_of_usage,
)
from ldrestore.images.photo import Photo
from ldrestore.options import FastRestoreOptions
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.records import hash_of_pixels


class FastExplainer:
    """What a network does with a picture, and which of its parts it uses over many."""

    def __init__(self, pipeline: FastRestorePipeline, options: FastRestoreOptions) -> None:
        """Begin with no picture.

        Args:
            pipeline: The model.
            options: Those of the call; an instruction, an embedding and degradations count.
        """
        self.pipeline, self.options = pipeline, options
        self._instruction = None if options.instruction is None else pipeline.understand(options.instruction)
        self._strengths = None if options.degradations is None else pipeline.check_degradations(options.degradations)
        self._usages: dict[str, Usage] = {}
        self._num_cut = 0

    def explain(self, photo: Photo, *, gt: Photo | None, name: str) -> Finding:
        """One picture: restored, and looked at on the way.

        Raises:
            InputError: an instruction, an embedding or degradations that the model does not take.
            ShapeError: the ground truth has another size.
        """
        found = explain(
            self.pipeline,
            photo,
            gt=gt,
            instruction=self.options.instruction,
            embedding=self._embedding_of(photo),
            degradations=self.options.degradations,
        )
        return finding_of_explanation(found, name=name)

    def check_folder(self) -> None:
        """Refuse a network that has nothing to tell of many pictures.

        Raises:
            InputError: it has neither prompts nor experts.
        """
        check_usage(explained_network(self.pipeline))

    def look_at(self, photo: Photo, *, name: str) -> None:
        """Keep which prompts or experts a picture uses."""
        self._usages[name] = usage_of(
            self.pipeline,
            photo,
            instruction=self._instruction,
            embedding=self._embedding_of(photo),
            strengths=self._strengths,
        )
        self._num_cut += not middle_part(photo).is_whole

    def report(self) -> Finding:
        """What is used over all pictures."""
        model = describe_model(explained_network(self.pipeline))
        return finding_of_report(report_usage(model, self._usages, num_cut=self._num_cut))

    def _embedding_of(self, photo: Photo) -> Any:
        """What a guide said of the picture; None where nothing is given."""
        source = self.options.embedding
        return source(photo) if callable(source) else source


def finding_of_explanation(explanation: Explanation, *, name: str) -> Finding:
    """What there is to write of one picture.

    Args:
        explanation: See `explain`.
        name: What to call the picture.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    picture, model = explanation.pictures.picture, explanation.model
    lead = (
        f"{picture.width} × {picture.height} pixels; weights {code(model.weights_sha256[:12])}. All numbers are in "
        "[explanation.json](explanation.json)."
    )
    estimate = section_of_estimate(
        explanation.estimate,
        "What the model believes to be wrong, each by itself, from 0 to 1.",
        note=_note_on(explanation.strengths),
    )
    return finding_of(
        f"What {model.architecture} does with {code(name)}",
        [lead],
        [
            estimate,
            section_of_instruction(explanation),
            section_of_usage(explanation),
            section_of_maps(explanation),
            section_of_differences(explanation.pictures, explanation.differences),
        ],
        kind="picture",
        document={
            "model": asdict(model),
            "picture": {
                "name": name,
                "height": picture.height,
                "width": picture.width,
                "sha256": hash_of_pixels(picture.pixels, picture.alpha),
            },
            "seen": asdict(explanation.part),
            "is_told": explanation.is_told,
            "strengths": dict(explanation.strengths) or None,
            "record": dict(explanation.record),
        },
    )


def finding_of_report(report: UsageReport) -> Finding:
    """What there is to write of many pictures: mean usage, and for networks that route the share of each expert.

    Args:
        report: Of at least one picture.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    model, count = report.model, len(report.pictures)
    lead = [
        f"Weights {code(model.weights_sha256[:12])}. Nothing was restored. Every picture counts the same, and all "
        "numbers are in [explanation.json](explanation.json)."
    ]
    if report.num_cut:
        size = f"{MAX_SIDE} × {MAX_SIDE} pixels"
        lead.append(f"Larger than {size}: {report.num_cut}. Of these only the part at the middle was looked at.")
    return finding_of(
        f"What {model.architecture} uses over {count} pictures",
        lead,
        [_section_of_shares(report), _section_of_mean_usage(report)],
        kind="folder",
        document={
            "model": asdict(model),
            "pictures": list(report.pictures),
            "num_cut": report.num_cut,
            "usage": [
                {"name": name, "weights": [rounded_all(row) for row in rows]} for name, rows in report.usage.items()
            ],
        },
    )


def _note_on(strengths: Mapping[str, float]) -> str | None:
    """What was named with the call, beside what the model sees; None where nothing was."""
    if not strengths:
        return None
    named = ", ".join(f"{name.replace('_', ' ')} at {strength:g}" for name, strength in strengths.items())
    return f"Treated as given with the call: {named}; all else as the model sees it."


def _section_of_shares(report: UsageReport) -> Section:
    """How the pictures are shared among the experts; empty without a routing."""
    shares, count, unit = report.shares(), len(report.pictures), report.model.unit
    document = {"shares": entries(shares, key="shares")}
    if not shares:
        return Section(document=document)
    num_experts = len(next(iter(shares.values())))
    rows = [(block, *(f"{share:.0%}" for share in row)) for block, row in shares.items()]
    title = f"share of the {count} picture{'s' * (count > 1)} that each {unit} gets"
    return Section(
        document=document,
        heading="Routing",
        paragraphs=[
            "The share of the pictures that each expert gets, block by block.",
            table_of(("block", *(f"expert {index}" for index in range(num_experts))), rows),
            image_of("routing.png", "share of the pictures of each expert"),
        ],
        figures={"routing.png": draw_table(shares, title=title, unit=str(unit))},
    )


def _section_of_mean_usage(report: UsageReport) -> Section:
    """How strongly prompts or experts are used, the mean over the pictures."""
    unit, count, mean = str(report.model.unit), len(report.pictures), report.mean()
    what = f"probability of each {unit}" if report.model.routes_to_one else f"how strongly each {unit} is used"
    title = f"{what}, mean over {count} picture{'s' * (count > 1)}"
    return Section(
        document={"mean_usage": entries(mean)},
        heading=heading_of(unit),
        paragraphs=[
            f"The mean over the pictures; the {unit}s are counted from 0.",
            image_of("usage.png", f"usage of the {unit}s"),
        ],
        figures={"usage.png": draw_usage(mean, title=title, unit=unit)},
    )
