import numpy as np
import pytest

from ldrestore.degradations.noise import gaussian_noise, gaussian_noise_parameters, poisson_noise, real_noise
from ldrestore.degradations.transfer import to_linear


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def test_gaussian_noise_has_the_named_deviation(grey, generator):
    noise = gaussian_noise(grey(0.5, 128, 128), sigma_255=25, generator=generator) - 0.5
    assert noise.std() * 255 == pytest.approx(25, rel=0.02)
    assert abs(noise.mean()) * 255 < 0.5


def test_gaussian_noise_is_white_across_pixels_and_channels(grey, generator):
    noise = gaussian_noise(grey(0.5, 128, 128), sigma_255=25, generator=generator) - 0.5
    assert abs(np.corrcoef(noise[:, 1:, 0].ravel(), noise[:, :-1, 0].ravel())[0, 1]) < 0.03
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.03


def test_no_gaussian_noise_changes_nothing(picture, generator):
    assert np.array_equal(gaussian_noise(picture, sigma_255=0, generator=generator), picture)


def test_severity_half_is_sigma_25():
    assert [gaussian_noise_parameters(severity)["sigma_255"] for severity in (0, 0.5, 1)] == [0, 25, 50]


@pytest.mark.parametrize("value", [0.1, 0.3, 0.6])
def test_poisson_variance_is_the_signal_over_the_photons(grey, generator, value):
    noisy = poisson_noise(grey(value, 128, 128), photons=200, generator=generator)
    assert noisy.var() == pytest.approx(value / 200, rel=0.04)
    assert noisy.mean() == pytest.approx(value, rel=0.01)


def test_poisson_noise_counts_whole_photons(grey, generator):
    counts = poisson_noise(grey(0.4), photons=10, generator=generator) * 10
    assert np.allclose(counts, np.rint(counts), atol=1e-5)


def test_real_noise_without_noise_keeps_the_detail(picture, generator):
    same = real_noise(picture, shot=0, read=0, generator=generator)
    assert np.abs(same - picture).max() < 1e-5


def test_real_noise_grows_with_the_signal_in_linear_light(grey, generator):
    deviations = []
    for value in (0.2, 0.45, 0.7):
        noisy = real_noise(grey(value, 128, 128), shot=1e-3, read=1e-4, generator=generator)
        deviations.append(to_linear(noisy).std(axis=(0, 1))[1])
    assert deviations == sorted(deviations)
    assert deviations[2] > 2 * deviations[0]


def test_real_noise_is_spatially_correlated(grey, generator):
    noise = real_noise(grey(0.5, 128, 128), shot=1e-3, read=1e-3, generator=generator) - 0.5
    for channel in range(3):
        assert np.corrcoef(noise[:, 1:, channel].ravel(), noise[:, :-1, channel].ravel())[0, 1] > 0.2


def test_real_noise_of_green_has_the_modelled_variance_at_its_sites(grey, generator):
    noisy = to_linear(real_noise(grey(0.6, 256, 256), shot=1e-3, read=2e-3, generator=generator))
    at_sites = noisy[0::2, 1::2, 1]  # a green site of RGGB keeps its own sample, and green has gain 1
    signal = float(to_linear(np.float32(0.6)))
    assert at_sites.var() == pytest.approx(1e-3 * signal + 2e-3**2, rel=0.05)
