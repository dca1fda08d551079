"""What a page says of DAFF's attention and of the decoder's experts: numbers, words, and what is drawn."""

from typing import Any

import numpy as np
import pytest

from ldrestore.explanations.alignment_watch import Alignment
from ldrestore.explanations.differences import ExplainedPictures
from ldrestore.explanations.picture_part import middle_part
from ldrestore.explanations.sampled_explanation import SampledExplanation
from ldrestore.explanations.xl_explainer import finding_of_xl
from ldrestore.explanations.xl_explanation import ExpertChoice, XLExplanation
from ldrestore.explanations.xl_sections import section_of_alignment, section_of_experts
from ldrestore.images.photo import Photo
from ldrestore.structures import DegradationEstimate

PICTURE = Photo(pixels=np.full((8, 12, 3), 90, np.uint8))


def explanation_of(
    alignments: tuple[Alignment, ...] = (), experts: dict[str, ExpertChoice] | None = None, **options: Any
) -> XLExplanation:
    pictures = ExplainedPictures(picture=PICTURE, restored=PICTURE)
    given = {"instruction": None, "degradations": None, "prompt": None, "guidance_scale": 1.0}
    sampled = SampledExplanation(
        model={"name": None, "pipeline": "XLRestorePipeline", "scheduler": "DDIMScheduler"},
        whole_size=(8, 12),
        part=middle_part(PICTURE),
        pictures=pictures,
        estimate=DegradationEstimate(),
        num_steps=3,
        estimates=(),
        record={"options": {**given, "num_inference_steps": 3, "seed": 5, **options}},
        differences=pictures.differences(),
    )
    return XLExplanation(sampled=sampled, alignments=alignments, experts=experts or {})


def alignment(timestep: float, share: float) -> Alignment:
    middle = np.zeros((3, 4))
    middle[1, 2], middle[0, 0] = 0.75, 0.25
    return Alignment(timestep=timestep, share=np.full((3, 4), share), middle=middle)


def choice(*, first: np.ndarray | None = None) -> ExpertChoice:
    return ExpertChoice(
        probabilities=np.array([0.1, 0.6, 0.2, 0.1]), shares=np.array([0.0, 0.75, 0.25, 0.0]), first=first
    )


@pytest.fixture
def figures(monkeypatch) -> list[tuple[Any, ...]]:
    kept: list[tuple[Any, ...]] = []

    def panels(pictures: Any, maps: Any, **options: Any) -> bytes:
        kept.append((pictures, maps, options))
        return b"panels"

    def table(rows: Any, **options: Any) -> bytes:
        kept.append((rows, options))
        return b"table"

    monkeypatch.setattr("ldrestore.explanations.xl_sections.draw_panels", panels)
    monkeypatch.setattr("ldrestore.explanations.xl_sections.draw_table", table)
    return kept


def test_attention_is_told_step_by_step_with_two_maps_each(figures) -> None:
    section = section_of_alignment(explanation_of((alignment(951.0, 0.25), alignment(1.5, 0.5))))
    assert section.document["alignment"] == [
        {"timestep": 951, "share": 0.25, "at_place": 0.75},
        {"timestep": 1.5, "share": 0.5, "at_place": 0.75},
    ]
    assert "| 951 | 0.25 | 0.75 |\n| 1.5 | 0.50 | 0.75 |" in section.paragraphs[1]
    ((pictures, maps, options),) = figures
    assert list(pictures) == ["input"] and options["columns"] == 3  # a row of shares beside the picture
    assert list(maps) == [
        "t = 951: share of\nthe damaged picture",
        "t = 1.5: share of\nthe damaged picture",
        "t = 951: where the\nmiddle looks",
        "t = 1.5: where the\nmiddle looks",
    ]
    looks = maps["t = 951: where the\nmiddle looks"]
    assert looks.max() == 1 and looks[0, 0] == pytest.approx(1 / 3)
    assert section.figures == {"alignment.png": b"panels"}


def test_experts_of_a_whole_picture_are_a_table(figures) -> None:
    section = section_of_experts(explanation_of(experts={"level 0": choice(), "level 1": choice()}))
    assert section.document["experts"][1] == {
        "name": "level 1",
        "probabilities": [0.1, 0.6, 0.2, 0.1],
        "shares": [0.0, 0.75, 0.25, 0.0],
    }
    ((rows, options),) = figures
    assert list(rows) == ["level 0", "level 1"] and rows["level 0"].tolist() == [0.1, 0.6, 0.2, 0.1]
    assert options["is_framed"] and options["unit"] == "expert"
    assert set(section.figures) == {"expert_choice.png"} and "expert_map.png" not in " ".join(section.paragraphs)


def test_experts_of_patches_have_maps_of_those_levels_that_decided_so(figures) -> None:
    first = np.array([[1, 1, 2], [1, 1, 1]])
    section = section_of_experts(explanation_of(experts={"level 0": choice(first=first), "level 1": choice()}))
    pictures, maps, options = figures[1]
    assert list(pictures) == ["input"] and list(maps) == ["level 0"] and maps["level 0"] is first
    assert options["least_top"] == 3 and options["label"] == "expert"  # the fourth is the brightest, shown or not
    assert set(section.figures) == {"expert_choice.png", "expert_map.png"}
    assert "(expert_map.png)" in section.paragraphs[-1]


def test_what_there_is_not_is_said(figures) -> None:
    alignment_section, expert_section = section_of_alignment(explanation_of()), section_of_experts(explanation_of())
    assert "has no DAFF" in alignment_section.paragraphs[0] and alignment_section.document == {"alignment": []}
    assert "no experts" in expert_section.paragraphs[0] and expert_section.document == {"experts": []}
    assert not figures and not alignment_section.figures and not expert_section.figures


@pytest.fixture
def no_drawing(monkeypatch) -> None:
    for name in ("sampling_section.draw_strip", "differences.draw_panels"):
        monkeypatch.setattr(f"ldrestore.explanations.{name}", lambda *_, **__: b"png")


@pytest.mark.usefixtures("no_drawing")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "It was told nothing in words. The scale of guidance is 1."),
        ({"instruction": "remove the rain"}, "It was told of instruction: `remove the rain`. The scale"),
        (
            {"degradations": "rain", "prompt": "a `house`", "guidance_scale": 2.5},
            "It was told of degradations: `rain`; prompt: `a 'house'`. The scale of guidance is 2.5.",
        ),
    ],
)
def test_the_page_begins_with_what_the_model_was_told(options, words) -> None:
    finding = finding_of_xl(explanation_of(**options), name="a.png")
    assert words in finding.page and "12 × 8 pixels; DDIMScheduler, 3 steps, seed 5" in finding.page
    assert finding.page.startswith("# What XLRestorePipeline does with `a.png`\n")
    assert finding.document["kind"] == "xl picture" and finding.document["picture"]["width"] == 12
    order = [line for line in finding.page.splitlines() if line.startswith("## ")]
    assert order == ["## Sampling", "## Alignment", "## Experts of the decoder", "## What it changes"]
    assert "There are no estimates on the way" in finding.page
