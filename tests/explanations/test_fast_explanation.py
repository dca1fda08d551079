import numpy as np
import pytest
import torch

from ldrestore.errors import InputError, ShapeError
from ldrestore.explanations import picture_part
from ldrestore.explanations.differences import difference_of
from ldrestore.explanations.fast_explanation import explain, routing_of, usage_of
from ldrestore.images.photo import Photo
from ldrestore.metrics.psnr import MEAN_CAP
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from tests.tiny_instructed import fill_cache, tiny_instructed


def as_lq(photo):
    return torch.from_numpy(photo.pixels.astype(np.float32) / 255).permute(2, 0, 1)[None]


def test_prompts_and_estimate_are_those_of_the_network(pipeline, photo):
    model, picture = pipeline("prompted_nafnet"), photo()
    found = explain(model, picture)
    assert found.usage["task"] == tuple(model.regressor.usage(as_lq(picture))["task"][0].tolist())
    assert found.estimate.names == tuple(model.regressor.config["degradations"])
    assert (found.model.unit, found.model.routes_to_one, found.is_told) == ("prompt", False, None)
    assert found.routing == [] and found.expert_maps is None and found.instruction is None
    restored = model(picture, output_type="photo").photos[0]
    assert np.array_equal(found.pictures.restored.pixels, restored.pixels)
    expected = np.abs(restored.pixels.astype(float) - picture.pixels).mean(axis=2) / 255
    np.testing.assert_allclose(found.differences["restored - input"].magnitude, expected, atol=1e-6)
    assert list(found.differences) == ["restored - input"]


def test_a_ground_truth_adds_the_errors_before_and_after(pipeline, photo):
    picture, gt = photo(0), photo(1)
    found = explain(pipeline("nafnet"), picture, gt=gt)
    assert list(found.differences) == ["restored - input", "input - gt", "restored - gt"]
    mean_square = np.square(picture.pixels.astype(float) - gt.pixels).mean()
    assert found.differences["input - gt"].psnr == pytest.approx(10 * np.log10(255**2 / mean_square), abs=1e-4)
    assert explain(pipeline("nafnet"), picture, gt=picture).differences["input - gt"].psnr == MEAN_CAP


def test_a_ground_truth_of_another_size_is_refused(pipeline, photo):
    with pytest.raises(ShapeError, match="picture's size, 24 x 20 pixels, got 25 x 20"):
        explain(pipeline("nafnet"), photo(), gt=photo(shape=(20, 25, 3)))


def test_a_network_without_prompts_and_experts_still_shows_what_it_changes(pipeline, photo):
    found = explain(pipeline("nafnet"), photo())
    assert found.usage == {} and found.model.unit is None and found.estimate is None
    assert found.differences["restored - input"].mean > 0
    with pytest.raises(InputError, match="NAFNet has neither prompts nor experts"):
        usage_of(pipeline("nafnet"), photo())


def test_routing_is_the_most_probable_expert_of_each_block(pipeline, photo):
    found = explain(pipeline("moce_ir"), photo())
    assert [route.block for route in found.routing] == ["level3.block1", "level2.block1", "level1.block1"]
    for route in found.routing:
        probabilities = found.usage[route.block]
        assert route.probability == max(probabilities) == probabilities[route.expert]
    assert (found.model.unit, found.model.routes_to_one) == ("expert", True)
    assert [route.expert for route in routing_of({"a": (0.2, 0.7, 0.1), "b": (0.5, 0.1, 0.4)})] == [1, 0]


def test_an_embedding_reaches_weights_and_maps_of_the_experts(pipeline, photo):
    model, picture = pipeline("mmfe_ir"), photo()
    embedding = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    silent, steered = explain(model, picture), explain(model, picture, embedding=embedding)
    assert all(weight == 0.5 for row in silent.usage.values() for weight in row)
    expected = model.regressor.usage(as_lq(picture), embedding[None])
    assert steered.usage == {name: tuple(row[0].tolist()) for name, row in expected.items()}
    assert (silent.is_told, steered.is_told) == (False, True)
    maps = model.regressor.expert_maps(as_lq(picture), embedding[None])[0]
    np.testing.assert_array_equal(steered.expert_maps, maps.numpy())
    assert steered.expert_maps.shape == (3, 20, 24)
    assert usage_of(model, picture, embedding=embedding.numpy()) == steered.usage


def test_named_degradations_reach_the_prompts_and_the_result(pipeline, photo):
    model, picture = pipeline("grid_nafnet"), photo()
    names = model.regressor.config["degradations"]
    plain, named = explain(model, picture), explain(model, picture, degradations={"haze": 1.0, "jpeg": 0.0})
    hints = torch.zeros(1, 2 * len(names))
    hints[0, [names.index("haze"), names.index("jpeg"), len(names) + names.index("haze")]] = 1.0
    assert named.usage["task"] == tuple(model.regressor.usage(as_lq(picture), hints=hints)["task"][0].tolist())
    assert named.usage != plain.usage and usage_of(model, picture, strengths=named.strengths) == named.usage
    assert (plain.strengths, named.strengths) == ({}, {"haze": 1.0, "jpeg": 0.0})
    assert not np.array_equal(named.pictures.restored.pixels, plain.pictures.restored.pixels)
    with pytest.raises(InputError, match="takes no --degradation"):
        explain(pipeline("nafnet"), picture, degradations="haze")


def test_a_mixture_without_experts_shows_none(photo):
    options = {"dim": 4, "num_blocks": [1] * 4, "heads": [1, 1, 2, 4], "num_refinement_blocks": 1}
    network = create_regressor("mmfe_ir", embedding_width=6, expert_levels=[], **options).eval()
    model = FastRestorePipeline(network)
    model.set_progress_bar_config(disable=True)
    found = explain(model, photo())
    assert found.usage == {} and found.expert_maps is None


def test_what_steers_must_fit_the_model(pipeline, photo):
    with pytest.raises(InputError, match="takes no instructions"):
        explain(pipeline("nafnet"), photo(), instruction="remove the noise")
    with pytest.raises(InputError, match="takes no embedding"):
        explain(pipeline("moce_ir"), photo(), embedding=torch.zeros(3))
    with pytest.raises(ShapeError, match="expected an embedding of shape"):
        explain(pipeline("mmfe_ir"), photo(), embedding=torch.zeros(3, 7))


def test_an_instruction_is_told_with_what_it_was_taken_for(photo, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = tiny_instructed(fill_cache(tmp_path))
    found = explain(model, photo(), instruction="remove the noise")
    assert found.instruction.text == "remove the noise" and found.is_told
    assert found.instruction.probabilities == model.understand("remove the noise").probabilities


def test_of_a_large_picture_the_middle_is_looked_at_in_its_own_resolution(pipeline, photo, monkeypatch):
    monkeypatch.setattr(picture_part, "MAX_SIDE", 16)
    model, picture = pipeline("moce_ir"), photo(shape=(21, 14, 3))
    found = explain(model, picture)
    part = found.part
    assert (part.top, part.left, part.height, part.width, part.is_whole) == (2, 0, 16, 14, False)
    middle = Photo(pixels=np.ascontiguousarray(picture.pixels[2:18]))
    assert found.usage == usage_of(model, middle)
    assert found.differences["restored - input"].magnitude.shape == (21, 14)
    assert picture_part.middle_part(middle).is_whole


def test_grey_and_deep_pictures_are_explained(pipeline, photo):
    model = pipeline("prompted_nafnet")
    grey = photo(shape=(20, 24, 1))
    colour = Photo(pixels=np.repeat(grey.pixels, 3, axis=2))
    assert explain(model, grey).usage == usage_of(model, colour)
    deep = Photo(pixels=colour.pixels.astype(np.uint16) * 257)
    assert usage_of(model, deep)["task"] == pytest.approx(usage_of(model, colour)["task"], abs=1e-4)
    assert difference_of(grey, deep).psnr > 90


def test_differences_of_tall_pictures_are_put_together_from_bands(photo):
    first, second = photo(0, shape=(600, 5, 3)), photo(1, shape=(600, 5, 3))
    difference = difference_of(first, second)
    exact = (first.pixels.astype(float) - second.pixels) / 255
    np.testing.assert_allclose(difference.magnitude, np.abs(exact).mean(axis=2), atol=1e-6)
    assert difference.psnr == pytest.approx(-10 * np.log10(np.square(exact).mean()), abs=1e-4)
