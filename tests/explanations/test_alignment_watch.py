"""Where DAFF looks, watched in a whole U-Net: which steps, which picture of a batch, and nothing left behind."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ldrestore.adapters.daff import DAFF
from ldrestore.adapters.fusion_attachment import attach_fusion
from ldrestore.adapters.stream_blocks import StreamAttention
from ldrestore.explanations.alignment_watch import Alignment, watched_alignment
from tests.tiny_xl import tiny_unet
from tests.tiny_xl_pipeline import tiny_alignment, tiny_daff


def inputs(height: int = 6, width: int = 8, batch: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(batch, 8, height, width, generator=generator)
    return hidden, torch.randn(1, 16, height, width, generator=generator)


@torch.no_grad()
def run(daff: DAFF, timestep: float, hidden: Tensor, lq: Tensor) -> Tensor:
    place = daff.places[0]
    return daff(hidden, torch.tensor(timestep), daff.prepare(lq)[place], place=place)


def processors_of(daff: DAFF) -> list[Any]:
    return [module.processor for module in daff.modules() if hasattr(module, "processor")]


@torch.no_grad()
@pytest.mark.parametrize("options", [{}, {"num_double": 2, "num_single": 0}, {"num_double": 0, "num_single": 1}])
def test_shares_are_the_mean_of_all_blocks_and_heads(options) -> None:
    daff, (hidden, lq) = tiny_daff(**options), inputs()
    shown: list[tuple[Tensor, Tensor]] = []
    with watched_alignment(daff, [321.0]) as watch:
        for module in daff.modules():
            if isinstance(module, StreamAttention):
                inner = module.processor.inner

                def keep(query: Tensor, key: Tensor, value: Tensor, inner: Any = inner) -> Tensor:
                    shown.append((query, key))
                    return inner(query, key, value)

                module.processor.inner = keep
        run(daff, 321.0, hidden, lq)
    assert len(shown) == len(daff.fusion_at("conv_in").double_blocks) + len(daff.fusion_at("conv_in").single_blocks)
    count, shares, middles = 12, torch.zeros(12), torch.zeros(12)
    for query, key in shown:
        for head in range(query.shape[2]):
            scores = query[0, count:, head] @ key[0, :, head].T / math.sqrt(query.shape[3])
            weights = scores.exp() / scores.exp().sum(dim=1, keepdim=True)
            shares += weights[:, :count].sum(dim=1) / (len(shown) * query.shape[2])
            middles += weights[1 * 4 + 2, :count]  # of 3 rows and 4 columns, the token at (1, 2)
    (found,) = watch.alignments()
    np.testing.assert_allclose(found.share, shares.view(3, 4), rtol=1e-4)
    np.testing.assert_allclose(found.middle, (middles / middles.sum()).view(3, 4), rtol=1e-4)


def test_only_the_timesteps_that_are_asked_for_are_kept_in_their_order() -> None:
    daff, (hidden, lq) = tiny_daff(), inputs()
    with watched_alignment(daff, [900.0, 500.0, 20.0, 7.0]) as watch:
        for timestep in (20.0, 900.0, 333.0, 500.0):
            run(daff, timestep, hidden, lq)
    assert [one.timestep for one in watch.alignments()] == [900, 500, 20]  # one was never run


def test_of_several_passes_at_a_timestep_the_last_one_counts_and_of_a_batch_the_last_picture() -> None:
    daff, (hidden, lq) = tiny_daff(), inputs(batch=2)

    def shares(*batches: Tensor) -> np.ndarray:
        with watched_alignment(daff, [5.0]) as watch:
            for batch in batches:
                run(daff, 5.0, batch, lq)
        (found,) = watch.alignments()
        return found.share

    alone = shares(hidden[1:])
    np.testing.assert_allclose(shares(hidden), alone, rtol=1e-5)
    np.testing.assert_array_equal(shares(hidden[:1], hidden[1:]), alone)
    assert not np.allclose(shares(hidden[:1]), alone, atol=1e-4)


@pytest.mark.parametrize(("height", "width", "grid"), [(5, 7, (3, 4)), (2, 2, (1, 1)), (1, 9, (1, 5))])
def test_maps_have_a_value_for_each_token_of_any_size(height, width, grid) -> None:
    daff, (hidden, lq) = tiny_daff(), inputs(height, width)
    with watched_alignment(daff, [5.0]) as watch:
        run(daff, 5.0, hidden, lq)
    (found,) = watch.alignments()
    assert found.share.shape == found.middle.shape == grid
    assert ((found.share > 0) & (found.share < 1)).all() and found.middle.sum() == pytest.approx(1, abs=1e-5)


def test_the_first_place_is_watched_alone() -> None:
    daff = tiny_daff(places=("down_blocks.0", "conv_in"))
    unet = tiny_unet()
    attachment = attach_fusion(unet, daff)
    attachment.set_prepared(daff.prepare(torch.randn(1, 16, 8, 8)))
    given = {"text_embeds": torch.zeros(1, 12), "time_ids": torch.zeros(1, 6)}
    with watched_alignment(daff, [5.0]) as watch, torch.no_grad():
        unet(torch.randn(1, 4, 8, 8), torch.tensor(5.0), torch.zeros(1, 3, 20), added_cond_kwargs=given)
    (found,) = watch.alignments()
    assert found.share.shape == (2, 2)  # half of the latents' 8, in patches of 2
    attachment.detach()


def test_watching_changes_no_bit_and_is_over_even_after_a_failure() -> None:
    daff, (hidden, lq) = tiny_daff(), inputs()
    expected, before = run(daff, 5.0, hidden, lq), processors_of(daff)
    with watched_alignment(daff, [5.0]):
        assert torch.equal(run(daff, 5.0, hidden, lq), expected)
        assert processors_of(daff) != before

    def fail() -> None:
        with watched_alignment(daff, [5.0]):
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        fail()
    assert all(one is other for one, other in zip(processors_of(daff), before, strict=True))
    assert not daff.fusion_at("conv_in")._forward_pre_hooks


@pytest.mark.parametrize("fusion", [None, tiny_alignment()])
def test_a_fusion_without_tokens_of_its_own_shows_nothing(fusion) -> None:
    with watched_alignment(fusion, [5.0]) as watch:
        pass
    assert watch.alignments() == ()


def alignment_of(middle: np.ndarray) -> Alignment:
    return Alignment(timestep=1.0, share=np.ones_like(middle), middle=middle)


def test_what_lies_within_a_token_of_the_middle_is_at_its_place() -> None:
    even = alignment_of(np.full((5, 7), 1 / 35))
    assert even.at_place == pytest.approx(9 / 35)
    peak = np.zeros((6, 6))
    peak[3, 3] = 0.75  # the middle of six is the fourth
    peak[1, 3], peak[2, 4] = 0.125, 0.125
    assert alignment_of(peak).at_place == 0.875
    assert alignment_of(np.ones((1, 1))).at_place == 1  # there is nowhere else
