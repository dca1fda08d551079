"""Networks built again from their configurations."""

import pytest
import torch

from ldrestore.errors import WeightsError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.training.networks.rebuilding import rebuilt


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
