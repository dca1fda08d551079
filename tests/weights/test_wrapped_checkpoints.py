"""Every wrapper, prefix, format and suffix that trainers give their weights, combined: the same weights come out."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ldrestore.errors import WeightsError
from ldrestore.weights.published_files import PREFIXES, WRAPPERS, read_checkpoint, read_state_dict

SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".SAFETENSORS", ".params", "")
FORMATS = ("archive", "old pickle", "safetensors")
STACKS = ("", "module.", "module.module.", "_orig_mod.module.", "module._orig_mod.", "net.module.", "model.net.")
STACKS += ("generator.module.", "model.generator._orig_mod.", "module.model.net.generator._orig_mod.")


def weights(seed: int = 0) -> dict[str, Tensor]:
    """Of two layers, one of them nested, and a buffer without axes."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "first.weight": torch.randn(2, 3, generator=generator),
        "body.0.bias": torch.randn(4, generator=generator),
        "body.0.steps": torch.tensor(seed + 3),
    }


def prefixed(prefix: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in values.items()}


def is_same(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> bool:
    return found.keys() == expected.keys() and all(torch.equal(found[key], value) for key, value in expected.items())


def write(path: Path, layout: str, wrapper: str | None, values: Mapping[str, Tensor]) -> Path:
    """A file as a trainer writes it; safetensors have no mappings, so that the wrapper stands before each key."""
    if layout == "safetensors":
        save_file(prefixed(f"{wrapper}.", values) if wrapper else dict(values), path)
    else:
        content = {"epoch": 7, wrapper: dict(values), "lr_schedulers": []} if wrapper else dict(values)
        torch.save(content, path, _use_new_zipfile_serialization=layout == "archive")
    return path


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("wrapper", [None, *WRAPPERS])
def test_wrapper_and_stacked_prefixes_come_off_together(layout: str, wrapper: str | None, tmp_path: Path) -> None:
    for stack in STACKS[::3] if wrapper else STACKS:
        path = write(tmp_path / "weights.pth", layout, wrapper, prefixed(stack, weights()))
        assert is_same(read_checkpoint(path), weights()), stack


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("layout", FORMATS)
def test_no_suffix_changes_what_is_read(layout: str, suffix: str, tmp_path: Path) -> None:
    for wrapper in (None, "params_ema", "state_dict"):
        path = write(tmp_path / f"weights{suffix}", layout, wrapper, prefixed("module.", weights()))
        assert is_same(read_checkpoint(path), weights()), wrapper


@pytest.mark.parametrize(
    ("outer", "inner"), [*itertools.product(("state_dict", "model", "ema"), ("params", "network_g"))]
)
def test_wrappers_inside_of_wrappers_come_off(outer: str, inner: str, tmp_path: Path) -> None:
    torch.save({outer: {inner: prefixed("module.", weights())}, "iter": 5}, tmp_path / "a.pth")
    save_file(prefixed(f"{outer}.{inner}.module.", weights()), tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        assert is_same(read_checkpoint(tmp_path / name), weights())


@pytest.mark.parametrize(
    ("average", "plain"),
    [
        ("params_ema", "params"),
        ("params-ema", "params"),
        ("state_dict_ema", "state_dict"),
        ("ema_state_dict", "state_dict"),
        ("model_ema", "model"),
        ("ema_model", "online_model"),
        ("net_ema", "net"),
        ("generator_ema", "generator"),
        ("g_ema", "generator"),
        ("ema", "model"),
    ],
)
def test_averaged_weights_count_before_the_last_ones(average: str, plain: str, tmp_path: Path) -> None:
    torch.save({plain: weights(1), average: weights()}, tmp_path / "a.pth")
    save_file(prefixed(f"{plain}.", weights(1)) | prefixed(f"{average}.", weights()), tmp_path / "b.pth")
    inside = prefixed(f"{plain}.", weights(1)) | prefixed(f"{average}.module.", weights())
    torch.save({"state_dict": inside, "global_step": 9}, tmp_path / "c.pth")
    for name in ("a.pth", "b.pth", "c.pth"):
        assert is_same(read_checkpoint(tmp_path / name), weights()), name


@pytest.mark.parametrize("stack", STACKS)
def test_torchs_own_average_loses_its_counter_behind_any_prefix(stack: str, tmp_path: Path) -> None:
    network = nn.ModuleDict({"first": nn.Linear(3, 2), "norm": nn.BatchNorm2d(4)})
    average = prefixed(stack, AveragedModel(network).state_dict())
    for layout, wrapper in itertools.product(FORMATS, (None, "params_ema", "state_dict")):
        path = write(tmp_path / "swa.pth", layout, wrapper, average)
        assert is_same(read_checkpoint(path), network.state_dict())


@pytest.mark.parametrize("layout", FORMATS)
@pytest.mark.parametrize("wrapper", [None, "ema", "state_dict"])
def test_the_average_of_ema_pytorch_is_taken_and_not_the_network_that_it_follows(
    layout: str, wrapper: str | None, tmp_path: Path
) -> None:
    counters = {"initted": torch.tensor([True]), "step": torch.tensor([500])}
    state = prefixed("online_model.", weights(1)) | prefixed("ema_model.", weights()) | counters
    assert is_same(read_checkpoint(write(tmp_path / "ema.pt", layout, wrapper, state)), weights())
    alone = prefixed("online_model.", weights()) | counters
    assert is_same(read_checkpoint(write(tmp_path / "ema.pt", layout, wrapper, alone)), weights())


def without_dots(values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What LitEma keeps: the parameters alone, their names without dots."""
    return {key.replace(".", ""): value for key, value in values.items() if value.is_floating_point()}


@pytest.mark.parametrize("layout", FORMATS)
def test_the_average_of_litema_gets_its_dots_and_buffers_back(layout: str, tmp_path: Path) -> None:
    expected = weights(1) | {key: value for key, value in weights().items() if value.is_floating_point()}
    counters = {"model_ema.decay": torch.tensor(0.999), "model_ema.num_updates": torch.tensor(5)}
    state = prefixed("model.", weights(1)) | prefixed("model_ema.", without_dots(weights())) | counters
    assert is_same(read_checkpoint(write(tmp_path / "a.ckpt", layout, "state_dict", state)), expected)
    whole = prefixed("model.", weights(1)) | counters
    whole |= prefixed("model_ema.", without_dots(prefixed("model.", weights())))
    assert is_same(read_checkpoint(write(tmp_path / "b.ckpt", layout, "state_dict", whole)), expected)


def test_the_average_of_litema_is_put_upon_the_network_in_another_part(tmp_path: Path) -> None:
    average = without_dots(weights()) | {"decay": torch.tensor(0.999), "num_updates": torch.tensor(5)}
    torch.save({"model": weights(1), "ema": average}, tmp_path / "a.pth")
    expected = weights(1) | {key: value for key, value in weights().items() if value.is_floating_point()}
    assert is_same(read_checkpoint(tmp_path / "a.pth"), expected)


def test_a_network_without_dots_in_its_keys_stays_as_it_is(tmp_path: Path) -> None:
    own = {"scale": torch.ones(3), "shift": torch.zeros(3)}
    for layout, wrapper in itertools.product(FORMATS, (None, "params", "ema")):
        assert is_same(read_checkpoint(write(tmp_path / "a.pth", layout, wrapper, own)), own)
    torch.save({"ema": own, "model": weights()}, tmp_path / "b.pth")
    assert is_same(read_checkpoint(tmp_path / "b.pth"), own)


LIGHTNING: dict[str, Any] = {
    "epoch": 12,
    "global_step": 30_000,
    "pytorch-lightning_version": "2.2.0",
    "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"current": {"ready": 3}}}},
    "callbacks": {"ModelCheckpoint{'monitor': 'psnr'}": {"best_model_score": torch.tensor(31.2), "dirpath": "/a"}},
    "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}],
    "lr_schedulers": [{"_last_lr": [1e-4]}],
    "hparams_name": "kwargs",
    "hyper_parameters": {"width": 32, "best": np.float64(31.2), "steps": np.int64(5)},
}


@pytest.mark.parametrize("stack", STACKS[1:])
def test_a_whole_checkpoint_of_lightning_gives_the_network_alone(stack: str, tmp_path: Path) -> None:
    companions = {"lpips.net.weight": torch.ones(2), "criterion.weight": torch.ones(1), "psnr.total": torch.tensor(1.0)}
    for beside in ({}, companions):
        state = prefixed(stack, weights()) | beside
        torch.save({**LIGHTNING, "state_dict": state}, tmp_path / "last.ckpt")
        assert is_same(read_checkpoint(tmp_path / "last.ckpt"), weights())


def test_a_restorer_of_mmediting_loses_its_counter_and_its_other_networks(tmp_path: Path) -> None:
    counter = {"step_counter": torch.tensor(300_000)}
    plain = prefixed("generator.", weights()) | counter
    adversarial = prefixed("generator.", weights(1)) | prefixed("generator_ema.", weights()) | counter
    adversarial |= prefixed("discriminator.", weights(2)) | prefixed("perceptual.vgg.", weights(3))
    for state in (plain, adversarial):
        torch.save({"meta": {"env": "Linux", "epoch": 3}, "state_dict": state}, tmp_path / "iter.pth")
        assert is_same(read_checkpoint(tmp_path / "iter.pth"), weights())


@pytest.mark.parametrize("value", [3, 0.5, "nafnet", True, None, np.float32(31.5), np.int64(7)])
@pytest.mark.parametrize("wrapper", [None, "params", "model"])
def test_plain_values_among_the_weights_are_no_weights(value: object, wrapper: str | None, tmp_path: Path) -> None:
    content: dict[str, object] = prefixed("module.", weights()) | {"extra": value}
    torch.save({wrapper: content} if wrapper else content, tmp_path / "a.pth")
    assert is_same(read_checkpoint(tmp_path / "a.pth"), weights())


@pytest.mark.parametrize("value", [[torch.ones(1)], (1, 2), {"epoch": 3}, torch.Size([2])])
def test_lists_and_mappings_among_the_weights_are_not_passed_over(value: object, tmp_path: Path) -> None:
    torch.save({**weights(), "extra": value}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="holds no weights; expected a state dict"):
        read_checkpoint(tmp_path / "a.pth")


def test_counters_and_plain_values_alone_are_no_weights(tmp_path: Path) -> None:
    for content in ({"n_averaged": torch.tensor(3), "name": "x"}, {"epoch": 3}, {"model": {"epoch": 3}}, {}, 3, None):
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(WeightsError, match=r"a\.pth holds no weights"):
            read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("prefix", [prefix for prefix in PREFIXES if prefix != "_orig_mod."])  # no network's own
def test_a_prefix_of_some_keys_alone_is_the_networks_own(prefix: str, tmp_path: Path) -> None:
    own = {f"{prefix}weight": torch.ones(2), "head.weight": torch.ones(3)}
    save_file(own, tmp_path / "a.safetensors")
    assert is_same(read_checkpoint(tmp_path / "a.safetensors"), own)


def test_a_parameter_and_a_view_of_a_larger_tensor_are_their_values_alone(tmp_path: Path) -> None:
    large = torch.arange(100, dtype=torch.float32).view(10, 10)
    content = {"a": nn.Parameter(large[2:4, 3:5]), "b": large.T[1], "c": large[0]}
    torch.save({"params": content}, tmp_path / "a.pth")
    found = read_checkpoint(tmp_path / "a.pth")
    assert all(torch.equal(found[key], value) and not found[key].requires_grad for key, value in content.items())


def test_keys_as_they_lie_in_the_file_are_kept_for_who_knows_layouts_by_them(tmp_path: Path) -> None:
    state = prefixed("module.", weights()) | {"n_averaged": torch.tensor(3)}
    torch.save({"params_ema": state, "epoch": 3}, tmp_path / "a.pth")
    assert is_same(read_state_dict(tmp_path / "a.pth"), state)
