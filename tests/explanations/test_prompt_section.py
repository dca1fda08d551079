"""What a page says of prompts and texts in the plane: panels, legends, silhouettes, and what is absent."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from ldrestore.explanations.drawing import blank_figure
from ldrestore.explanations.point_map import PointMap
from ldrestore.explanations.prompt_maps import TEXTS, WORDS, PromptMaps
from ldrestore.explanations.prompt_section import section_of_prompts


@pytest.fixture
def figures(monkeypatch) -> list[Any]:
    kept: list[Any] = []

    @contextmanager
    def keep(width: float, height: float) -> Iterator[tuple[Any, io.BytesIO]]:
        with blank_figure(width, height) as (figure, png):
            kept.append(figure)
            yield figure, png

    monkeypatch.setattr("ldrestore.explanations.prompt_section.blank_figure", keep)
    return kept


def map_of(*labels: str, silhouette: float | None = 0.25, seed: int = 0) -> PointMap:
    points = np.random.default_rng(seed).normal(size=(len(labels), 2)).astype(np.float32)
    return PointMap(labels=labels, points=points, silhouette=silhouette)


LABELS = ("rain", "rain", "low_light", "haze", "low_light")


def test_each_pool_has_a_panel_of_its_own_and_all_of_them_one_legend(figures) -> None:
    visual = {f"V{scale}": map_of(*LABELS, seed=scale) for scale in range(1, 6)}
    section = section_of_prompts(PromptMaps(visual=visual, text={}, absent=()))
    (figure,) = figures
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:5] == [f"V{scale}\nsilhouette 0.25" for scale in range(1, 6)] and not any(titles[5:])
    assert len(figure.axes) == 8 and not any(axes.axison for axes in figure.axes[5:])
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["rain", "low light", "haze"]
    assert set(section.figures) == {"visual_prompts.png"}


def test_points_of_a_class_lie_where_the_map_has_them(figures) -> None:
    found = map_of(*LABELS)
    section_of_prompts(PromptMaps(visual={"V1": found}, text={}, absent=()))
    groups = figures[0].axes[0].collections
    assert [group.get_label() for group in groups] == ["rain", "low light", "haze"]
    for group, name in zip(groups, ("rain", "low_light", "haze"), strict=True):
        expected = found.points[[label == name for label in LABELS]]
        np.testing.assert_allclose(np.asarray(group.get_offsets()), expected)
    assert len({tuple(group.get_facecolor()[0]) for group in groups}) == 3


def test_numbers_of_all_maps_are_in_tables_and_in_the_document(figures) -> None:
    visual = {"V1": map_of(*LABELS, silhouette=-0.12345), "V2": map_of(*LABELS, silhouette=None)}
    text = {WORDS: map_of(*LABELS, silhouette=0.5)}
    section = section_of_prompts(PromptMaps(visual=visual, text=text, absent=("No maps of texts.",)))
    page = "\n\n".join(section.paragraphs)
    assert "| V1 | 5 | -0.123 |\n| V2 | 5 | none |" in page and f"| {WORDS} | 5 | 0.500 |" in page
    assert section.paragraphs[1] == "No maps of texts."
    document = section.document["prompts"]
    assert [one["silhouette"] for one in document["visual"]] == [-0.12345, None]
    first = document["visual"][0]["points"][0]
    assert first == {"degradation": "rain", "at": [round(float(value), 6) for value in visual["V1"].points[0]]}
    assert document["absent"] == ["No maps of texts."]
    assert figures[0].axes[1].get_title() == "V2"  # without a silhouette there is none in the title


def test_texts_are_explained_by_what_there_is_of_them(figures) -> None:
    both = {WORDS: map_of(*LABELS), TEXTS: map_of("rain", "haze")}
    page = " ".join(section_of_prompts(PromptMaps(visual={}, text=both, absent=())).paragraphs)
    assert "Texts. Words of T: what the text encoder puts out at each word of T" in page
    assert "; texts of the pictures: what it puts out after the words" in page
    titles = [axes.get_title() for axes in figures[0].axes]
    assert titles[0].startswith("textual prompts: ") and titles[1].startswith("texts of the pictures: ")
    alone = section_of_prompts(PromptMaps(visual={}, text={TEXTS: map_of("rain", "haze")}, absent=()))
    assert set(alone.figures) == {"text_embeddings.png"}
    assert any(one.startswith("Texts. Texts of the pictures: what") for one in alone.paragraphs)


def test_where_nothing_can_be_laid_out_there_is_no_figure_and_the_reasons_stand(figures) -> None:
    section = section_of_prompts(PromptMaps(visual={}, text={}, absent=("No pools.", "No texts.")))
    assert not section.figures and not figures
    assert section.paragraphs[1:] == ["No pools.", "No texts."]
    assert section.document["prompts"] == {"visual": [], "text": [], "absent": ["No pools.", "No texts."]}


def test_many_degradations_all_have_a_place_in_the_legend(figures) -> None:
    names = tuple(f"damage_{index}" for index in range(30))
    section_of_prompts(PromptMaps(visual={"V1": map_of(*names)}, text={}, absent=()))
    (legend,) = figures[0].legends
    assert len(legend.get_texts()) == 30
    few = figures[0].get_figheight()
    section_of_prompts(PromptMaps(visual={"V1": map_of("rain", "haze")}, text={}, absent=()))
    assert few > figures[1].get_figheight()
