"""Networks built again from their configurations."""

import pytest
import torch

from ldrestore.errors import WeightsError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.training.networks.rebuilding import rebuilt, save_part, weights_of_part


def test_arguments_by_position_are_kept_and_weights_are_the_given_ones():
    network = DegradationPredictor(("rain", "haze"), 6, 8)
    weights = {key: torch.full_like(value, 0.5) for key, value in network.state_dict().items()}
    again = rebuilt(network.train(), weights, source="the predictor in training")
    assert again is not network and again.names == ("rain", "haze") and not again.training
    assert all(torch.equal(value, weights[key]) for key, value in again.state_dict().items())
    assert network.training and not torch.equal(network.fc1.weight, again.fc1.weight)


def test_what_was_grown_is_built_at_its_present_size():
    network = DegradationPredictor(("rain",), embedding_dim=6, hidden_dim=8)
    network.grow(("haze",))
    assert rebuilt(network, network.state_dict(), source="it").names == ("rain", "haze")


def test_weights_that_do_not_fit_are_named():
    network = DegradationPredictor(("rain",), embedding_dim=6, hidden_dim=8)
    weights = {key: value for key, value in network.state_dict().items() if key != "fc1.bias"}
    with pytest.raises(WeightsError, match=r"the predictor in training.*fc1\.bias"):
        rebuilt(network, weights, source="the predictor in training")


def test_a_part_is_written_with_its_own_weights_alone(tmp_path):
    part = DegradationPredictor(("rain",), embedding_dim=6, hidden_dim=8)
    weights = {f"part.{key}": torch.full_like(value, 2.0) for key, value in part.state_dict().items()}
    save_part(part, {**weights, "partner.bias": torch.ones(1)}, tmp_path, name="part")
    again = DegradationPredictor.from_pretrained(tmp_path / "part")
    assert all((value == 2).all() for value in again.state_dict().values())
    assert not any((value == 2).all() for value in part.state_dict().values())


def test_weights_of_a_part_are_those_behind_its_name_and_a_dot() -> None:
    weights = {
        "part.a": torch.zeros(1),
        "part.b.part.c": torch.ones(1),
        "partner.a": torch.ones(2),
        "part": torch.ones(3),
    }
    assert weights_of_part(weights, "part").keys() == {"a", "b.part.c"}
    assert weights_of_part(weights, "other") == {}
