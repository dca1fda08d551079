"""The autoencoder's decoder with UniLDiff's experts: whole, in tiles, in training, and what it refuses."""

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.blocks.observation import observed
from ldrestore.blocks.routing import balance_loss
from ldrestore.errors import InputError, ShapeError
from ldrestore.refiners.daem import DetailExpertModule
from ldrestore.refiners.refined_decoder import decode_with_experts, decode_with_experts_tiled
from ldrestore.structures import TilePlan
from tests.tiny_autoencoder import make_vae, trained
from tests.tiny_xl_pipeline import tiny_daem

WHOLE_PLAN = TilePlan(tile=0, overlap=0, memory_bytes=None)


@pytest.fixture
def vae() -> AutoencoderKL:
    return make_vae()


@pytest.fixture
def lq_encoder(vae) -> LQEncoder:
    return trained(LQEncoder.from_vae(vae), 0.02).eval().requires_grad_(False)


def picture(height: int = 16, width: int = 24, batch: int = 2) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(0))


def latents_of(height: int = 4, width: int = 6, batch: int = 2) -> Tensor:
    return torch.randn(batch, 4, height, width, generator=torch.Generator().manual_seed(1))


def decoded(vae: AutoencoderKL, daem: DetailExpertModule, lq_encoder: LQEncoder, lq: Tensor) -> Tensor:
    latents = latents_of(lq.shape[-2] // 4, lq.shape[-1] // 4, len(lq))
    return decode_with_experts(vae, latents, daem=daem, features=lq_encoder(lq).features, lq=lq)


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"top_k": 3}, {"routing": "patch", "patch_size": 4}])
def test_a_new_module_leaves_the_decoder_as_it_is_to_the_bit(vae, lq_encoder, options) -> None:
    daem = DetailExpertModule((8, 8, 16), (8, 8, 8), head_dim=4, **options)
    plain = vae.decode(latents_of() / vae.config.scaling_factor).sample / 2 + 0.5
    assert torch.equal(decoded(vae, daem, lq_encoder, picture()), plain)


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"routing": "patch", "patch_size": 4}])
def test_pictures_of_a_batch_are_decoded_as_one_by_one_and_as_one_tile(vae, lq_encoder, options) -> None:
    daem, lq = tiny_daem(**options), picture(batch=3)
    together = decoded(vae, daem, lq_encoder, lq)
    settings = {"daem": daem, "lq_encoder": lq_encoder}
    in_tiles = decode_with_experts_tiled(vae, latents_of(batch=3), lq=lq, plan=WHOLE_PLAN, **settings)
    torch.testing.assert_close(in_tiles, together, rtol=1e-4, atol=1e-4)
    for index in range(3):
        one = slice(index, index + 1)
        alone = decode_with_experts_tiled(vae, latents_of(batch=3)[one], lq=lq[one], plan=WHOLE_PLAN, **settings)
        torch.testing.assert_close(alone, together[one], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_each_picture_takes_its_own_experts_whoever_is_beside_it(vae, lq_encoder) -> None:
    daem, lq = tiny_daem(), picture(batch=4)
    latents = latents_of(batch=4) * torch.tensor([5.0, -5.0, 50.0, -50.0])[:, None, None, None]
    daem.levels[0].experts.router.gate.weight.normal_(std=30.0, generator=torch.Generator().manual_seed(2))
    with observed(daem.routers) as routings:
        decode_with_experts(vae, latents, daem=daem, features=lq_encoder(lq).features, lq=lq)
        together, rows = routings["level 0"].probabilities, []
        for index in range(4):
            one = slice(index, index + 1)
            features = lq_encoder(lq[one]).features
            decode_with_experts(vae, latents[one], daem=daem, features=features, lq=lq[one])
            rows.append(routings["level 0"].probabilities)
    assert len(together.argmax(dim=1).unique()) > 1
    torch.testing.assert_close(together, torch.cat(rows), rtol=1e-3, atol=1e-4)


def gradients_of(vae: AutoencoderKL, daem: DetailExpertModule, lq_encoder: LQEncoder) -> list[Tensor]:
    """Of what stage 2 trains: the pixels, and the balance of the experts, of two batches before one backward pass."""
    daem.zero_grad(set_to_none=True)
    torch.manual_seed(7)  # of the routers' noise
    loss = torch.zeros(())
    for lq in (picture(), picture().flip(0, 2)):
        with observed(daem.routers) as routings:
            loss = loss + (decoded(vae, daem, lq_encoder, lq) - lq).square().mean()
        loss = loss + sum(balance_loss(one, correction=0) for one in routings.values())
    loss.backward()
    return [torch.zeros_like(one) if one.grad is None else one.grad.clone() for one in daem.parameters()]


@pytest.mark.parametrize("options", [{}, {"routing": "patch", "patch_size": 4}])
def test_checkpointing_routes_the_second_time_as_the_first(vae, lq_encoder, options) -> None:
    daem = tiny_daem(**options).train()
    plain = gradients_of(vae, daem, lq_encoder)
    vae.train()
    vae.enable_gradient_checkpointing()
    assert vae.decoder.gradient_checkpointing
    for expected, found in zip(plain, gradients_of(vae, daem, lq_encoder), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert sum(bool(one.any()) for one in plain) > len(plain) // 2


def test_every_router_learns_from_the_pixels_and_from_the_balance(vae, lq_encoder) -> None:
    daem = tiny_daem().train()
    for term in ("pixels", "balance"):
        daem.zero_grad(set_to_none=True)
        with observed(daem.routers) as routings:
            pixels = decoded(vae, daem, lq_encoder, picture())
        balance = sum(balance_loss(one, correction=0) for one in routings.values())
        (pixels.square().mean() if term == "pixels" else balance).backward()
        for level in daem.levels:
            assert level.experts.router.gate.weight.grad.any(), term


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_of_all_parts_or_of_the_autoencoder_alone(vae, lq_encoder, dtype) -> None:
    daem, lq = tiny_daem(), picture()
    exact = decoded(vae, daem, lq_encoder, lq)
    vae.to(dtype)
    mixed = decoded(vae, daem, lq_encoder, lq)
    assert mixed.dtype == dtype
    torch.testing.assert_close(mixed.float(), exact, rtol=0.1, atol=0.1)
    half = decoded(vae, daem.to(dtype), torch.nn.Module.to(lq_encoder, dtype), lq)
    assert half.dtype == dtype and half.isfinite().all()


def test_what_does_not_fit_is_refused(vae, lq_encoder) -> None:
    lq, daem = picture(), tiny_daem()
    features = lq_encoder(lq).features
    other: Any = DetailExpertModule((8, 16, 16), (8, 8, 8), head_dim=4)
    settings: dict[str, Any] = {"daem": daem, "features": features, "lq": lq}
    with pytest.raises(InputError, match=r"made for an autoencoder of widths \[8, 16, 16\], got \[8, 8, 16\]"):
        decode_with_experts(vae, latents_of(), **{**settings, "daem": other})
    with pytest.raises(ShapeError, match="expected features at 3 resolutions, got 2"):
        decode_with_experts(vae, latents_of(), **{**settings, "features": features[:2]})
    with pytest.raises(ShapeError, match=r"expected features of the decoder's shape .* at level 2"):
        decode_with_experts(vae, latents_of(4, 5), **settings)
    with pytest.raises(ShapeError, match=r"expected a picture of \(16, 24\) pixels, got \(16, 20\)"):
        decode_with_experts(vae, latents_of(), **{**settings, "lq": lq[..., :20]})
    with pytest.raises(ShapeError, match="4 times the latents' size"):
        decode_with_experts_tiled(vae, latents_of(4, 5), daem=daem, lq_encoder=lq_encoder, lq=lq, plan=WHOLE_PLAN)
    plan = TilePlan(tile=66, overlap=16, memory_bytes=None)
    with pytest.raises(InputError, match="tiles must be multiples of 4 pixels"):
        decode_with_experts_tiled(vae, latents_of(), daem=daem, lq_encoder=lq_encoder, lq=lq, plan=plan)
