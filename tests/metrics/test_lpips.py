import pytest
import torch

from ldrestore.errors import ShapeError
from ldrestore.metrics.lpips import Lpips
from ldrestore.metrics.trunks import ALEXNET_WIDTHS, AlexNetTrunk

HEADS = {f"heads.{layer}": (width,) for layer, width in enumerate(ALEXNET_WIDTHS)}


@pytest.fixture
def distance(random_weights):
    return Lpips("alex", random_weights(AlexNetTrunk, HEADS))


def test_equal_pictures_are_at_zero_and_order_does_not_matter(distance):
    x, y = torch.rand(2, 3, 40, 50), torch.rand(2, 3, 40, 50)
    assert distance(x, x).tolist() == [0.0, 0.0]
    assert torch.equal(distance(x, y), distance(y, x))
    assert distance(x, y).shape == (2,)


def test_each_picture_of_a_batch_is_its_own(distance):
    x, y = torch.rand(2, 3, 40, 50), torch.rand(2, 3, 40, 50)
    alone = torch.cat([distance(x[:1], y[:1]), distance(x[1:], y[1:])])
    assert torch.allclose(distance(x, y), alone, rtol=1e-5)


def test_gradients_reach_the_picture_and_no_weight(distance):
    x = torch.rand(1, 3, 40, 40, requires_grad=True)
    distance(x, torch.rand(1, 3, 40, 40)).sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(not parameter.requires_grad for parameter in distance.parameters())


def test_scaling_the_features_changes_nothing(random_weights):
    weights = random_weights(AlexNetTrunk, HEADS)
    x, y = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    first = Lpips("alex", weights)
    before = first(x, y)
    with torch.no_grad():
        first.trunk.convolutions[4].weight *= 3
        first.trunk.convolutions[4].bias *= 3
    assert torch.allclose(first(x, y), before, rtol=1e-5)


def test_pictures_too_small_for_the_last_layer_are_refused(distance):
    with pytest.raises(ShapeError, match="at least 31 pixels a side"):
        distance(torch.rand(1, 3, 30, 64), torch.rand(1, 3, 30, 64))
