"""One look a picture, whatever its tiles: common networks, and those with a way of their own to see the whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import ConfigMixin, ModelMixin
from torch import nn

from ldrestore.errors import UndefinedNumbersError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.registry import RegressorRecord
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.regressors.factory import list_regressors
from ldrestore.regressors.onnx_regressor import OnnxRegressor
from ldrestore.systems.regression import RegressionSystem
from ldrestore.tiling.orientations import ORIENTATIONS, UPRIGHT
from ldrestore.tiling.picture_views import REDUCED_SIDE, whole_window
from ldrestore.tiling.planning import fixed_plan
from ldrestore.tiling.shared_statistics import MapStatistic, channel_means
from tests.regressors.test_contract import steering_of, tiny
from tests.regressors.test_onnx_regressor import lifting_file

CPU = torch.device("cpu")


def half_dark(height, width, dtype=np.float32):
    pixels = np.random.default_rng(0).random((height, width, 3)) * 0.1
    pixels[:, width // 2 :] += 0.8
    return pixels.astype(dtype)


@torch.no_grad()
@pytest.mark.parametrize("name", list(list_regressors()))
def test_a_pass_with_what_the_whole_shows_is_that_of_the_whole(name):
    system = RegressionSystem(tiny(name))
    steering = {"device": CPU, "embedding": steering_of(name, system.network).get("embedding")}
    steering["embedding"] = steering["embedding"] if system.record.takes_embedding else None
    pixels = half_dark(64, 128)
    lq = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]
    whole, _ = system.restore(lq, **steering)
    look = system.looks_at(pixels, fixed_plan(64), orientations=(UPRIGHT,), **steering)[UPRIGHT]
    place = whole_window(64, 128)
    again, _ = system.restore(lq, look=look, window=place, **steering)
    torch.testing.assert_close(again, whole, rtol=1e-4, atol=1e-5)
    changed = replace(look, statistics={key: value * 1.5 + 0.1 for key, value in look.statistics.items()})
    assert not torch.allclose(system.restore(lq, look=changed, window=place, **steering)[0], whole, atol=1e-6)


def test_a_small_picture_taken_whole_is_not_looked_at_twice():
    system = RegressionSystem(tiny("nafnet"))
    looks = system.looks_at(half_dark(64, 64), fixed_plan(0), orientations=ORIENTATIONS, device=CPU)
    assert looks == dict.fromkeys(ORIENTATIONS)
    assert system.looks_at(half_dark(64, 128), fixed_plan(64), orientations=(UPRIGHT,), device=CPU)[UPRIGHT]
    assert system.looks_at(half_dark(800, 750), fixed_plan(0), orientations=(UPRIGHT,), device=CPU)[UPRIGHT]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_look_that_overflows_is_taken_again_in_float32(dtype, caplog):
    network = tiny("nafnet")
    with torch.no_grad():
        network.intro.weight.mul_(1e5 if dtype == torch.float16 else 1e39)
    system = RegressionSystem(network.to(dtype))
    if dtype == torch.bfloat16:
        with pytest.raises(UndefinedNumbersError, match="damaged"):
            system.looks_at(half_dark(64, 128), fixed_plan(64), orientations=(UPRIGHT,), device=CPU)
        return
    look = system.looks_at(half_dark(64, 128), fixed_plan(64), orientations=(UPRIGHT,), device=CPU)[UPRIGHT]
    assert "computing again in float32" in caplog.text
    assert all(value.isfinite().all() for value in look.statistics.values()) and network.dtype == dtype


class Lifter(ModelMixin, ConfigMixin):
    """Lifts dark pictures by what the reduced copy shows, and adds a ramp over the whole picture."""

    size_multiple = 8

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.means = MapStatistic(channel_means)
        self.num_passes = 0

    def forward(self, lq, *, whole=None, window=None):
        assert max(whole.shape[-2:]) <= REDUCED_SIDE and len(whole) == len(window) == len(lq)
        self.num_passes += 1
        first, last = window.chunk(2, dim=1)
        rows, columns = (
            first[:, axis, None] + (last - first)[:, axis, None] * (torch.arange(size) + 0.5) / size
            for axis, size in enumerate(lq.shape[-2:])
        )
        ramp = rows[:, None, :, None] * 0.1 + columns[:, None, None] * 0.05
        lift = 0.2 - whole.mean(dim=(1, 2, 3), keepdim=True) * 0.1 + 0 * self.means(lq)
        return lq + self.weight * (lift + ramp)


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
        takes_whole=True,
        signature_keys=("weight",),
    )
    monkeypatch.setitem(REGRESSORS._records, "lifter", record)
    pipeline = FastRestorePipeline(regressor=Lifter())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize(("size", "num_looks"), [((60, 90), 0), ((700, 900), 1)])
def test_a_network_that_takes_the_whole_is_told_where_each_tile_lies(lifter, size, num_looks):
    pixels = half_dark(*size) * 0.5
    whole = lifter(pixels, tile="off", output_type="np").images[0]
    assert lifter.regressor.num_passes == 1 + num_looks
    tiled = lifter(pixels, tile=64, output_type="np").images[0]
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    rows, columns = ((np.arange(side) + 0.5) / side for side in size)
    expected = pixels + 0.2 - pixels.mean() * 0.1 + rows[:, None, None] * 0.1 + columns[:, None] * 0.05
    np.testing.assert_allclose(whole, expected.clip(0, 1), atol=1e-4)


def test_it_sees_each_orientation_of_the_self_ensemble(lifter):
    pixels = half_dark(64, 96) * 0.5
    whole = lifter(pixels, tile="off", self_ensemble=True, output_type="np").images[0]
    tiled = lifter(pixels, tile=64, self_ensemble=True, output_type="np").images[0]
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    flipped = lifter(pixels[:, ::-1].copy(), tile=64, self_ensemble=True, output_type="np").images[0]
    np.testing.assert_allclose(flipped[:, ::-1], whole, atol=1e-5)


@torch.no_grad()
def test_hints_reach_the_look_and_the_tiles():
    system, pixels = RegressionSystem(tiny("grid_nafnet")), half_dark(528, 640)
    hints = torch.zeros(1, 2 * len(system.network.config["degradations"]))
    named = hints.clone()
    named[0, 0] = 1.0
    plan, lq = fixed_plan(256), torch.from_numpy(pixels[:64, :64].transpose(2, 0, 1).copy())[None]
    place = replace(whole_window(528, 640), height=64, width=64)
    results = []
    for steering in ({}, {"hints": hints}, {"hints": named}):
        look = system.looks_at(pixels, plan, orientations=(UPRIGHT,), device=CPU, **steering)[UPRIGHT]
        results.append(system.restore(lq, device=CPU, look=look, window=place, **steering)[0])
    assert torch.equal(results[0], results[1])
    assert not torch.allclose(results[0], results[2], atol=1e-6)


def test_tiles_of_an_exported_network_share_the_look_but_no_statistics(tmp_path):
    system, pixels = RegressionSystem(OnnxRegressor(lifting_file(tmp_path / "x.onnx"))), half_dark(160, 320)
    look = system.looks_at(pixels, fixed_plan(64), orientations=(UPRIGHT,), device=CPU)[UPRIGHT]
    assert look.whole.shape == (1, 3, 64, 128) and look.statistics is None
    lq = torch.from_numpy(pixels[:64, 64:128].transpose(2, 0, 1).copy())[None]
    place = replace(whole_window(160, 320), left=64, height=64, width=64)
    restored, probabilities = system.restore(lq, device=CPU, look=look, window=place, hints=torch.ones(1, 4))
    torch.testing.assert_close(restored, lq + pixels.mean() + sum(place.shares) + 4, rtol=1e-4, atol=1e-4)
    assert probabilities.shape == (3,)
