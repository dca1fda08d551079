"""What needs CUDA: half precision, compiled networks, off-loading and xFormers, on the embedded and on tiny models."""

import importlib.util

import numpy as np
import pytest
import torch

from ldrestore.restorers import list_models, load_restorer
from tests.tiny_stable import tiny_stable

pytestmark = pytest.mark.gpu

DEVICE = "cuda"
STEPS = {"num_inference_steps": 2, "seed": 3, "output_type": "photo"}


@pytest.fixture
def lq():
    """(96, 64, 3) uint8: soft colours with noise."""
    rows, columns = np.mgrid[0:96, 0:64] / 96
    noise = np.random.default_rng(0).normal(0, 12, (96, 64, 3))
    return np.clip(np.stack([rows, columns, 1 - rows], axis=2) * 220 + noise, 0, 255).astype(np.uint8)


def pixels(output):
    return output.images[0].pixels.astype(int)


def options_of(pipeline):
    return STEPS if hasattr(pipeline, "unet") else {"output_type": "photo"}


@pytest.mark.parametrize("name", [model.name for model in list_models()])
def test_an_embedded_model_gives_the_cpus_result(name, lq, record_property):
    pipeline = load_restorer(name, device="cpu")
    options = options_of(pipeline)
    expected = pixels(pipeline(lq, **options))
    difference = np.abs(pixels(pipeline.to(DEVICE)(lq, **options)) - expected)
    record_property("largest_difference", int(difference.max()))
    assert difference.mean() <= 0.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", [model.name for model in list_models()])
def test_half_precision_is_close(name, dtype, lq, record_property):
    pipeline = load_restorer(name, device=DEVICE)
    options = options_of(pipeline)
    expected = pixels(pipeline(lq, **options))
    difference = np.abs(pixels(pipeline.to(dtype)(lq, **options)) - expected)
    record_property("mean_difference", round(float(difference.mean()), 3))
    assert difference.mean() <= (2 if dtype is torch.float16 else 6)


def test_a_compiled_regressor_gives_the_same(lq):
    pipeline = load_restorer("default", device=DEVICE)
    expected = pixels(pipeline(lq, output_type="photo"))
    pipeline.regressor.compile()
    assert np.abs(pixels(pipeline(lq, output_type="photo")) - expected).max() <= 1


@pytest.mark.parametrize("method", ["enable_model_cpu_offload", "enable_sequential_cpu_offload"])
def test_off_loading_changes_nothing(method, lq):
    stable = tiny_stable()
    expected = pixels(stable.to(DEVICE)(lq[:16, :16], **STEPS))
    stable.to("cpu")
    getattr(stable, method)(device=DEVICE)
    assert np.abs(pixels(stable(lq[:16, :16], **STEPS)) - expected).max() <= 1


@pytest.mark.skipif(importlib.util.find_spec("xformers") is None, reason="needs the extra 'xformers'")
def test_xformers_gives_the_same(lq):
    stable = tiny_stable().to(DEVICE)
    expected = pixels(stable(lq[:16, :16], **STEPS))
    stable.set_attention_backend("xformers")
    assert np.abs(pixels(stable(lq[:16, :16], **STEPS)) - expected).max() <= 2
