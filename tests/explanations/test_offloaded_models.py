"""Explaining models whose weights are off-loaded: as the call itself, it computes where the pipeline computes."""

import accelerate
import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline

from ldrestore.explanations.fast_explanation import explain, usage_of
from ldrestore.explanations.point_map import PointMap
from ldrestore.explanations.prompt_maps import WORDS, map_prompts, view_picture
from ldrestore.explanations.sampled_explanation import SampledExplanation
from ldrestore.explanations.stable_explanation import explain_stable
from ldrestore.explanations.xl_explanation import explain_xl
from ldrestore.options import StableRestoreOptions, XLRestoreOptions
from tests.tiny_stable import tiny_stable
from tests.tiny_xl_pipeline import tiny_daff, tiny_xl

pytestmark = pytest.mark.usefixtures("plain_maps")

XL_OPTIONS = XLRestoreOptions(num_inference_steps=2, instruction="remove the rain", guidance_scale=2.0, seed=1)
STABLE_OPTIONS = StableRestoreOptions(num_inference_steps=2, seed=1)


@pytest.fixture
def plain_maps(monkeypatch) -> None:
    """Two numbers of each vector in the place of t-SNE, which takes seconds."""

    def lay_out(vectors: np.ndarray, labels: list[str]) -> PointMap:
        return PointMap(labels=tuple(labels), points=vectors[:, :2], silhouette=None)

    monkeypatch.setattr("ldrestore.explanations.prompt_maps.map_points", lay_out)


def off_load_layers(pipeline: DiffusionPipeline) -> None:
    """`enable_sequential_cpu_offload`, but that it refuses the CPU."""
    for name, part in pipeline.components.items():
        if isinstance(part, torch.nn.Module) and name not in pipeline._exclude_from_cpu_offload:
            accelerate.cpu_offload(part, torch.device("cpu"), offload_buffers=len(part._parameters) > 0)


def off_load_models(pipeline: DiffusionPipeline) -> None:
    pipeline.enable_model_cpu_offload(device="cpu")


def assert_equal(found: SampledExplanation, expected: SampledExplanation) -> None:
    """Pictures of the result, of the way and without the refiner, to the bit."""
    pairs = [(found.pictures.restored, expected.pictures.restored)]
    pairs.append((found.pictures.unrefined, expected.pictures.unrefined))
    pairs += [(one.picture, other.picture) for one, other in zip(found.estimates, expected.estimates, strict=True)]
    assert len(pairs) == 4 and all(np.array_equal(one.pixels, other.pixels) for one, other in pairs)
    assert found.record["output_sha256"] == expected.record["output_sha256"]
    assert found.model == expected.model


@pytest.mark.parametrize("off_load", [off_load_layers, off_load_models])
@pytest.mark.parametrize("lq", ["features", "latent"])
def test_a_model_upon_sdxl_tells_the_same(photo, off_load, lq) -> None:
    xl = tiny_xl(daff=tiny_daff(lq=lq, lq_channels=16 if lq == "features" else 8))
    expected = explain_xl(xl, photo(), XL_OPTIONS)
    off_load(xl)
    found = explain_xl(xl, photo(), XL_OPTIONS)
    assert_equal(found.sampled, expected.sampled)
    assert len(found.alignments) == 2 and list(found.experts) == list(expected.experts)
    for one, other in zip(found.alignments, expected.alignments, strict=True):
        assert one.timestep == other.timestep and np.array_equal(one.share, other.share)
    for one, other in zip(found.experts.values(), expected.experts.values(), strict=True):
        assert np.array_equal(one.probabilities, other.probabilities)


@pytest.mark.parametrize("off_load", [off_load_layers, off_load_models])
def test_a_model_upon_stable_diffusion_tells_the_same_of_one_picture_and_of_many(photo, off_load) -> None:
    stable = tiny_stable()
    expected, view = explain_stable(stable, photo(), STABLE_OPTIONS), view_picture(stable, photo(1))
    off_load(stable)
    found = explain_stable(stable, photo(), STABLE_OPTIONS)
    assert_equal(found.sampled, expected.sampled)
    assert np.array_equal(found.prompts.text[WORDS].points, expected.prompts.text[WORDS].points)
    assert list(found.prompts.visual) == list(expected.prompts.visual)
    again = view_picture(stable, photo(1))
    assert again.estimate == view.estimate and np.array_equal(again.texts, view.texts)


def test_what_was_brought_in_for_looking_goes_back(photo, monkeypatch) -> None:
    stable = tiny_stable()
    stable.enable_model_cpu_offload(device="cpu")
    freed = []
    monkeypatch.setattr(type(stable), "maybe_free_model_hooks", lambda self: freed.append(self))
    view = view_picture(stable, photo())
    assert freed == [stable]
    map_prompts(stable, [view])
    assert freed == [stable, stable]


@pytest.mark.parametrize("name", ["nafnet", "prompted_nafnet"])
def test_a_network_of_one_pass_tells_the_same(photo, pipeline, name) -> None:
    model = pipeline(name)
    expected = explain(model, photo())
    off_load_layers(model)
    assert all(weight.is_meta for weight in model.regressor.parameters())
    found = explain(model, photo())
    assert np.array_equal(found.pictures.restored.pixels, expected.pictures.restored.pixels)
    assert (found.usage, found.model) == (expected.usage, expected.model)  # the hash that was known before, too
    if expected.usage:
        assert usage_of(model, photo()) == expected.usage
