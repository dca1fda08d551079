import numpy as np
import pytest

from ldrestore.degradations.medical import (
    back_projected,
    ct_low_dose,
    kept_lines,
    line_integrals,
    mri_undersample,
    ramp_filtered,
    smooth_phase,
)

DOSES = (1e5, 1e4, 1e3)


def disc(height, width, *, radius):
    """A soft disc of value 1 in the middle: (H, W) float32."""
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - (height - 1) / 2, columns - (width - 1) / 2)
    return np.clip(radius + 0.5 - distance, 0, 1).astype(np.float32)


def low_dose(image, *, photons, seed=0):
    return ct_low_dose(image, photons=photons, electronic=3.0, generator=np.random.default_rng(seed))


def test_line_integrals_of_a_disc_are_its_chords():
    angles = np.array([0.0, 0.4, np.pi / 2, 2.5])
    integrals = line_integrals(disc(60, 80, radius=20.0), angles, num_detectors=101)
    places = np.arange(101) - 50
    chords = 2 * np.sqrt(np.maximum(400.0 - places**2, 0))
    assert integrals.shape == (4, 101)
    assert np.abs(integrals - chords)[:, np.abs(places) < 18].max() < 1.0


def test_line_integrals_at_right_angles_are_sums_of_columns_and_rows():
    image = np.random.default_rng(0).random((7, 9), dtype=np.float32)
    integrals = line_integrals(image, np.array([0.0, np.pi / 2]), num_detectors=13)
    assert np.allclose(integrals[0, 2:11], image.sum(axis=0), atol=1e-3)
    assert np.allclose(integrals[1, 3:10], image.sum(axis=1), atol=1e-3)
    assert not integrals[0, [0, 12]].any()


def test_large_pictures_have_the_line_integrals_of_large_pictures():
    integrals = line_integrals(disc(400, 400, radius=100.0), np.array([0.3]), num_detectors=567)
    assert integrals[0, 283] == pytest.approx(200, rel=0.02)


def test_filtered_back_projection_inverts_the_line_integrals():
    angles = np.arange(180) * np.pi / 180
    image = disc(64, 80, radius=20.0)
    sinogram = line_integrals(image, angles, num_detectors=105)
    rebuilt = back_projected(ramp_filtered(sinogram), angles, height=64, width=80)
    is_far_from_edge = (disc(64, 80, radius=17.0) == 1) | (disc(64, 80, radius=23.0) == 0)
    assert np.abs(rebuilt - image)[is_far_from_edge].max() < 0.06


def test_a_grey_slice_stays_grey_and_colours_stay(picture, grey):
    noisy = low_dose(grey(0.5), photons=1e4)
    assert np.array_equal(noisy[..., 0], noisy[..., 1]) and np.array_equal(noisy[..., 0], noisy[..., 2])
    change = low_dose(picture, photons=1e5) - picture
    assert np.abs(change - change[..., :1]).max() < 1e-5


def test_noise_falls_with_the_root_of_the_dose(grey):
    deviations = [low_dose(grey(0.3), photons=photons).std() for photons in DOSES]
    assert deviations[1] / deviations[0] == pytest.approx(np.sqrt(10), rel=0.1)
    assert deviations[2] / deviations[1] == pytest.approx(np.sqrt(10), rel=0.2)


def test_noise_is_stronger_behind_matter(grey):
    thin, thick = (low_dose(grey(value), photons=1e5).std() for value in (0.2, 0.6))
    assert thick > 2 * thin


@pytest.mark.parametrize("shape", [(48, 48), (120, 60)])
def test_all_sizes_are_equally_noisy(grey, shape):
    reference = low_dose(grey(0.4, 192, 192), photons=1e4).std()
    assert low_dose(grey(0.4, *shape), photons=1e4).std() == pytest.approx(reference, rel=0.25)


def test_noise_has_no_bias_and_few_low_frequencies(grey):
    noise = low_dose(grey(0.4, 128, 128), photons=1e4)[..., 0] - 0.4
    assert abs(noise.mean()) < 0.2 * noise.std()
    power = np.abs(np.fft.fft2(noise - noise.mean())) ** 2
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    low, middle, high = (power[abs(radius - at) < 0.03].mean() for at in (0.01, 0.15, 0.45))
    assert low < 0.5 * middle and high < 0.5 * middle  # the ramp passes no low ones, the window few high ones


def test_all_lines_give_the_picture_back(picture):
    whole = mri_undersample(picture, acceleration=1.0, centre=0.1, generator=np.random.default_rng(0))
    assert np.abs(whole - picture).max() < 1e-5


def test_undersampling_is_a_masked_fourier_transform_of_each_row(grey):
    image = grey(0.0, 3, 16)
    image[...] = np.random.default_rng(1).uniform(0.4, 0.6, (3, 16, 1))
    result = mri_undersample(image, acceleration=2.0, centre=0.2, generator=np.random.default_rng(4))
    same_draws = np.random.default_rng(4)
    mask = kept_lines(16, acceleration=2.0, centre=0.2, generator=same_draws)
    phase = smooth_phase(3, 16, generator=same_draws)
    for row in range(3):
        values = image[row, :, 0] * phase[row]
        for place in range(16):
            total = 0j
            for line in range(16):
                if mask[line]:
                    frequency = line - 8
                    waves = np.exp(-2j * np.pi * frequency * np.arange(16) / 16)
                    total += (values * waves).sum() * np.exp(2j * np.pi * frequency * place / 16) / 16
            assert result[row, place, 0] == pytest.approx(abs(total), abs=1e-4)


def test_the_mask_keeps_its_share_and_the_whole_centre():
    mask = kept_lines(320, acceleration=4.0, centre=0.08, generator=np.random.default_rng(0))
    assert mask.sum() == 80
    assert mask[160 - 13 : 160 + 13].all()
    assert 0 < mask[:100].sum() < 50 and 0 < mask[-100:].sum() < 50


@pytest.mark.parametrize("num_lines", [1, 2, 5])
def test_few_lines_keep_the_lowest(num_lines):
    mask = kept_lines(num_lines, acceleration=64.0, centre=0.0, generator=np.random.default_rng(0))
    assert mask.sum() == 1 and mask[num_lines // 2]


def test_undersampling_leaves_a_grey_slice_grey(grey):
    image = grey(0.2, 32, 32)
    image[8:20, 10:25] = 0.8
    result = mri_undersample(image, acceleration=4.0, centre=0.08, generator=np.random.default_rng(0))
    assert np.array_equal(result[..., 0], result[..., 2]) and np.abs(result - image).max() > 0.1
