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


@pytest.mark.parametrize(("channel", "site"), [(0, (0, 0)), (2, (1, 1))])
def test_white_balance_amplifies_the_noise_of_red_and_blue(grey, channel: int, site: tuple[int, int]) -> None:
    """A site counts light / gain, and the balance multiplies what it counted: gain^2 (shot light / gain + read^2)."""
    same_draws = np.random.default_rng(6)
    gain = (same_draws.uniform(1.4, 2.4), 1.0, same_draws.uniform(1.4, 2.2))[channel]
    noisy = to_linear(real_noise(grey(0.6, 256, 256), shot=1e-3, read=4e-3, generator=np.random.default_rng(6)))
    light = float(to_linear(np.float32(0.6)))
    own = noisy[site[0] :: 2, site[1] :: 2, channel]
    assert own.var() == pytest.approx(gain**2 * (1e-3 * light / gain + 4e-3**2), rel=0.06)


def test_interpolated_sites_are_quieter_than_counted_ones(grey) -> None:
    """The mean of four green neighbours has a quarter of the variance, that of four diagonal red ones, too."""
    noisy = to_linear(real_noise(grey(0.5, 256, 256), shot=1e-3, read=1e-3, generator=np.random.default_rng(1)))
    green, red = noisy[..., 1], noisy[..., 0]
    assert green[2::2, 2::2].var() / green[2::2, 1::2].var() == pytest.approx(0.25, rel=0.08)
    assert red[1:-1:2, 1:-1:2].var() / red[2::2, 2::2].var() == pytest.approx(0.25, rel=0.08)


@pytest.mark.parametrize(("value", "sign"), [(0.0, 1), (1.0, -1)])
def test_gaussian_noise_is_cut_at_black_and_white(grey, generator, value: float, sign: int) -> None:
    change = gaussian_noise(grey(value, 200, 200), sigma_255=20, generator=generator) - value
    assert np.mean(change == 0) == pytest.approx(0.5, abs=0.01)
    assert 255 * sign * change.mean() == pytest.approx(20 / np.sqrt(2 * np.pi), rel=0.02)


def test_no_light_has_no_photons(grey, generator) -> None:
    assert not poisson_noise(grey(0.0), photons=50, generator=generator).any()


def test_white_is_counted_too_and_what_exceeds_it_is_cut(grey, generator) -> None:
    noisy = poisson_noise(grey(1.0, 128, 128), photons=100, generator=generator)
    assert noisy.max() == 1 and noisy.min() > 0.5
    assert 1 - noisy.mean() == pytest.approx(0.1 / np.sqrt(2 * np.pi), rel=0.1)
