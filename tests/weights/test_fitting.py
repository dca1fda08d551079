import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ldrestore.errors import WeightsError, WeightsUnavailableError
from ldrestore.weights.fitting import align_weights, check_fit, load_strictly, read_shapes
from ldrestore.weights.hashes import hash_of_weights


def state(seed=0):
    return {
        "a.weight": torch.randn(2, 3, generator=torch.Generator().manual_seed(seed)),
        "a.bias": torch.arange(2, dtype=torch.float32),
    }


def is_equal(left, right):
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


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


def test_numbers_of_another_kind_are_refused():
    network = nn.Sequential()
    network.add_module("a", nn.Linear(3, 2))
    with pytest.raises(WeightsError, match=r"a\.bias holds torch\.int64, expected torch\.float32"):
        load_strictly(network, {**state(), "a.bias": torch.arange(2)}, source="x.pth")
    load_strictly(network, {key: value.half() for key, value in state().items()}, source="x.pth")


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


def test_aligned_weights_keep_their_values():
    network = nn.Linear(3, 2)
    odd = torch.arange(8, dtype=torch.float32)[1:7].view(2, 3)
    network.weight.data = odd
    align_weights(network)
    assert network.weight.data_ptr() % 64 == 0
    assert torch.equal(network.weight, odd)
