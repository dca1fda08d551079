"""What the systems that sample have in common: windows, tiles, and numbers that are looked at."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from ldrestore.errors import InputError, ShapeError, UndefinedNumbersError
from ldrestore.structures import TilePlan
from ldrestore.systems.sampled_system import (
    WHOLE,
    autoencoder_plan,
    cells_of,
    decode_unrefined,
    encode_checked,
    networks_among,
    predict_in_tiles,
)
from ldrestore.tiling.cut_maps import Place
from tests.adapters.conftest import tiny_unet
from tests.tiny_autoencoder import make_vae

WHOLE_PLAN = TilePlan(tile=0, overlap=0, memory_bytes=None)
TILES = TilePlan(tile=64, overlap=16, memory_bytes=None)


def ramp(height: int, width: int) -> Tensor:
    return torch.arange(4.0 * height * width).view(1, 4, height, width)


def test_cells_are_cut_in_the_order_of_the_windows() -> None:
    x = ramp(6, 8)
    parts = cells_of(x, [(slice(0, 2), slice(4, 8)), (slice(4, 6), slice(0, 4))])
    assert parts.shape == (2, 4, 2, 4)
    assert torch.equal(parts[0], x[0, :, 0:2, 4:8]) and torch.equal(parts[1], x[0, :, 4:6, 0:4])
    assert torch.equal(cells_of(x, [WHOLE]), x)
    batch = ramp(6, 8).repeat(3, 1, 1, 1)
    assert torch.equal(cells_of(batch, [WHOLE]), batch)  # pictures, each whole


def test_networks_are_found_among_parts_of_any_kind() -> None:
    first, second = nn.Linear(1, 1), nn.Conv2d(1, 1, 1)
    assert networks_among({"a": first, "b": None, "c": "text", "d": second}) == [first, second]


def test_the_autoencoder_takes_the_smaller_of_the_plans_tiles_and_its_own() -> None:
    vae = make_vae()
    assert autoencoder_plan(vae, WHOLE_PLAN) is WHOLE_PLAN and autoencoder_plan(vae, TILES) is TILES
    vae.enable_tiling()  # 64 pixels
    assert autoencoder_plan(vae, WHOLE_PLAN).tile == 64
    assert autoencoder_plan(vae, TilePlan(tile=128, overlap=16, memory_bytes=None)).tile == 64
    small = TilePlan(tile=32, overlap=16, memory_bytes=None)
    assert autoencoder_plan(vae, small) is small


@torch.no_grad()
def test_latents_and_pixels_are_those_of_diffusers_in_single_precision() -> None:
    vae, lq = make_vae(), torch.rand(1, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    scale = vae.config.scaling_factor
    latents = encode_checked(vae, lq, WHOLE_PLAN)
    torch.testing.assert_close(latents, vae.encode(lq * 2 - 1).latent_dist.mode() * scale, rtol=1e-4, atol=1e-6)
    pixels = decode_unrefined(vae, latents, lq, plan=WHOLE_PLAN)
    torch.testing.assert_close(pixels, vae.decode(latents / scale).sample / 2 + 0.5, rtol=1e-4, atol=1e-5)
    vae.bfloat16()
    assert encode_checked(vae, lq, WHOLE_PLAN).dtype == torch.float32
    assert decode_unrefined(vae, latents, lq, plan=WHOLE_PLAN).dtype == torch.float32


@torch.no_grad()
def test_undefined_numbers_and_pictures_of_another_size_are_refused() -> None:
    vae, lq = make_vae(), torch.rand(1, 3, 16, 24)
    latents = torch.zeros(1, 4, 4, 6)
    with pytest.raises(ShapeError, match="4 times the latents' size"):
        decode_unrefined(vae, latents[..., :5], lq, plan=WHOLE_PLAN)
    with pytest.raises(ShapeError, match="multiples of 4, got 15 and 24"):
        encode_checked(vae, lq[..., :15, :], WHOLE_PLAN)
    with pytest.raises(UndefinedNumbersError, match="the decoder's pixels"):
        decode_unrefined(vae, latents * torch.nan, lq, plan=WHOLE_PLAN)
    with pytest.raises(UndefinedNumbersError, match="the encoder's latents"):
        encode_checked(vae, lq / 0, WHOLE_PLAN)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 57), (45, 33), (5, 70)])
def test_what_is_predicted_cell_by_cell_is_the_same_in_tiles(height, width) -> None:
    x, cut = ramp(height, width), []

    def predict(windows: Sequence[Place]) -> Tensor:
        cut.extend(windows)
        return 2 * cells_of(x, windows) + 1

    options = {"unet": tiny_unet(), "factor": 4, "networks": {}}
    found = predict_in_tiles(predict, x, TILES, **options)
    torch.testing.assert_close(found, 2 * x + 1, rtol=1e-5, atol=1e-3)
    is_cut = max(height, width) > 16
    assert (len(cut) > 1) == is_cut
    assert cut[0] == (slice(0, height), slice(0, width))
    for rows, columns in cut[1:] if is_cut else ():  # the whole is looked at first
        assert rows.stop - rows.start <= 16 and columns.stop - columns.start <= 16
        assert rows.start % 2 == 0 and columns.start % 2 == 0  # what the U-Net halves lies as it does in the whole
    assert found.shape == x.shape


def test_tiles_start_where_tokens_of_a_fusion_do() -> None:
    starts = set()

    def predict(windows: Sequence[Place]) -> Tensor:
        starts.update(place.start for window in windows for place in window)
        return cells_of(ramp(40, 60), windows)

    predict_in_tiles(predict, ramp(40, 60), TILES, unet=tiny_unet(), factor=4, networks={}, multiple=4)
    assert len(starts) > 2 and all(start % 8 == 0 for start in starts)


def test_tiles_that_would_cut_a_latent_are_refused() -> None:
    plan = TilePlan(tile=66, overlap=16, memory_bytes=None)
    with pytest.raises(InputError, match="tiles must be multiples of 4 pixels"):
        predict_in_tiles(
            lambda windows: cells_of(ramp(40, 60), windows),
            ramp(40, 60),
            plan,
            unet=tiny_unet(),
            factor=4,
            networks={},
        )
