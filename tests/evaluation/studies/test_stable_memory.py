import sys

import numpy as np
import pytest
import torch
from torch import nn

from ldrestore.evaluation.studies.full_widths import full_part_sizes, img2img_of
from ldrestore.evaluation.studies.stable_memory import WeightsAside, caller_of, growth_on_cpu, picture_of
from tests.tiny_stable import tiny_stable


def test_full_widths_are_those_of_the_base_and_the_released_adapters():
    millions = {name: round(number / 1e6, 1) for name, number in full_part_sizes().items()}
    assert millions["unet"] == 865.9 and millions["vae"] == 83.7
    assert millions["text_encoder"] == 340.4 and millions["image_encoder"] == 632.1
    assert millions["injection"] == 59.5


def test_both_pipelines_are_called_on_a_picture():
    stable = tiny_stable()
    steps = []
    hook = stable.unet.register_forward_pre_hook(lambda module, inputs: steps.append("ours"))
    for kind in ("restorer", "refined"):
        assert caller_of(kind, stable)(picture_of(16)).photos[0].pixels.shape == (16, 16, 3)
    hook.remove()
    stable.detach()
    base = img2img_of(stable)
    base.unet.register_forward_pre_hook(lambda module, inputs: steps.append(inputs[0].shape[0]))
    assert caller_of("img2img", base)(picture_of(32)).images[0].shape == (32, 32, 3)
    assert steps == ["ours"] * 4 + [1, 1]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the resident memory of a process")
def test_the_peak_of_a_call_is_above_what_was_there():
    def hold(picture):
        return np.ones((picture.shape[0] ** 2, 1000), np.float32).sum()

    row = growth_on_cpu(hold, side=200)  # 0.16 GB
    assert row["beyond_weights"] == pytest.approx(0.16, abs=0.04)
    assert row["idle"] > 0.05


def test_weights_are_taken_off_the_peak_of_each_stretch():
    part, resets = nn.Linear(10, 10, bias=False), []
    peaks = iter([100, 1000, 700])
    meter = WeightsAside([part], peak=lambda: next(peaks), reset=lambda: resets.append(1))
    part.to(torch.device("meta"))  # from here on its 400 bytes lie on a device
    part.to(torch.device("meta"))
    meter.read()
    assert (meter.most, meter.beyond) == (1000, 600)
    assert len(resets) == 3
