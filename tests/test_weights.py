import argparse
import sys
import types

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ldrestore.errors import WeightsError, WeightsUnavailableError
from ldrestore.weights import (
    align_weights,
    check_fit,
    find_model_folder,
    hash_of_file,
    hash_of_weights,
    load_strictly,
    read_checkpoint,
    read_json,
    read_shapes,
)


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


def test_strict_loading_names_what_is_wrong():
    network = nn.Sequential()
    network.add_module("a", nn.Linear(3, 2))
    load_strictly(network, state(), source="x.pth")
    assert is_equal(network.state_dict(), state())
    before = hash_of_weights(network)
    for change, message in [
        ({"b": torch.ones(1)}, "unexpected b"),
        ({"a.bias": torch.ones(3)}, r"a.bias is \(3,\), expected \(2,\)"),
    ]:
        with pytest.raises(WeightsError, match=rf"x\.pth does not fit Sequential: .*{message}"):
            load_strictly(network, {**state(seed=1), **change}, source="x.pth")
    with pytest.raises(WeightsError, match=r"missing a\.bias"):
        load_strictly(network, {"a.weight": state()["a.weight"]}, source="x.pth")
    assert hash_of_weights(network) == before


def test_shapes_come_from_the_headers_of_all_files(tmp_path):
    for key, value in state().items():
        save_file({key: value}, tmp_path / f"{key}.safetensors")
    shapes = read_shapes(tmp_path)
    assert shapes == {"a.weight": (2, 3), "a.bias": (2,)}
    with torch.device("meta"):
        network = nn.ModuleDict({"a": nn.Linear(3, 2)})
    check_fit(network, shapes, source="folder")


def test_a_folder_without_safetensors_is_refused(tmp_path):
    torch.save(state(), tmp_path / "diffusion_pytorch_model.bin")
    with pytest.raises(WeightsUnavailableError, match="no safetensors weights"):
        read_shapes(tmp_path)


def test_hashes_follow_values_and_not_the_order_of_keys():
    left, right = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 1)}), nn.ModuleDict()
    right["b"], right["a"] = left["b"], left["a"]
    assert hash_of_weights(left) == hash_of_weights(right)
    before = hash_of_weights(left)
    with torch.no_grad():
        left["a"].bias[0] += 1
    assert hash_of_weights(left) != before


def test_hash_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert hash_of_file(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_aligned_weights_keep_their_values():
    network = nn.Linear(3, 2)
    odd = torch.arange(8, dtype=torch.float32)[1:7].view(2, 3)
    network.weight.data = odd
    align_weights(network)
    assert network.weight.data_ptr() % 64 == 0
    assert torch.equal(network.weight, odd)


def test_a_folder_that_is_not_there_names_the_ways_out(tmp_path):
    for name in (tmp_path / "absent", "nobody/nothing"):
        with pytest.raises(WeightsUnavailableError, match=r"local folder.*HF_ENDPOINT.*HF_HUB_OFFLINE"):
            find_model_folder(name)
    with pytest.raises(WeightsUnavailableError, match=r"no model_index\.json"):
        find_model_folder(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_damaged_json_is_refused(text, tmp_path):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match=r"config\.json"):
        read_json(tmp_path / "config.json")


def test_weights_without_axes_are_hashed_too():
    network = torch.nn.Module()
    network.temperature = torch.nn.Parameter(torch.tensor(0.5))
    before = hash_of_weights(network)
    network.temperature.data.fill_(0.25)
    assert hash_of_weights(network) != before
