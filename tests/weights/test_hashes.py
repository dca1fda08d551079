import pytest
import torch
from torch import nn

from ldrestore.checkpoints.network_identity import identity_of
from ldrestore.regressors.factory import create_regressor
from ldrestore.weights import hashes
from ldrestore.weights.hashes import hash_of_file, hash_of_weights


@pytest.fixture
def counted(monkeypatch):
    """The networks that were hashed, in their order."""
    networks = []

    def count(network):
        networks.append(network)
        return hash_of_weights(network)

    monkeypatch.setattr(hashes, "hash_of_weights", count)
    return networks


def test_a_network_is_hashed_once_until_its_weights_change(counted):
    network = create_regressor("nafnet", width=4, middle_blk_num=1, enc_blk_nums=[1], dec_blk_nums=[1])
    first = identity_of(network)
    assert identity_of(network) == first
    assert len(counted) == 1
    with torch.no_grad():
        network.intro.bias += 1
    assert identity_of(network)["weights_sha256"] == hash_of_weights(network) != first["weights_sha256"]
    assert len(counted) == 2


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


def test_weights_without_axes_are_hashed_too():
    network = torch.nn.Module()
    network.temperature = torch.nn.Parameter(torch.tensor(0.5))
    before = hash_of_weights(network)
    network.temperature.data.fill_(0.25)
    assert hash_of_weights(network) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.half(),
        lambda network: network.register_buffer("more", torch.zeros(0)),
        lambda network: setattr(network, "weight", nn.Parameter(network.weight.detach().reshape(4, 1).clone())),
        lambda network: setattr(network, "bias", nn.Parameter(-network.bias.detach())),
    ],
    ids=["type", "an empty weight", "shape", "the sign of zero"],
)
def test_hashes_follow_types_shapes_keys_and_every_bit(change) -> None:
    network = nn.Linear(2, 2)
    nn.init.zeros_(network.bias)
    before = hash_of_weights(network)
    change(network)
    assert hash_of_weights(network) != before


def test_hashes_do_not_follow_strides_or_gradients() -> None:
    network = nn.Linear(3, 2)
    before = hash_of_weights(network)
    network.weight.data = network.weight.detach().t().contiguous().t()
    network.requires_grad_(False)
    assert not network.weight.is_contiguous() and hash_of_weights(network) == before


def test_weights_that_lie_nowhere_have_the_hash_that_they_had(counted) -> None:
    network = nn.Linear(2, 2)
    known = hashes.cached_hash(network)
    assert hashes.cached_hash(network.to("meta")) == known
    assert hashes.cached_hash(nn.Linear(2, 2, device="meta")) == "unknown"
    assert len(counted) == 1


def test_a_file_of_nothing_and_one_that_is_not_there(tmp_path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert hash_of_file(tmp_path / "empty").startswith("e3b0c44298fc1c14")
    with pytest.raises(FileNotFoundError):
        hash_of_file(tmp_path / "absent")
