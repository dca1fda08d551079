"""What a page says of the sampling: the strip in its order, the numbers of each step, and what it leaves out."""

from typing import Any

import numpy as np
import pytest

from ldrestore.explanations.differences import ExplainedPictures
from ldrestore.explanations.picture_part import middle_part
from ldrestore.explanations.sampled_explanation import SampledExplanation
from ldrestore.explanations.sampling_section import finding_of_sampled, section_of_sampling, strip_of, title_of
from ldrestore.explanations.sampling_strip import CleanEstimate
from ldrestore.explanations.sections import Section
from ldrestore.images.photo import Photo
from ldrestore.records import hash_of_pixels
from ldrestore.structures import DegradationEstimate


def plain(value: int, shape: tuple[int, int, int] = (6, 9, 3)) -> Photo:
    return Photo(pixels=np.full(shape, value, np.uint8))


def explanation_of(
    *,
    steps: tuple[tuple[int, float, int], ...] = ((1, 901.0, 60), (3, 1.5, 95)),
    gt: Photo | None = None,
    unrefined: Photo | None = None,
    whole_size: tuple[int, int] = (6, 9),
    name: str | None = "a/model",
) -> SampledExplanation:
    """Steps are number, timestep and the grey that the model takes the picture for."""
    pictures = ExplainedPictures(picture=plain(0), restored=plain(100), gt=gt, unrefined=unrefined)
    part = middle_part(plain(0))
    if whole_size != (6, 9):
        part = middle_part(plain(0, (*whole_size, 1)))
    return SampledExplanation(
        model={"name": name, "pipeline": "SomePipeline", "scheduler": "DDIMScheduler"},
        whole_size=whole_size,
        part=part,
        pictures=pictures,
        estimate=DegradationEstimate(),
        num_steps=3,
        estimates=tuple(CleanEstimate(step=one, timestep=at, picture=plain(grey)) for one, at, grey in steps),
        record={"options": {"num_inference_steps": 3, "seed": 5}},
        differences=pictures.differences(),
    )


@pytest.fixture
def strips(monkeypatch) -> list[tuple[dict[str, np.ndarray], dict[str, Any]]]:
    kept: list[tuple[dict[str, np.ndarray], dict[str, Any]]] = []

    def keep(pictures: dict[str, np.ndarray], **options: Any) -> bytes:
        kept.append((pictures, options))
        return b"strip"

    monkeypatch.setattr("ldrestore.explanations.sampling_section.draw_strip", keep)
    monkeypatch.setattr("ldrestore.explanations.differences.draw_panels", lambda *_, **__: b"panels")
    return kept


def test_the_strip_goes_from_the_input_over_the_steps_to_result_and_truth(strips) -> None:
    explanation = explanation_of(gt=plain(110), unrefined=plain(98))
    assert list(strip_of(explanation)) == [
        "input",
        "step 1 of 3, t = 901",
        "step 3 of 3, t = 1.5",
        "decoded without refiner",
        "restored: with refiner",
        "ground truth (gt)",
    ]
    section = section_of_sampling(explanation)
    ((pictures, options),) = strips
    assert [int(one[0, 0, 0]) for one in pictures.values()] == [0, 60, 95, 98, 100, 110]
    assert options["columns"] == 3  # six in two rows
    assert all(title in section.paragraphs[-1] for title in pictures) and section.figures == {"sampling.png": b"strip"}


@pytest.mark.parametrize(("count", "columns"), [(0, 2), (1, 3), (2, 4), (3, 3), (5, 4)])
def test_up_to_four_pictures_make_one_row(strips, count, columns) -> None:
    steps = tuple((index + 1, 900.0 - index, 50) for index in range(count))
    section_of_sampling(explanation_of(steps=steps))
    ((pictures, options),) = strips
    assert len(pictures) == count + 2 and options["columns"] == columns


def test_each_step_is_measured_against_the_result_and_the_truth(strips) -> None:
    section = section_of_sampling(explanation_of(gt=plain(111)))
    numbers = section.document["sampling"]["estimates"]
    assert [(one["step"], one["timestep"]) for one in numbers] == [(1, 901), (3, 1.5)]
    assert [round(one["mean_to_result"], 3) for one in numbers] == [40, 5]
    assert [round(one["psnr"], 2) for one in numbers] == [13.98, 24.05]
    assert "| step | timestep | mean distance to the result, of 255 | PSNR, dB |" in section.paragraphs[1]
    assert "| 1 | 901 | 40.00 | 13.98 |\n| 3 | 1.5 | 5.00 | 24.05 |" in section.paragraphs[1]
    without = section_of_sampling(explanation_of())
    assert without.paragraphs[1].splitlines()[0].count("|") == 4 and "PSNR" not in without.paragraphs[1]
    assert without.document["sampling"]["estimates"][0]["psnr"] is None
    assert strips


def test_without_estimates_the_reason_stands_in_the_place_of_the_table(strips) -> None:
    section = section_of_sampling(explanation_of(steps=()))
    assert section.paragraphs[1].startswith("There are no estimates on the way: memory allowed tiles only")
    assert section.document["sampling"] == {"num_steps": 3, "estimates": []}
    assert list(strips[0][0]) == ["input", "restored"]


def test_the_refiner_is_spoken_of_where_there_was_one(strips) -> None:
    refined = section_of_sampling(explanation_of(unrefined=plain(98)))
    bare = section_of_sampling(explanation_of())
    assert refined.document["has_refiner"] and "without the refiner and with it" in refined.paragraphs[0]
    assert not bare.document["has_refiner"] and "without the refiner" not in bare.paragraphs[0]
    assert len(strips) == 2


@pytest.mark.usefixtures("strips")
def test_a_page_begins_with_size_steps_and_seed_and_ends_with_the_differences() -> None:
    sections = [Section(heading="Mine", paragraphs=["words"], document={"mine": 1})]
    finding = finding_of_sampled(
        explanation_of(), sections, name="a.png", kind="some picture", lead=["more"], document={"further": 2}
    )
    lines = [line for line in finding.page.splitlines() if line]
    assert lines[0] == "# What `a/model` does with `a.png`"
    assert lines[1].startswith("9 × 6 pixels; DDIMScheduler, 3 steps, seed 5.") and lines[2] == "more"
    assert [line for line in lines if line.startswith("## ")] == ["## Mine", "## What it changes"]
    document = finding.document
    assert (document["kind"], document["mine"], document["further"]) == ("some picture", 1, 2)
    assert document["picture"] == {"name": "a.png", "height": 6, "width": 9}
    assert document["seen"]["is_whole"] and document["seen"]["sha256"] == hash_of_pixels(plain(0).pixels, None)


@pytest.mark.usefixtures("strips")
def test_of_a_large_picture_the_part_is_told() -> None:
    finding = finding_of_sampled(explanation_of(whole_size=(600, 2000)), [], name="a.png", kind="some picture")
    assert "2000 × 600 pixels; " in finding.page
    assert "all of this is about the 512 × 512 pixels at its middle" in finding.page
    assert finding.document["seen"]["top"] == 44 and finding.document["seen"]["left"] == 744


def test_a_model_without_a_name_is_called_by_its_pipeline() -> None:
    assert title_of({"name": None, "pipeline": "SomePipeline"}) == "SomePipeline"
    assert title_of({"name": "", "pipeline": "SomePipeline"}) == "SomePipeline"
    assert title_of({"name": "a`b", "pipeline": "SomePipeline"}) == "`a'b`"
