"""What a page says of prompts, experts, their maps and an instruction: the words, the numbers, and what is drawn."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch

from ldrestore.explanations.differences import ExplainedPictures
from ldrestore.explanations.fast_explanation import ExplainedModel, Explanation, Usage
from ldrestore.explanations.picture_part import MAX_SIDE, PicturePart, middle_part
from ldrestore.explanations.usage_section import section_of_instruction, section_of_maps, section_of_usage
from ldrestore.images.photo import Photo
from ldrestore.regressors.instruction_encoder import Instruction


def explanation_of(
    *,
    unit: Any = "expert",
    routes_to_one: bool = False,
    is_told: bool | None = None,
    usage: Usage | None = None,
    expert_maps: np.ndarray | None = None,
    instruction: Instruction | None = None,
    shape: tuple[int, int, int] = (6, 8, 3),
) -> Explanation:
    """Of a picture whose pixels tell their place."""
    pixels = (np.arange(np.prod(shape)) % 251).astype(np.uint8).reshape(shape)
    pictures = ExplainedPictures(picture=Photo(pixels=pixels), restored=Photo(pixels=pixels))
    return Explanation(
        model=ExplainedModel(architecture="SomeNet", weights_sha256="0" * 64, unit=unit, routes_to_one=routes_to_one),
        pictures=pictures,
        record={},
        part=middle_part(pictures.picture),
        is_told=is_told,
        usage=usage or {},
        expert_maps=expert_maps,
        estimate=None,
        instruction=instruction,
        strengths={},
        differences=pictures.differences(),
    )


class Drawn:
    """What was drawn last, and how."""

    values: Any = None
    maps: Any = None
    options: Mapping[str, Any] = {}


@pytest.fixture
def drawn(monkeypatch) -> Drawn:
    kept = Drawn()

    def keep(values: Any, maps: Any = None, **options: Any) -> bytes:
        kept.values, kept.maps, kept.options = values, maps, options
        return b"png"

    for name in ("draw_usage", "draw_panels", "draw_ranking"):
        monkeypatch.setattr(f"ldrestore.explanations.usage_section.{name}", keep)
    return kept


def test_a_network_that_routes_has_a_table_of_its_choices(drawn) -> None:
    usage = {"level2.block1": (0.25, 0.7, 0.05), "level1.block1": (0.4, 0.3, 0.3)}
    section = section_of_usage(explanation_of(routes_to_one=True, usage=usage))
    assert section.heading == "Experts"
    assert section.document["usage"] == [
        {"name": "level2.block1", "weights": [0.25, 0.7, 0.05]},
        {"name": "level1.block1", "weights": [0.4, 0.3, 0.3]},
    ]
    assert section.document["routing"] == [
        {"block": "level2.block1", "expert": 1, "probability": 0.7},
        {"block": "level1.block1", "expert": 0, "probability": 0.4},
    ]
    assert "| level2.block1 | 1 | 0.70 |\n| level1.block1 | 0 | 0.40 |" in section.paragraphs[2]
    assert drawn.options["is_framed"] and drawn.options["title"] == "probability of each expert, the chosen one framed"
    assert {name: row.tolist() for name, row in drawn.values.items()} == {one: list(row) for one, row in usage.items()}


def test_a_network_of_prompts_has_no_choices(drawn) -> None:
    section = section_of_usage(explanation_of(unit="prompt", usage={"task": (0.5, 0.5)}))
    assert section.heading == "Prompts" and section.document["routing"] == []
    assert not drawn.options["is_framed"] and drawn.options["title"] == "how strongly each prompt is used"
    assert len(section.paragraphs) == 2 and section.paragraphs[-1] == "![usage of the prompts](usage.png)"


@pytest.mark.parametrize(("is_told", "is_mentioned"), [(None, False), (True, False), (False, True)])
def test_that_nothing_was_told_is_mentioned_where_something_could_have_been(drawn, is_told, is_mentioned) -> None:
    section = section_of_usage(explanation_of(is_told=is_told, usage={"a": (1.0,)}))
    assert any("Neither an instruction nor an embedding" in one for one in section.paragraphs) == is_mentioned


def test_a_network_without_prompts_and_experts_has_no_figure(drawn) -> None:
    section = section_of_usage(explanation_of(unit=None))
    assert section.document == {"usage": [], "routing": []} and not section.figures
    assert section.paragraphs == ["SomeNet has no prompts or experts that it could show."]
    assert drawn.values is None


@pytest.mark.parametrize(("count", "columns"), [(1, 2), (3, 2), (4, 3), (9, 4), (20, 4)])
def test_maps_are_shown_beside_the_part_that_they_are_of(drawn, count, columns) -> None:
    maps = np.stack([np.full((MAX_SIDE, 8), index / 100, np.float32) for index in range(count)])
    section = section_of_maps(explanation_of(expert_maps=maps, shape=(MAX_SIDE + 6, 8, 3)))
    assert list(drawn.values) == ["middle of the input"] and len(drawn.maps) == count
    assert drawn.options["columns"] == columns
    assert list(drawn.maps)[-1] == f"expert {count - 1}\nmean {2.55 * (count - 1):.3f}"
    assert drawn.values["middle of the input"].shape == (512, 8, 3)
    assert drawn.values["middle of the input"][0, 0, 0] == 3 * 8 * 3 % 251  # three rows above are cut
    assert section.document["expert_maps"][-1] == {
        "expert": count - 1,
        "mean": pytest.approx((count - 1) / 100),
        "max": pytest.approx((count - 1) / 100),
    }
    assert "those of the 8 × 512 pixels at the middle of the picture" in section.paragraphs[0]


def test_maps_of_a_whole_picture_say_so_and_no_maps_are_no_part_of_the_page(drawn) -> None:
    section = section_of_maps(explanation_of(expert_maps=np.zeros((2, 6, 8), np.float32)))
    assert list(drawn.values) == ["input"] and "those of the whole picture" in section.paragraphs[0]
    nothing = section_of_maps(explanation_of())
    assert nothing.document == {"expert_maps": None} and not nothing.paragraphs and not nothing.figures


def test_an_instruction_is_told_with_its_likeliest_class_and_all_of_them_ranked(drawn) -> None:
    instruction = Instruction(
        text="please `remove`\nthe dark",
        embedding=torch.zeros(1, 4),
        probabilities={"noise": 0.1, "low_light": 0.85, "rain": 0.05},
    )
    section = section_of_instruction(explanation_of(instruction=instruction))
    assert section.paragraphs[0] == "`please 'remove' the dark` is taken for low light (85%)."
    assert list(drawn.values) == [("low_light", 0.85), ("noise", 0.1), ("rain", 0.05)]
    assert section.document["instruction"]["asked_for"] == "low_light"
    assert list(section.document["instruction"]["probabilities"]) == ["noise", "low_light", "rain"]
    nothing = section_of_instruction(explanation_of())
    assert nothing.document == {"instruction": None} and not nothing.paragraphs


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((MAX_SIDE, MAX_SIDE, 3), (0, 0, 512, 512, True)),
        ((MAX_SIDE + 1, 10, 3), (0, 0, 512, 10, False)),
        ((1, MAX_SIDE + 3, 1), (0, 1, 1, 512, False)),
        ((1000, 2000, 3), (244, 744, 512, 512, False)),
    ],
)
def test_the_middle_of_a_picture_is_as_near_to_it_as_whole_pixels_allow(shape, expected) -> None:
    part = middle_part(Photo(pixels=np.zeros(shape, np.uint8)))
    assert part == PicturePart(**dict(zip(("top", "left", "height", "width", "is_whole"), expected, strict=True)))
    assert part.of(np.zeros(shape[:2])).shape == expected[2:4]
