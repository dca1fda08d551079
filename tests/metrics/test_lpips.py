from typing import Any

import pytest
import torch
from torch import Tensor

from ldrestore.errors import ShapeError
from ldrestore.metrics.lpips import SCALE, SHIFT, Lpips
from ldrestore.metrics.trunks import ALEXNET_WIDTHS, AlexNetTrunk, Vgg16Trunk

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


def literal_distance(network: Lpips, x: Tensor, y: Tensor) -> float:
    """Eq. 1 of Zhang et al. 2018 for one pair, place by place."""
    shift, scale = torch.tensor(SHIFT)[:, None, None], torch.tensor(SCALE)[:, None, None]
    normed = [((2 * picture - 1) - shift) / scale for picture in (x, y)]
    layers = zip(*(list(network.trunk.features(picture)) for picture in normed), strict=True)
    total = 0.0
    for head, (ours, theirs) in zip(network.heads, layers, strict=True):
        height, width = ours.shape[-2:]
        for row in range(height):
            for column in range(width):
                a, b = ours[0, :, row, column], theirs[0, :, row, column]
                difference = a / (a.norm() + 1e-10) - b / (b.norm() + 1e-10)
                total += float((head * difference**2).sum()) / (height * width)
    return total


@pytest.mark.parametrize(
    ("trunk", "network", "widths", "size"),
    [("alex", AlexNetTrunk, ALEXNET_WIDTHS, (35, 47)), ("vgg", Vgg16Trunk, Vgg16Trunk.widths, (16, 19))],
)
def test_it_is_the_equation_place_by_place(
    random_weights: Any, trunk: Any, network: Any, widths: tuple[int, ...], size: tuple[int, int]
) -> None:
    heads = {f"heads.{layer}": (width,) for layer, width in enumerate(widths)}
    distance = Lpips(trunk, random_weights(network, heads))
    x, y = torch.rand(2, 1, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert distance(x, y).item() == pytest.approx(literal_distance(distance, x, y), rel=1e-4)


def test_the_distance_grows_with_the_weight_of_a_layer_and_with_nothing_it_does_not_look_at(distance: Lpips) -> None:
    x, y = torch.rand(2, 1, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        whole, parts = distance(x, y), []
        for layer in range(5):
            alone = {
                **distance.state_dict(),
                **{f"heads.{other}": torch.zeros(w) for other, w in enumerate(ALEXNET_WIDTHS)},
            }
            alone[f"heads.{layer}"] = distance.heads[layer]
            parts.append(Lpips("alex", alone)(x, y))
        assert all(part > 0 for part in parts)
        torch.testing.assert_close(sum(parts), whole)


def test_places_where_no_feature_answers_count_as_equal_and_have_finite_gradients(random_weights: Any) -> None:
    weights = random_weights(AlexNetTrunk, HEADS)
    weights["trunk.convolutions.4.bias"] = torch.full((256,), -100.0)  # nothing passes the last ReLU
    distance = Lpips("alex", weights)
    x, y = torch.rand(2, 1, 3, 40, 40, generator=torch.Generator().manual_seed(1))
    x.requires_grad_()
    found = distance(x, y)
    found.sum().backward()
    assert x.grad is not None and x.grad.isfinite().all() and x.grad.abs().sum() > 0
    silent = Lpips("alex", {**weights, "heads.4": torch.zeros(256)})
    torch.testing.assert_close(silent(x, y), found)


def test_missing_and_misshapen_weights_are_refused(random_weights: Any) -> None:
    weights = random_weights(AlexNetTrunk, HEADS)
    without = {name: value for name, value in weights.items() if name != "heads.2"}
    with pytest.raises(RuntimeError, match=r"heads\.2"):
        Lpips("alex", without)
    with pytest.raises(RuntimeError, match=r"heads\.0"):
        Lpips("alex", {**weights, "heads.0": torch.rand(3)})
    with pytest.raises(ShapeError, match=r"got \(1, 3, 40, 40\) and \(2, 3, 40, 40\)"):
        Lpips("alex", weights)(torch.rand(1, 3, 40, 40), torch.rand(2, 3, 40, 40))
