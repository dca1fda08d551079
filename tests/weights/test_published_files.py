import argparse
import sys
import types

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ldrestore.errors import WeightsError, WeightsUnavailableError
from ldrestore.weights.hashes import hash_of_file
from ldrestore.weights.published_files import PREFIXES, WRAPPERS, check_recorded_hash, read_checkpoint


def state(seed=0):
    return {
        "a.weight": torch.randn(2, 3, generator=torch.Generator().manual_seed(seed)),
        "a.bias": torch.arange(2, dtype=torch.float32),
    }


def is_equal(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


@pytest.mark.parametrize(
    "wrapped",
    [
        state(),
        {"params": state()},
        {"params_ema": state(), "params": state(seed=1)},
        {"state_dict": {f"net.{key}": value for key, value in state().items()}, "epoch": 3},
        {"params": {f"module.{key}": value for key, value in state().items()}},
    ],
)
def test_pickles_are_unwrapped(wrapped, tmp_path):
    torch.save(wrapped, tmp_path / "published.pth")
    assert is_equal(read_checkpoint(tmp_path / "published.pth"), state())


def test_safetensors_are_read(tmp_path):
    save_file(state(), tmp_path / "weights.safetensors")
    assert is_equal(read_checkpoint(tmp_path / "weights.safetensors"), state())


class Payload:
    def __reduce__(self):
        return print, ("code of a checkpoint ran",)


def test_code_in_a_pickle_does_not_run(tmp_path, capsys):
    torch.save({"params": state(), "trap": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=r"holds objects of .*print, which are never loaded"):
        read_checkpoint(tmp_path / "evil.pth")
    assert capsys.readouterr().out == ""


def test_hyper_parameters_of_lightning_are_let_through(tmp_path):
    names = ("pytorch_lightning", "pytorch_lightning.utilities", "pytorch_lightning.utilities.parsing")
    with pytest.MonkeyPatch.context() as patch:  # only while writing: whoever reads has no Lightning
        for name in names:
            patch.setitem(sys.modules, name, types.ModuleType(name))
        attributes = type("AttributeDict", (dict,), {"__module__": names[-1]})
        sys.modules[names[-1]].AttributeDict = attributes
        parameters = {"a": argparse.Namespace(width=3), "b": attributes(width=3)}
        torch.save({"state_dict": state(), "hyper_parameters": parameters}, tmp_path / "lightning.ckpt")
    assert is_equal(read_checkpoint(tmp_path / "lightning.ckpt"), state())


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"PK\x03\x04 cut off", b"\x80\x02}q\x00"])
def test_damaged_pickles_are_refused(content, tmp_path):
    path = tmp_path / "damaged.pth"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"damaged\.pth"):
        read_checkpoint(path)


def test_what_holds_no_weights_is_refused(tmp_path):
    torch.save({"params": {}, "epoch": 1}, tmp_path / "empty.pth")
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00")
    for name, message in [("empty.pth", "no weights"), ("list.pth", "no weights")]:
        with pytest.raises(WeightsError, match=message):
            read_checkpoint(tmp_path / name)
    with pytest.raises(WeightsError, match="no intact safetensors file"):
        read_checkpoint(tmp_path / "cut.safetensors")
    with pytest.raises(WeightsUnavailableError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "absent.pth")


def prefixed(weights, *prefixes):
    return {"".join(prefixes) + key: value for key, value in weights.items()}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_every_wrapper_comes_off_in_both_formats(wrapper, tmp_path):
    torch.save({wrapper: state(), "epoch": 3, "optimizer": {"state": {}}}, tmp_path / "a.pth")
    save_file(prefixed(state(), f"{wrapper}."), tmp_path / "a.safetensors")
    assert is_equal(read_checkpoint(tmp_path / "a.pth"), state())
    assert is_equal(read_checkpoint(tmp_path / "a.safetensors"), state())


@pytest.mark.parametrize("first", PREFIXES)
@pytest.mark.parametrize("second", PREFIXES)
def test_stacked_prefixes_come_off_in_any_order_and_both_formats(first, second, tmp_path):
    weights = prefixed(state(), first, second)
    torch.save({"state_dict": {"model": weights}}, tmp_path / "a.pth")
    save_file(weights, tmp_path / "a.safetensors")
    assert is_equal(read_checkpoint(tmp_path / "a.pth"), state())
    assert is_equal(read_checkpoint(tmp_path / "a.safetensors"), state())


def test_averaged_weights_lose_their_counter(tmp_path):
    network = nn.ModuleDict({"a": nn.Linear(3, 2)})
    average = AveragedModel(network).state_dict()
    assert "n_averaged" in average
    torch.save({"params_ema": average}, tmp_path / "a.pth")
    save_file(prefixed(average, "_orig_mod.", "model."), tmp_path / "a.safetensors")
    for name in ("a.pth", "a.safetensors"):
        assert is_equal(read_checkpoint(tmp_path / name), network.state_dict())


LITEMA = {"num_updates": torch.tensor(5), "decay": torch.tensor(0.999)}
EMA_PYTORCH = {"initted": torch.tensor([True]), "step": torch.tensor([5])}


@pytest.mark.parametrize("counters", [LITEMA, EMA_PYTORCH, {"n_averaged": torch.tensor(5)}])
@pytest.mark.parametrize("average", ["ema", "model_ema", "params_ema", "ema_model"])
def test_an_average_of_counters_alone_does_not_hide_the_weights(average, counters, tmp_path):
    for wrapper in ("state_dict", "model", "params"):
        torch.save({average: counters, wrapper: state()}, tmp_path / f"{wrapper}.pth")
        save_file(prefixed(counters, f"{average}.") | prefixed(state(), f"{wrapper}."), tmp_path / f"{wrapper}.st")
        assert is_equal(read_checkpoint(tmp_path / f"{wrapper}.pth"), state())
        assert is_equal(read_checkpoint(tmp_path / f"{wrapper}.st"), state())
    torch.save({"my_own_name": state(), "my_average": counters}, tmp_path / "own.pth")
    torch.save({"state_dict": prefixed(state(), "model.") | prefixed(counters, f"{average}.")}, tmp_path / "flat.ckpt")
    torch.save({average: counters | state(), "state_dict": state(1)}, tmp_path / "beside.pth")
    for name in ("own.pth", "flat.ckpt", "beside.pth"):
        assert is_equal(read_checkpoint(tmp_path / name), state())


def test_counters_without_any_weights_are_refused_and_a_networks_own_decay_stays(tmp_path):
    torch.save({"ema": LITEMA, "epoch": 3}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="holds no weights"):
        read_checkpoint(tmp_path / "a.pth")
    own = state() | {"decay": torch.ones(3)}
    torch.save({"ema": own}, tmp_path / "b.pth")
    assert is_equal(read_checkpoint(tmp_path / "b.pth"), own)


def test_compiled_parts_inside_a_network_lose_their_prefix(tmp_path):
    save_file({"a._orig_mod.weight": state()["a.weight"], "a.bias": state()["a.bias"]}, tmp_path / "a.safetensors")
    assert is_equal(read_checkpoint(tmp_path / "a.safetensors"), state())


def test_the_wanted_network_is_taken_from_among_others(tmp_path):
    save_file(prefixed(state(), "generator.") | prefixed(state(1), "discriminator."), tmp_path / "a.safetensors")
    save_file(prefixed(state(1), "params.") | prefixed(state(), "params_ema."), tmp_path / "b.safetensors")
    torch.save({"state_dict": prefixed(state(), "model.") | prefixed(state(1), "lpips.")}, tmp_path / "c.ckpt")
    for name in ("a.safetensors", "b.safetensors", "c.ckpt"):
        assert is_equal(read_checkpoint(tmp_path / name), state())


@pytest.mark.parametrize(
    "content",
    [
        {"netG": state()},
        {"weights": state(), "epoch": 3},
        {"net": state(), "optimizer": {"state": {}, "param_groups": []}},
        {"model": state(1), "model_ema": state()},
        {"model": state(), "ema": {"decay": 0.999, "shadow": [torch.zeros(2)]}},
        {"epoch": 3, "my_own_name": state(), "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
        {"state_dict": {"model": {"params": state()}}},
        {"state_dict": prefixed(state(), "net.") | {"loss_fn.weight": torch.zeros(3)}},
        {"state_dict": prefixed(state(1), "model.") | prefixed(state(), "ema_model.")},
        {"params": state(), "iter": np.int64(5), "best_psnr": np.float64(31.2), "score": np.float32(1)},
    ],
)
def test_weights_are_found_wherever_trainers_put_them(content, tmp_path):
    torch.save(content, tmp_path / "published.pth")
    assert is_equal(read_checkpoint(tmp_path / "published.pth"), state())


def test_weights_of_two_networks_under_unknown_names_are_not_guessed(tmp_path):
    torch.save({"first": state(), "second": state(1)}, tmp_path / "two.pth")
    with pytest.raises(WeightsError, match="holds no weights; expected a state dict, alone or under"):
        read_checkpoint(tmp_path / "two.pth")


def test_a_pickle_that_holds_itself_is_refused(tmp_path):
    content = {"epoch": 1}
    content["state_dict"] = content
    torch.save(content, tmp_path / "circle.pth")
    with pytest.raises(WeightsError, match="holds no weights"):
        read_checkpoint(tmp_path / "circle.pth")


def test_the_content_tells_the_format_and_not_the_suffix(tmp_path):
    save_file(state(), tmp_path / "a.pth")
    save_file(state(), tmp_path / "UPPER.SAFETENSORS")
    torch.save(state(), tmp_path / "b.safetensors")
    torch.save(state(), tmp_path / "old", _use_new_zipfile_serialization=False)
    for name in ("a.pth", "UPPER.SAFETENSORS", "b.safetensors", "old"):
        assert is_equal(read_checkpoint(tmp_path / name), state())


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "old.pth"])
def test_files_cut_off_anywhere_are_refused_by_name(name, tmp_path):
    if name.endswith("tensors"):
        save_file(state(), tmp_path / name)
    else:
        torch.save(state(), tmp_path / name, _use_new_zipfile_serialization=name == "a.pth")
    content = (tmp_path / name).read_bytes()
    for length in {*range(0, 80, 3), *range(80, len(content), max(1, len(content) // 40)), len(content) - 1}:
        (tmp_path / name).write_bytes(content[:length])
        with pytest.raises(WeightsError, match=name):
            read_checkpoint(tmp_path / name)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(value, tmp_path):
    weights = state() | {"b": torch.tensor([1.0, value]).half(), "c": torch.tensor(7)}
    save_file(weights, tmp_path / "a.safetensors")
    torch.save(weights, tmp_path / "a.pth")
    for name in ("a.safetensors", "a.pth"):
        with pytest.raises(WeightsError, match=rf"{name}: b hold NaN or infinite values"):
            read_checkpoint(tmp_path / name)


def test_doubles_too_large_for_the_network_are_refused(tmp_path):
    torch.save({"b": torch.tensor([1e300], dtype=torch.float64)}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match="b hold NaN or infinite"):
        read_checkpoint(tmp_path / "a.pth")


def test_tensors_that_pretend_to_be_large_are_sparse_or_empty_are_refused(tmp_path):
    torch.save({"b": torch.zeros(1).expand(10**12)}, tmp_path / "a.pth")
    torch.save({"b": torch.eye(2).to_sparse()}, tmp_path / "b.pth")
    torch.save({"b": torch.eye(2, device="meta")}, tmp_path / "c.pth")
    for name in ("a.pth", "b.pth", "c.pth"):
        with pytest.raises(WeightsError, match="b is no plain tensor"):
            read_checkpoint(tmp_path / name)


def test_a_hash_beside_the_file_is_checked(tmp_path):
    save_file(state(), tmp_path / "a.safetensors")
    check_recorded_hash(tmp_path / "a.safetensors")
    record = tmp_path / "a.safetensors.sha256"
    record.write_text(f"{hash_of_file(tmp_path / 'a.safetensors')}  a.safetensors\n")
    check_recorded_hash(tmp_path / "a.safetensors")
    save_file(state(seed=1), tmp_path / "a.safetensors")
    with pytest.raises(WeightsError, match=r"is not what a\.safetensors\.sha256 says.*download it again"):
        check_recorded_hash(tmp_path / "a.safetensors")
