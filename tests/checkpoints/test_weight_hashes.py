import pytest
import torch

from ldrestore.checkpoints import weight_hashes
from ldrestore.checkpoints.network_identity import identity_of
from ldrestore.regressors.factory import create_regressor
from ldrestore.weights import hash_of_weights


@pytest.fixture
def counted(monkeypatch):
    """The networks that were hashed, in their order."""
    networks = []

    def count(network):
        networks.append(network)
        return hash_of_weights(network)

    monkeypatch.setattr(weight_hashes, "hash_of_weights", count)
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
