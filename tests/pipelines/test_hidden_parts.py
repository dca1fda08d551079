"""What the default decides about a picture with a hidden part, it decides from what is seen."""

import numpy as np
import pytest
from PIL import Image

from ldrestore.evaluation.benchmark_files import BUILTIN_FOLDER
from ldrestore.images.photo import Photo
from ldrestore.metrics.psnr import psnr
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline

SIDE = 192


@pytest.fixture(scope="module")
def restored():
    pipeline = FastRestorePipeline.from_pretrained("default")
    pipeline.set_progress_bar_config(disable=True)
    return lambda photo: pipeline(photo, output_type="photo").photos[0].pixels


@pytest.fixture
def clean():
    """Part of a photograph, (SIDE, SIDE, 3) uint8."""
    return np.asarray(Image.open(BUILTIN_FOLDER / "astronaut.png").convert("RGB"))[:SIDE, 100 : 100 + SIDE]


def test_a_noisy_picture_of_which_half_is_hidden_is_denoised_as_the_whole(restored, clean):
    noise = np.random.default_rng(0).normal(0, 25, clean.shape)
    noisy = np.clip(clean + noise, 0, 255).round().astype(np.uint8)
    alpha = np.full((SIDE, SIDE), 255, np.uint8)
    alpha[:, SIDE // 2 :] = 0
    visible = np.s_[:, : SIDE // 2]
    whole = restored(Photo(pixels=noisy))[visible]
    stored = noisy.copy()
    stored[alpha == 0] = 0
    half = restored(Photo(pixels=stored, alpha=alpha))[visible]
    assert psnr(half, clean[visible]) > psnr(whole, clean[visible]) - 0.5
