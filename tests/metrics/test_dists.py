import pytest
import torch

from ldrestore.errors import ShapeError
from ldrestore.metrics.dists import Dists
from ldrestore.metrics.trunks import Vgg16Trunk


@pytest.fixture(scope="module")
def distance():
    torch.manual_seed(0)
    trunk = {f"trunk.{name}": value for name, value in Vgg16Trunk().state_dict().items()}
    return Dists(trunk | {"alpha": torch.rand(1475), "beta": torch.rand(1475)})


def test_equal_pictures_are_at_zero_and_order_does_not_matter(distance):
    x, y = torch.rand(1, 3, 16, 18), torch.rand(1, 3, 16, 18)
    assert distance(x, x).item() == pytest.approx(0, abs=1e-5)
    assert distance(x, y).item() == pytest.approx(distance(y, x).item(), abs=1e-6)
    assert 0 < distance(x, y).item() <= 1


def test_means_alone_decide_where_alpha_is_all_there_is(distance):
    alpha, beta = torch.zeros(1475), torch.zeros(1475)
    alpha[:3] = 1.0
    weights = {**distance.state_dict(), "alpha": alpha, "beta": beta}
    x = torch.full((1, 3, 16, 16), 0.5)
    y = torch.full((1, 3, 16, 16), 0.25)
    outcome = torch.func.functional_call(distance, weights, (x, y)).item()
    assert outcome == pytest.approx(1 - 2 * 0.125 / (0.25 + 0.0625), abs=1e-4)


def test_gradients_reach_the_picture_and_no_weight(distance):
    x = torch.rand(1, 3, 16, 16, requires_grad=True)
    distance(x, torch.rand(1, 3, 16, 16)).sum().backward()
    assert x.grad.abs().sum() > 0
    assert all(not parameter.requires_grad for parameter in distance.parameters())


def test_small_pictures_are_refused(distance):
    with pytest.raises(ShapeError, match="at least 16 pixels a side"):
        distance(torch.rand(1, 3, 15, 64), torch.rand(1, 3, 15, 64))
