import tracemalloc

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ldrestore.errors import InputError, ShapeError
from ldrestore.tiling.blending import blend_tiles, fading_shares, restore_tiled
from ldrestore.tiling.planning import fixed_plan, tile_spans
from tests.tile_scores import seam_score


def identity(lq, window):
    return lq


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", [(1, 1), (70, 417), (300, 65), (200, 200)])
@pytest.mark.parametrize("tile", [0, 64, 128])
def test_an_identity_network_returns_the_input_to_the_bit(dtype, size, tile):
    white = 1 if dtype == np.float32 else np.iinfo(dtype).max
    pixels = (np.random.default_rng(0).random((*size, 3)) * white).astype(dtype)
    restored = restore_tiled(pixels, identity, fixed_plan(tile))
    assert restored.dtype == dtype
    assert np.array_equal(restored, pixels)


def test_tiles_equal_the_whole_picture_for_a_filter_that_sees_less_than_the_overlap():
    pixels = np.random.default_rng(0).random((150, 170, 3)).astype(np.float32)

    def blur(lq, window):
        return F.avg_pool2d(F.pad(lq, (1, 1, 1, 1), mode="reflect"), 3, stride=1)

    whole = restore_tiled(pixels, blur, fixed_plan(0))
    tiled = restore_tiled(pixels, blur, fixed_plan(64))
    np.testing.assert_allclose(tiled, whole, atol=1e-6)  # a tile's border lies in the outer quarter of an overlap


def test_brightness_that_drifts_from_tile_to_tile_shows_no_seam():
    ramp = np.linspace(0.2, 0.8, 600, dtype=np.float32)
    noise = 0.02 * np.random.default_rng(0).standard_normal((600, 600, 3)).astype(np.float32)
    pixels = np.clip(ramp[None, :, None] + noise, 0, 1)
    drifts = iter(np.linspace(-0.02, 0.02, 64))
    plan = fixed_plan(128)
    restored = restore_tiled(pixels, lambda lq, window: lq + float(next(drifts)), plan)
    assert seam_score(restored, plan) <= 1.05


def test_the_seam_score_sees_a_seam():
    plan = fixed_plan(128)
    pixels = 0.5 + 0.01 * np.random.default_rng(0).standard_normal((256, 256, 1))
    assert seam_score(pixels, plan) == pytest.approx(1, abs=0.1)
    pixels[:, tile_spans(256, plan)[1].start :] += 0.2
    assert seam_score(pixels, plan) > 1.5


def test_working_memory_does_not_grow_with_the_height():
    def peak(height):
        pixels = np.zeros((height, 512, 3), np.uint8)
        tracemalloc.start()
        restore_tiled(pixels, identity, fixed_plan(128))
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest - pixels.nbytes  # the output is of the input's size

    assert peak(2048) < 1.1 * peak(512)


def test_results_are_clipped_and_rounded():
    pixels = np.full((4, 4, 1), 100, np.uint8)
    for value, expected in ((-0.3, 0), (1.7, 255), (100.6 / 255, 101), (100.4 / 255, 100)):
        restored = restore_tiled(pixels, lambda lq, window, value=value: torch.full_like(lq, value), fixed_plan(0))
        assert (restored == expected).all()


def test_a_tile_in_another_shape_is_refused():
    with pytest.raises(ShapeError, match="came back as"):
        restore_tiled(np.zeros((8, 8, 3), np.uint8), lambda lq, window: lq[..., :4], fixed_plan(0))


@pytest.mark.parametrize("multiple", [1, 16])
def test_tiles_are_told_where_they_lie(multiple):
    pixels = np.arange(200 * 250, dtype=np.float32).reshape(200, 250, 1) / 50000

    def check(lq, window):
        place = pixels[window.top : window.top + window.height, window.left : window.left + window.width]
        assert np.array_equal(lq[0].permute(1, 2, 0).numpy(), place)
        assert (window.picture_height, window.picture_width) == (200, 250)
        assert window.top % multiple == window.left % multiple == 0
        return lq

    assert np.array_equal(restore_tiled(pixels, check, fixed_plan(64), multiple=multiple), pixels)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 32, 33])
def test_shares_rise_from_none_to_all(length):
    shares = fading_shares(length)
    assert len(shares) == length and torch.equal(shares, shares.sort().values)
    torch.testing.assert_close(shares + shares.flip(0), torch.ones(length))
    assert (shares[: length // 4] == 0).all()


@pytest.mark.parametrize("size", [(3, 5), (8, 30), (19, 8), (21, 26)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_tiles_of_a_map_are_the_map(size, dtype):
    cells = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)).to(dtype)
    enlarged = cells.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    def compute(rows, columns):
        return cells[..., rows, columns].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    blended = blend_tiles(compute, size=size, tile=8, overlap=2, scale=2)
    assert blended.dtype == dtype
    assert torch.equal(blended, enlarged)


def test_neighbours_fade_in_the_middle_of_what_they_share():
    drifts = iter((0.0, 1.0))
    blended = blend_tiles(lambda rows, columns: torch.full((1, 1, 2, 8), next(drifts)), size=(2, 12), tile=8, overlap=4)
    expected = torch.tensor([0.0] * 4 + [0, 0.25, 0.75, 1] + [1.0] * 4)
    assert torch.equal(blended, expected.expand(1, 1, 2, 12))


def test_wrong_tiles_are_refused():
    with pytest.raises(InputError, match=r"\[0, tile\), got 8 and tiles of 8"):
        blend_tiles(lambda rows, columns: torch.zeros(1, 1, 8, 8), size=(8, 8), tile=8, overlap=8)
    with pytest.raises(ShapeError, match="8x8 came back as"):
        blend_tiles(lambda rows, columns: torch.zeros(1, 1, 8, 7), size=(8, 8), tile=8, overlap=2)
