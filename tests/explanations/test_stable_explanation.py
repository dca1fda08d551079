import io
import json
import re
import sys

import numpy as np
import pytest
from PIL import Image

from ldrestore.errors import InputError, MissingExtraError, ShapeError
from ldrestore.explanations.prompt_maps import view_picture
from ldrestore.explanations.sampling_section import strip_of
from ldrestore.explanations.saved_explanation import explanation_files
from ldrestore.explanations.stable_explainer import finding_of_stable, finding_of_stable_report
from ldrestore.explanations.stable_explanation import explain_stable, report_stable
from ldrestore.images.photo import Photo
from ldrestore.options import StableRestoreOptions
from tests.tiny_stable import NAMES, tiny_stable


def photo_of(seed=0, shape=(20, 24, 3)):
    return Photo(pixels=np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def steps(num_inference_steps, **options):
    return StableRestoreOptions(num_inference_steps=num_inference_steps, **options)


def shown(page):
    return set(re.findall(r"!\[[^]]+\]\(([^)]+)\)", page))


def as_json(document):
    return json.loads(json.dumps(document, allow_nan=False))


@pytest.fixture(scope="module")
def pipeline():
    return tiny_stable()


@pytest.fixture(scope="module")
def found(pipeline):
    return explain_stable(pipeline, photo_of(), steps(3, seed=2), gt=photo_of(1))


def test_a_picture_is_restored_as_the_pipeline_does(pipeline, found):
    output = pipeline(photo_of(), num_inference_steps=3, seed=2, tile="off", output_type="photo")
    assert np.array_equal(found.sampled.pictures.restored.pixels, output.photos[0].pixels)
    assert found.sampled.estimate == output.degradations[0] and not found.is_given
    assert found.sampled.record == output.records[0]
    assert [one.step for one in found.sampled.estimates] == [1, 2, 3] and found.sampled.num_steps == 3
    assert list(found.sampled.differences) == ["restored - input", "input - gt", "unrefined - gt", "restored - gt"]


def test_figures_pages_and_numbers_are_of_one_mind(found):
    finding = finding_of_stable(found, name="a.png")
    figures, page = finding.figures, finding.page
    assert set(figures) == {
        "differences.png",
        "estimate.png",
        "sampling.png",
        "text_embeddings.png",
        "visual_prompts.png",
    }
    assert shown(page) == set(figures) <= set(explanation_files())
    for png in figures.values():
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
        assert min(pixels.shape) > 150 and pixels.std() > 5
    assert finding_of_stable(found, name="a.png") == finding
    assert all(title in page for title in strip_of(found.sampled))
    document = as_json(finding.document)
    assert document["estimate"] == {name: round(share, 6) for name, share in found.sampled.estimate.ranked()}
    assert [entry["step"] for entry in document["sampling"]["estimates"]] == [1, 2, 3]
    assert {one["name"] for one in document["prompts"]["visual"]} == set(found.prompts.visual)
    assert len(document["prompts"]["text"][0]["points"]) == 2 * len(NAMES)


def test_a_model_without_pools_and_refiner_lacks_those_figures_and_says_so():
    bare = tiny_stable(textual_prompts=None, cm_adapter=None, ir_adapter=None, injection=None, drm=None)
    found = explain_stable(bare, photo_of(), steps(1, degradations="rain=0.7,haze=0.3"))
    assert found.sampled.pictures.unrefined is None and found.is_given
    finding = finding_of_stable(found, name="a.png")
    figures, page = finding.figures, finding.page
    assert set(figures) == shown(page) == {"differences.png", "estimate.png", "sampling.png"}
    for sentence in ("no visual prompts", "no textual prompts", "no CM-Adapter", "no refiner", "given with the call"):
        assert sentence in page
    assert as_json(finding.document)["prompts"]["visual"] == []


def test_of_a_large_picture_the_middle_is_looked_at(pipeline, monkeypatch):
    monkeypatch.setattr("ldrestore.explanations.picture_part.MAX_SIDE", 16)
    whole = photo_of(shape=(20, 24, 1))
    found = explain_stable(pipeline, whole, steps(1), gt=whole)
    assert np.array_equal(found.sampled.pictures.picture.pixels, whole.pixels[2:18, 4:20])
    assert np.array_equal(found.sampled.pictures.gt.pixels, found.sampled.pictures.picture.pixels)
    finding = finding_of_stable(found, name="a.png")
    page = finding.page
    assert "24 × 20 pixels" in page and "about the 16 × 16 pixels at its middle" in page
    assert finding.figures


def test_wrong_options_are_refused(pipeline, monkeypatch):
    with pytest.raises(ShapeError, match="must have the picture's size, 24 x 20"):
        explain_stable(pipeline, photo_of(), steps(1), gt=photo_of(shape=(8, 8, 3)))
    with pytest.raises(InputError, match="rain"):
        explain_stable(pipeline, photo_of(), steps(1, degradations="rian"))
    with pytest.raises(InputError, match="num_inference_steps"):
        explain_stable(pipeline, photo_of(), steps(0))
    with pytest.raises(InputError, match="no picture to report on"):
        report_stable(pipeline, {})
    assert not pipeline.unet._forward_hooks
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(MissingExtraError, match="to lay prompts out"):
        explain_stable(pipeline, photo_of(), steps(1))


def test_many_pictures_are_reported_on(pipeline, monkeypatch):
    names = ["a.png", "a_name/that $ is |rather| long/and_has_signs_of$formulas.png"]
    report = report_stable(pipeline, {name: view_picture(pipeline, photo_of(seed)) for seed, name in enumerate(names)})
    assert report.probabilities.shape == (2, 3)
    assert report.probabilities.sum(axis=1) == pytest.approx([1, 1], abs=1e-5)
    finding = finding_of_stable_report(report)
    figures, page = finding.figures, finding.page
    assert shown(page) == set(figures) == {"estimate.png", "text_embeddings.png", "visual_prompts.png"}
    document = as_json(finding.document)
    assert [one["name"] for one in document["pictures"]] == names
    assert [one["name"] for one in document["prompts"]["text"]] == ["words of T", "texts of the pictures"]
    monkeypatch.setattr("ldrestore.explanations.estimate_section.MAX_TABLE_PICTURES", 1)
    assert finding_of_stable_report(report).figures["estimate.png"] != figures["estimate.png"]
