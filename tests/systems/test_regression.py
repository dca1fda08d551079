"""One look a picture, whatever its tiles: common networks, and those with a way of their own to see the whole."""

import dataclasses

import numpy as np
import pytest
import torch
from diffusers import ConfigMixin, ModelMixin
from torch import nn

from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.registry import RegressorRecord
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.regressors.factory import list_regressors
from ldrestore.systems import regression
from ldrestore.systems.regression import RegressionSystem
from ldrestore.tiling.orientations import ORIENTATIONS, UPRIGHT
from ldrestore.tiling.planning import fixed_plan
from tests.regressors.test_contract import tiny, told

CPU = torch.device("cpu")


def half_dark(height, width, dtype=np.float32):
    pixels = np.random.default_rng(0).random((height, width, 3)) * 0.1
    pixels[:, width // 2 :] += 0.8
    return pixels.astype(dtype)


@torch.no_grad()
@pytest.mark.parametrize("name", list(list_regressors()))
def test_all_tiles_of_a_picture_are_restored_by_what_the_whole_shows(name):
    """A part far from its own border comes out as in the whole; apart from it, as if it were a picture of its own."""
    system = RegressionSystem(tiny(name))
    steering = {"device": CPU, "embedding": told(name, system.network).get("embedding")}
    steering["embedding"] = steering["embedding"] if system.record.takes_embedding else None
    pixels = half_dark(64, 128)
    lq = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]
    whole, _ = system.restore(lq, **steering)
    look = system.looks_at(pixels, fixed_plan(64), orientations=(UPRIGHT,), **steering)[UPRIGHT]
    again, _ = system.restore(lq, look=look, **steering)
    torch.testing.assert_close(again, whole, rtol=1e-4, atol=1e-5)
    if not isinstance(look, dict) or not look:
        return
    changed = {key: value * 1.5 + 0.1 for key, value in look.items()}
    assert not torch.allclose(system.restore(lq, look=changed, **steering)[0], whole, atol=1e-6)


def test_a_small_picture_taken_whole_is_not_looked_at_twice():
    system = RegressionSystem(tiny("nafnet"))
    looks = system.looks_at(half_dark(64, 64), fixed_plan(0), orientations=ORIENTATIONS, device=CPU)
    assert looks == dict.fromkeys(ORIENTATIONS)
    assert system.looks_at(half_dark(64, 128), fixed_plan(64), orientations=(UPRIGHT,), device=CPU)[UPRIGHT]
    assert system.looks_at(half_dark(520, 520), fixed_plan(0), orientations=(UPRIGHT,), device=CPU)[UPRIGHT]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_look_that_overflows_is_taken_again_in_float32(dtype, caplog):
    network = tiny("nafnet")
    with torch.no_grad():
        network.intro.weight.mul_(1e5 if dtype == torch.float16 else 1e39)
    system = RegressionSystem(network.to(dtype))
    if dtype == torch.bfloat16:
        with pytest.raises(regression.WeightsError, match="damaged"):
            system.looks_at(half_dark(64, 128), fixed_plan(64), orientations=(UPRIGHT,), device=CPU)
        return
    look = system.looks_at(half_dark(64, 128), fixed_plan(64), orientations=(UPRIGHT,), device=CPU)[UPRIGHT]
    assert "looks again in float32" in caplog.text
    assert all(value.isfinite().all() for value in look.values()) and network.dtype == dtype


@dataclasses.dataclass(frozen=True)
class Light:
    mean: torch.Tensor
    num_crops: torch.Tensor


class Lifter(ModelMixin, ConfigMixin):
    """Lifts dark pictures by what the reduced copy shows, and adds a ramp over the whole picture."""

    size_multiple = 8

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.num_looks = 0

    def look(self, reduced, crops):
        assert max(reduced.shape[-2:]) <= 256 and crops.shape[1] == 3
        self.num_looks += 1
        return Light(mean=reduced.mean(), num_crops=torch.tensor(float(len(crops))))

    def forward(self, lq, *, look=None, window=None):
        assert window is not None and lq.shape[-2:] == (window.height, window.width)
        rows, columns = window.positions()
        ramp = rows[:, None] * 0.1 + columns * 0.05
        return lq + self.weight * (0.3 - look.mean * 0.1 + ramp)


@pytest.fixture
def lifter(monkeypatch):
    record = RegressorRecord(
        name="lifter",
        target=f"{Lifter.__module__}:Lifter",
        size_multiple=8,
        bytes_per_pixel=100,
        parameters=1,
        macs=0,
        tasks=(),
        source="a test",
        licence="Apache-2.0",
        looks=True,
        signature_keys=("weight",),
    )
    monkeypatch.setitem(REGRESSORS._records, "lifter", record)
    pipeline = FastRestorePipeline(regressor=Lifter())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("size", [(60, 90), (150, 530)])
def test_a_network_that_looks_is_shown_each_picture_once_and_told_where_each_tile_lies(lifter, size):
    pixels = half_dark(*size) * 0.5
    whole = lifter(pixels, tile="off", output_type="np").images[0]
    assert lifter.regressor.num_looks == 1
    tiled = lifter(pixels, tile=64, output_type="np").images[0]
    assert lifter.regressor.num_looks == 2
    np.testing.assert_allclose(tiled, whole, atol=1e-6)
    rows, columns = ((np.arange(side) + 0.5) / side for side in size)
    expected = pixels + 0.3 - pixels.mean() * 0.1 + rows[:, None, None] * 0.1 + columns[:, None] * 0.05
    np.testing.assert_allclose(whole, expected.clip(0, 1), atol=1e-4)


def test_it_looks_in_each_orientation_of_the_self_ensemble(lifter):
    pixels = half_dark(64, 96) * 0.5
    whole = lifter(pixels, tile="off", self_ensemble=True, output_type="np").images[0]
    assert lifter.regressor.num_looks == 8
    tiled = lifter(pixels, tile=64, self_ensemble=True, output_type="np").images[0]
    np.testing.assert_allclose(tiled, whole, atol=1e-6)
    flipped = lifter(pixels[:, ::-1].copy(), tile=64, self_ensemble=True, output_type="np").images[0]
    np.testing.assert_allclose(flipped[:, ::-1], whole, atol=1e-6)
