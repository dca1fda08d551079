import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ldrestore.errors import WeightsError, WeightsUnavailableError
from ldrestore.weights import (
    align_weights,
    check_fit,
    find_folder,
    find_model_folder,
    hash_of_file,
    hash_of_weights,
    load_strictly,
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


def test_the_hub_is_asked_once_for_a_repository(tmp_path, monkeypatch):
    calls = []

    def fetch(name, **options):
        calls.append((name, options["allow_patterns"]))
        return str(tmp_path)

    monkeypatch.setattr("ldrestore.weights.snapshot_download", fetch)
    monkeypatch.setattr("ldrestore.weights._fetched", {})
    assert [find_folder("owner/name") for _ in range(3)] == [tmp_path] * 3
    find_folder("owner/name", revision="other")
    assert [name for name, _ in calls] == ["owner/name"] * 2
    assert "*.txt" in calls[0][1]  # a tokenizer's merges


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
