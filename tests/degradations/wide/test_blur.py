import numpy as np
import pytest

from ldrestore.degradations.blur import path_kernel
from ldrestore.degradations.wide.blur import aperture_kernel, defocus_blur_wide, motion_blur_wide, wandering_kernel


def reach(kernel):
    """Greatest extent of a kernel in pixels."""
    rows, columns = np.nonzero(kernel > 1e-4)
    return max(np.ptp(rows), np.ptp(columns)) + 1


def test_paths_keep_their_length_and_light():
    reaches = []
    for seed in range(60):
        kernel = wandering_kernel(30.0, generator=np.random.default_rng(seed))
        assert kernel.shape[0] == kernel.shape[1] and kernel.shape[0] % 2 == 1
        assert kernel.min() >= 0 and kernel.sum() == pytest.approx(1, abs=1e-4)
        reaches.append(reach(kernel))
    assert max(reaches) <= 35
    assert min(reaches) < 18 < 26 < max(reaches)  # some turn back, some run straight


def test_a_path_of_one_point_is_a_point():
    kernel = path_kernel(np.zeros(4), np.zeros(4))
    assert kernel[kernel.shape[0] // 2, kernel.shape[1] // 2] == 1


def test_an_aperture_is_a_disc_or_a_polygon():
    disc = aperture_kernel(8.0, blades=0, turn=0.0, rim=0.0)
    hexagon = aperture_kernel(8.0, blades=6, turn=0.0, rim=0.0)
    assert disc.sum() == pytest.approx(1, abs=1e-5) and hexagon.sum() == pytest.approx(1, abs=1e-5)
    area = (hexagon > 0.5 * hexagon.max()).sum() / (disc > 0.5 * disc.max()).sum()
    assert area == pytest.approx(6 * np.sin(np.pi / 3) / 2 / np.pi, abs=0.06)
    ring = aperture_kernel(8.0, blades=0, turn=0.0, rim=1.0)
    assert ring[9, 9] < 0.7 * ring[9, 2]
    assert aperture_kernel(0.0, blades=0, turn=0.0, rim=0.0).max() > 0.9


def test_some_parts_stay_sharp_where_blur_follows_depth(photographs):
    """Over all draws, some pictures keep a sharp and a blurred part, others blur everywhere."""
    shares = []
    for seed, gt in photographs:
        lq = defocus_blur_wide(gt, strength=0.6, generator=np.random.default_rng(seed))
        before, after = (np.abs(np.diff(picture.mean(axis=2), axis=1)) for picture in (gt, lq))
        edges = before > 0.05
        shares.append((after[edges] > 0.7 * before[edges]).mean())
    assert min(shares) < 0.05 and max(shares) > 0.15


def test_lights_spread_beyond_what_white_can():
    """A white point on black, long blurred: some draws leave it far brighter than its share of the kernel."""
    image = np.zeros((64, 64, 3), np.float32)
    image[30:33, 30:33] = 1
    for blur in (motion_blur_wide, defocus_blur_wide):
        peaks = [blur(image, strength=0.6, generator=np.random.default_rng(seed)).max() for seed in range(40)]
        assert np.percentile(peaks, 90) > 1.5 * np.percentile(peaks, 30)


def test_flat_pictures_stay_as_they_are(grey):
    for blur in (motion_blur_wide, defocus_blur_wide):
        for seed in range(12):
            assert (
                np.abs(blur(grey(0.4, 40, 40), strength=0.8, generator=np.random.default_rng(seed)) - 0.4).max() < 2e-3
            )
