import numpy as np
import pytest

from ldrestore.degradations.wide.storage import downscale_wide, jpeg_wide


def test_blocks_begin_anywhere(photographs):
    """Steps across columns are largest at one place of eight, and over the seeds at most of the eight."""
    places = set()
    for seed, gt in photographs:
        lq = jpeg_wide(gt, strength=0.9, generator=np.random.default_rng(seed))
        steps = np.abs(np.diff(lq.mean(axis=2), axis=1)).mean(axis=0)
        places.add(int(np.argmax([steps[place::8].mean() for place in range(8)])))
    assert len(places) >= 6


def test_hard_kernels_are_drawn_too(photographs):
    """Enlarged by the nearest pixel, a picture has steps of nothing."""
    shares = []
    for seed, gt in photographs * 2:
        lq = downscale_wide(gt, strength=0.8, generator=np.random.default_rng([seed, len(shares)]))
        shares.append((np.diff(lq, axis=1) == 0).mean())
    assert max(shares) > 0.5 > 0.1 > np.median(shares)


def fidelity(lq: np.ndarray, gt: np.ndarray) -> float:
    """PSNR in dB."""
    return float(-10 * np.log10(np.mean((lq - gt) ** 2)))


@pytest.mark.parametrize("strength", [0.3, 0.7])
@pytest.mark.parametrize(("wide", "plain"), [(jpeg_wide, "jpeg"), (downscale_wide, "downscale")])
def test_strength_costs_about_what_the_severity_of_the_plain_form_does(
    photographs, degraded, wide, plain: str, strength: float
) -> None:
    gaps = []
    for seed, gt in photographs:
        lq = wide(gt, strength=strength, generator=np.random.default_rng(seed))
        gaps.append(fidelity(lq, gt) - fidelity(degraded(gt, plain, severity=strength, seed=seed), gt))
    assert abs(np.median(gaps)) < 3


def test_files_at_full_and_at_half_size_of_chroma_are_drawn() -> None:
    """Colours that change from pixel to pixel survive in some files and are averaged in most."""
    stripes = np.zeros((64, 64, 3), np.float32)
    stripes[:, ::2], stripes[:, 1::2] = (0.7, 0.4, 0.4), (0.4, 0.5, 0.7)
    kept = []
    for seed in range(40):
        lq = jpeg_wide(stripes, strength=0.1, generator=np.random.default_rng(seed))
        colour = lq[..., 0] - lq[..., 2]
        kept.append(np.abs(np.diff(colour, axis=1)).mean() / 0.6)
    assert 0.05 < np.mean(np.greater(kept, 0.8)) < 0.4
    assert not [share for share in kept if 0.1 < share < 0.8]
