import sys

import numpy as np
import pytest

from ldrestore.errors import MissingExtraError
from ldrestore.metrics.st_lpips import ShiftTolerantDistance


@pytest.fixture
def scene():
    """(72, 96, 3) uint8: patches of random colours."""
    colours = np.random.default_rng(3).integers(0, 200, (9, 12, 3))
    return colours.repeat(8, axis=0).repeat(8, axis=1).astype(np.uint8)


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "stlpips_pytorch.stlpips", None)
    with pytest.raises(MissingExtraError, match=r"ldrestore\[metrics\]"):
        ShiftTolerantDistance()


def test_a_worse_picture_is_farther_and_the_same_one_at_zero(scene):
    pytest.importorskip("stlpips_pytorch")
    distance = ShiftTolerantDistance()
    noise = np.random.default_rng(0).normal(0, 1, scene.shape)
    near, far = (np.clip(scene + sigma * noise, 0, 255).astype(np.uint8) for sigma in (5, 40))
    same, small, large = distance([scene, near, far], scene)
    assert same == pytest.approx(0, abs=1e-6)
    assert 0 < small < large
    assert distance([far], scene)[0] == pytest.approx(large, rel=1e-4)
