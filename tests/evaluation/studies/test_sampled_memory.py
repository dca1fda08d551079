import sys

import numpy as np
import pytest
import torch
from torch import nn

from ldrestore.evaluation.studies.cost_subjects import SUBJECTS
from ldrestore.evaluation.studies.sampled_memory import WeightsAside, caller_of, growth_on_cpu, picture_of
from tests.tiny_stable import tiny_stable
from tests.tiny_xl_pipeline import tiny_xl

TINY = {"stable-cost": tiny_stable, "xl-cost": tiny_xl}


def test_full_widths_are_those_of_the_base_and_the_released_adapters():
    millions = {name: round(number / 1e6, 1) for name, number in SUBJECTS["stable-cost"].full_sizes().items()}
    assert millions["unet"] == 865.9 and millions["vae"] == 83.7
    assert millions["text_encoder"] == 340.4 and millions["image_encoder"] == 632.1
    assert millions["injection"] == 59.5


def test_full_widths_of_the_xl_track_are_those_of_sdxl():
    millions = {name: round(number / 1e6, 1) for name, number in SUBJECTS["xl-cost"].full_sizes().items()}
    assert millions["unet"] == 2567.5 and millions["vae"] == 83.7
    assert millions["text_encoder"] == 123.1 and millions["text_encoder_2"] == 694.7
    assert millions["daff"] == 35.8


@pytest.mark.parametrize("study", TINY)
def test_both_pipelines_are_called_on_a_picture(study):
    ours, subject = TINY[study](), SUBJECTS[study]
    steps = []
    hook = ours.unet.register_forward_pre_hook(lambda module, inputs: steps.append("ours"))
    for kind in ("restorer", "refined"):
        assert caller_of(kind, ours)(picture_of(16)).photos[0].pixels.shape == (16, 16, 3)
    hook.remove()
    ours.detach()
    base = subject.img2img(ours)
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
