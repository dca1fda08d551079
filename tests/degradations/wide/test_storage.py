import numpy as np

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
