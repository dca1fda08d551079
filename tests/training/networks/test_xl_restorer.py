"""Fusion, LQ encoder and U-Net as one network: when what is trained, what is told, and what is written."""

import copy
import logging
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from ldrestore.adapters.daff import DAFF
from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.errors import ConfigError
from ldrestore.training.loop.ema import Ema
from ldrestore.training.networks.xl_restorer import (
    FrozenXLBase,
    XLRestorer,
    add_low_rank,
    merged_weights,
    save_xl_parts,
)
from tests.tiny_xl import tiny_xl_base

NOISED = torch.linspace(-1, 1, 128).reshape(2, 4, 4, 4)
TIMESTEPS = torch.tensor([30, 700])
LQ = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def parts() -> dict:
    """Of SDXL at tiny widths, with a fusion that acts."""
    found = tiny_xl_base()
    torch.manual_seed(1)
    found["fusion"] = DAFF(block_out_channels=(8, 16), lq_channels=16, text_dim=20, dim=16, head_dim=16, num_single=1)
    with torch.no_grad():
        for weight in found["fusion"].fusions["conv_in"].proj_out.parameters():
            weight.normal_(std=0.1)
    return found


def restorer(parts: dict, *, rank: int | None = None, **options: int | None) -> XLRestorer:
    """The network in training, everything of the U-Net or its low-rank additions trained after the switch."""
    names = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")
    base = FrozenXLBase(**{name: parts[name] for name in names})
    unet = copy.deepcopy(parts["unet"])
    if rank is None:
        unet.requires_grad_(True)
    else:
        torch.manual_seed(2)
        add_low_rank(unet, rank=rank)
    lq_encoder = LQEncoder.from_vae(base.vae).requires_grad_(True)
    switch = {"trains_all_after": None, "plateau": None, **options}
    return XLRestorer(base, unet=unet, lq_encoder=lq_encoder, fusion=parts["fusion"], **switch).train()


def predicted(network: XLRestorer, *, task: str = "remove the rain") -> Tensor:
    """One pass over two pictures."""
    conditioning = network.base.condition(["", "a photo"], [task, ""], size=(16, 16))
    return network(NOISED, TIMESTEPS, LQ, conditioning)


def trained_parts(network: XLRestorer) -> set[str]:
    """What gradients reach."""
    return {name.partition(".")[0] for name, weight in network.named_parameters() if weight.requires_grad}


def test_before_the_switch_gradients_reach_the_fusion_alone(parts: dict) -> None:
    network = restorer(parts, trains_all_after=1)
    predicted(network).square().mean().backward()
    reached = {name.partition(".")[0] for name, weight in network.named_parameters() if weight.grad is not None}
    assert reached == trained_parts(network) == {"fusion"}
    predicted(network).square().mean().backward()
    reached = {name.partition(".")[0] for name, weight in network.named_parameters() if weight.grad is not None}
    assert reached == trained_parts(network) == {"fusion", "unet", "lq_encoder"}
    assert all(weight.grad is None for part in network.base.modules() for weight in part.parameters())


@pytest.mark.parametrize("after", [None, 0, 2])
def test_the_switch_comes_after_so_many_passes_in_training(parts: dict, after: int | None) -> None:
    network = restorer(parts, trains_all_after=after)
    states = []
    for _ in range(4):
        predicted(network)
        states.append(trained_parts(network) == {"fusion", "unet", "lq_encoder"})
    assert states == [after is not None and number >= after for number in range(4)]
    assert int(network.num_passes) == 4


def test_passes_without_gradients_or_in_evaluation_are_no_steps(parts: dict) -> None:
    network = restorer(parts, trains_all_after=1)
    with torch.no_grad():
        predicted(network)
    predicted(network.eval())
    assert int(network.num_passes) == 0 and not network.trains_all
    predicted(network.train())
    assert int(network.num_passes) == 1 and network.trains_all


def test_the_switch_is_told_of_once(parts: dict, caplog: pytest.LogCaptureFixture) -> None:
    network = restorer(parts, trains_all_after=2)
    with caplog.at_level(logging.INFO):
        for _ in range(4):
            predicted(network)
    found = [record.getMessage() for record in caplog.records if "U-Net and LQ encoder" in record.getMessage()]
    assert found == ["pass 0: U-Net and LQ encoder are frozen", "pass 2: U-Net and LQ encoder are trained"]


@pytest.mark.parametrize(
    ("losses", "comes_at"),
    [
        ((1.0, 1.0, 1.0), 3),
        ((1.0, 0.9, 0.9, 0.8, 0.8, 0.8), 6),
        ((1.0, 2.0, 0.5, 0.6, 0.55), 5),
        ((3.0, 2.0, 1.0, 0.5, 0.1), None),
        ((float("nan"), float("nan")), 2),
    ],
)
def test_a_plateau_is_so_many_validations_in_a_row_without_a_lower_loss(
    parts: dict, losses: tuple[float, ...], comes_at: int | None
) -> None:
    network = restorer(parts, plateau=2)
    came = []
    for loss in losses:
        network.look_for_plateau(loss)
        came.append(network.trains_all)
    assert came == [comes_at is not None and number >= comes_at for number in range(1, len(losses) + 1)]


def test_a_loss_that_is_lower_by_less_than_float32_tells_is_not_lower(parts: dict) -> None:
    network = restorer(parts, plateau=5)
    for loss in (0.1, 0.1 - 1e-12, 0.1):
        network.look_for_plateau(loss)
    assert int(network.num_not_lower) == 2
    network.look_for_plateau(0.1 - 1e-6)
    assert int(network.num_not_lower) == 0


@pytest.mark.parametrize(("after", "losses", "passes"), [(9, (1.0, 1.0), 0), (1, (), 1)])
def test_of_plateau_and_passes_the_first_that_comes_counts(
    parts: dict, after: int, losses: tuple[float, ...], passes: int
) -> None:
    network = restorer(parts, trains_all_after=after, plateau=1)
    assert not network.trains_all
    for loss in losses:
        network.look_for_plateau(loss)
    network.set_counts(passes=passes, not_lower=int(network.num_not_lower))
    assert network.trains_all


def test_counts_are_part_of_what_a_checkpoint_holds(parts: dict) -> None:
    network, other = restorer(parts, plateau=2), restorer(parts, plateau=2)
    for loss in (0.5, 0.7):
        network.look_for_plateau(loss)
    predicted(network)
    other.load_state_dict(network.state_dict())
    assert (int(other.num_passes), int(other.num_not_lower), other.lowest_loss.item()) == (1, 1, 0.5)
    other.look_for_plateau(0.6)
    assert other.trains_all
    assert "lowest_loss" not in restorer(parts, trains_all_after=2).state_dict()
    restorer(parts, trains_all_after=2).look_for_plateau(1.0)  # nothing to count


def test_a_copy_before_the_switch_knows_what_it_will_train(parts: dict) -> None:
    network = restorer(parts, trains_all_after=1)
    predicted(network)  # U-Net and LQ encoder are frozen by now
    copied = copy.deepcopy(network)
    assert trained_parts(copied) == {"fusion"} and int(copied.num_passes) == 1
    predicted(copied)
    assert trained_parts(copied) == {"fusion", "unet", "lq_encoder"}
    assert trained_parts(network) == {"fusion"} and copied.base is network.base


def test_averages_take_over_counts_and_predict_with_their_own_fusion(parts: dict) -> None:
    network = restorer(parts, trains_all_after=0)
    ema = Ema(network, decay=0.5)
    first = predicted(network).detach()
    with torch.no_grad():
        for weight in network.fusion.parameters():
            weight.add_(0.3)
        ema.update(network, num_updates=10**6)
        averaged = predicted(ema.network)
    assert int(ema.network.num_passes) == 1
    assert not torch.allclose(averaged, first) and not torch.allclose(averaged, predicted(network))
    fusion = ema.network.fusion.state_dict()
    for key, weight in network.fusion.state_dict().items():
        torch.testing.assert_close(fusion[key], weight - 0.15, rtol=1e-4, atol=1e-5)


def test_texts_are_read_once_until_the_numbers_change(parts: dict) -> None:
    network, read = restorer(parts), []
    network.base.text_encoder.register_forward_hook(lambda *_: read.append("pass"))
    for task in ("remove the rain", "remove the rain", "remove the haze"):
        network.base.condition(["a photo"], [task], size=(16, 16))
    first = read.count("pass")
    network.base.condition(["a photo"], ["remove the haze"], size=(32, 16))
    assert read.count("pass") == first == 2
    network.base.cast(torch.bfloat16)
    found = network.base.condition(["a photo"], ["remove the haze"], size=(16, 16))
    assert read.count("pass") == 3 and found.prompt_embeds.dtype == torch.bfloat16


def test_sizes_are_those_of_the_pictures_and_texts_those_of_each(parts: dict) -> None:
    base = restorer(parts).base
    both = base.condition(["a photo", ""], ["", "remove the rain"], size=(24, 32))
    assert both.time_ids.tolist() == [[24, 32, 0, 0, 24, 32]] * 2
    for row, (caption, task) in enumerate((("a photo", ""), ("", "remove the rain"))):
        alone = base.condition([caption], [task], size=(24, 32))
        for name in ("prompt_embeds", "fusion_embeds", "pooled"):
            torch.testing.assert_close(getattr(both, name)[row], getattr(alone, name)[0])


def test_a_base_without_tokenizers_says_what_to_give(parts: dict) -> None:
    with pytest.raises(ConfigError, match="a single file has no tokenizers; give a folder or a repository"):
        restorer(parts | {"tokenizer_2": None})


def test_low_rank_additions_lie_in_the_attentions_and_change_nothing_at_first(parts: dict) -> None:
    plain, added = restorer(parts, trains_all_after=0), restorer(parts, trains_all_after=0, rank=2)
    with torch.no_grad():
        torch.testing.assert_close(predicted(added), predicted(plain), rtol=1e-5, atol=1e-6)
    names = [name for name, weight in added.unet.named_parameters() if weight.requires_grad]
    assert names and all(".lora_" in name and ".attn" in name for name in names)
    places = {name.partition(".lora_")[0].rpartition(".attn")[2].partition(".")[2] for name in names}
    assert places == {"to_q", "to_k", "to_v", "to_out.0"}
    shapes = {min(weight.shape) for name, weight in added.unet.named_parameters() if ".lora_" in name}
    assert shapes == {2}


def test_an_export_with_merged_additions_predicts_as_the_network_that_carries_them(tmp_path: Path, parts: dict) -> None:
    network = restorer(parts, trains_all_after=0, rank=3).eval()
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for name, weight in network.unet.named_parameters():
            if ".lora_B." in name:
                weight.copy_(0.3 * torch.randn(weight.shape, generator=generator))
        carried = predicted(network)
    save_xl_parts(network, network.state_dict(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"daff", "lq_encoder", "unet"}
    network.detach()
    merged = UNet2DConditionModel.from_pretrained(tmp_path / "unet")
    assert merged.state_dict().keys() == parts["unet"].state_dict().keys()
    again = XLRestorer(
        network.base,
        unet=merged,
        lq_encoder=LQEncoder.from_pretrained(tmp_path / "lq_encoder"),
        fusion=DAFF.from_pretrained(tmp_path / "daff"),
        trains_all_after=None,
    ).eval()
    plain = restorer(parts, trains_all_after=0).eval()
    with torch.no_grad():
        torch.testing.assert_close(predicted(again), carried, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(predicted(plain), carried, rtol=1e-2, atol=1e-3)


def test_biases_under_additions_keep_their_value_and_get_their_name_back() -> None:
    weights = {
        "block.to_out.0.base_layer.weight": torch.eye(2),
        "block.to_out.0.base_layer.bias": torch.tensor([1.0, 2.0]),
        "block.to_out.0.lora_A.default.weight": torch.ones(1, 2),
        "block.to_out.0.lora_B.default.weight": torch.tensor([[3.0], [0.0]]),
        "conv_in.weight": torch.zeros(1),
    }
    merged = merged_weights(weights)
    assert merged.keys() == {"block.to_out.0.weight", "block.to_out.0.bias", "conv_in.weight"}
    assert merged["block.to_out.0.weight"].tolist() == [[4.0, 3.0], [0.0, 1.0]]
    assert merged["block.to_out.0.bias"].tolist() == [1.0, 2.0]


@pytest.mark.parametrize(("passes", "written"), [(0, {"daff", "lq_encoder"}), (1, {"daff", "lq_encoder", "unet"})])
def test_the_unet_is_written_once_it_is_trained(tmp_path: Path, parts: dict, passes: int, written: set[str]) -> None:
    network = restorer(parts, trains_all_after=1)
    for _ in range(passes + 1):  # the switch acts at the begin of a pass
        predicted(network)
    network.set_counts(passes=passes, not_lower=0)
    weights = {key: value + 1 if value.is_floating_point() else value for key, value in network.state_dict().items()}
    save_xl_parts(network, weights, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == written
    for key, value in DAFF.from_pretrained(tmp_path / "daff").state_dict().items():
        assert torch.equal(value, weights[f"fusion.{key}"])


def test_a_frozen_unet_is_never_written(tmp_path: Path, parts: dict) -> None:
    network = restorer(parts, trains_all_after=0)
    network.unet.requires_grad_(False)
    save_xl_parts(network, network.state_dict(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"daff", "lq_encoder"}


def test_what_a_prompt_asks_for_changes_the_prediction_of_its_picture_alone(parts: dict) -> None:
    network = restorer(parts).eval()
    with torch.no_grad():
        rain, haze = predicted(network), predicted(network, task="remove the haze")
    assert not torch.allclose(rain[0], haze[0]) and torch.allclose(rain[1], haze[1], atol=1e-6)


def test_taking_the_fusion_off_leaves_the_unet_as_it_was(parts: dict) -> None:
    network = restorer(parts).eval()
    conditioning = network.base.condition(["", ""], ["", ""], size=(16, 16))
    added = {"text_embeds": conditioning.pooled, "time_ids": conditioning.time_ids}
    with torch.no_grad():
        bare = network.unet(NOISED, TIMESTEPS, conditioning.prompt_embeds, added_cond_kwargs=added).sample
        fused = network(NOISED, TIMESTEPS, LQ, conditioning)
        network.detach()
        again = network.unet(NOISED, TIMESTEPS, conditioning.prompt_embeds, added_cond_kwargs=added).sample
        assert torch.equal(network(NOISED, TIMESTEPS, LQ, conditioning), fused)
    assert torch.equal(again, bare) and not torch.allclose(fused, bare)
