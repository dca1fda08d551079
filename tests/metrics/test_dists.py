import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

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


def literal_pool(features: Tensor) -> Tensor:
    """The root of the weighted sum of squares around every second position, one number at a time."""
    weights = ((1 / 16, 1 / 8, 1 / 16), (1 / 8, 1 / 4, 1 / 8), (1 / 16, 1 / 8, 1 / 16))
    _, channels, height, width = features.shape
    pooled = torch.zeros(1, channels, (height + 1) // 2, (width + 1) // 2)
    for row in range(pooled.shape[2]):
        for column in range(pooled.shape[3]):
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    r, c = 2 * row + down, 2 * column + right
                    if 0 <= r < height and 0 <= c < width:  # beyond the picture there is nothing
                        pooled[0, :, row, column] += weights[down + 1][right + 1] * features[0, :, r, c] ** 2
    return (pooled + 1e-12).sqrt()


def literal_layers(network: Dists, picture: Tensor) -> list[Tensor]:
    """The picture and what leaves VGG16's five stages, with L2 pooling between them."""
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    layers, x, index = [picture], (picture - mean) / std, 0
    for stage, count in enumerate((2, 2, 3, 3, 3)):
        x = literal_pool(x) if stage else x
        for _ in range(count):
            convolution = network.trunk.convolutions[index]
            x, index = F.conv2d(x, convolution.weight, convolution.bias, padding=1).clamp(min=0), index + 1
        layers.append(x)
    return layers


def test_it_is_the_equation_channel_by_channel(distance: Dists) -> None:
    x, y = torch.rand(2, 1, 3, 17, 22, generator=torch.Generator().manual_seed(1))
    alpha, beta, c, place, similarity = distance.alpha.tolist(), distance.beta.tolist(), 1e-6, 0, 0.0
    with torch.no_grad():
        pairs = zip(literal_layers(distance, x), literal_layers(distance, y), strict=True)
        for ours, theirs in pairs:
            for a, b in zip(ours[0].double().flatten(1), theirs[0].double().flatten(1), strict=True):
                mean_a, mean_b = a.mean(), b.mean()
                cov = ((a - mean_a) * (b - mean_b)).mean()
                means = (2 * mean_a * mean_b + c) / (mean_a**2 + mean_b**2 + c)
                variation = (2 * cov + c) / (a.var(correction=0) + b.var(correction=0) + c)
                similarity += float(alpha[place] * means + beta[place] * variation)
                place += 1
        assert place == 1475
        expected = 1 - similarity / (sum(alpha) + sum(beta))
        assert distance(x, y).item() == pytest.approx(expected, abs=2e-5)


def test_each_picture_of_a_batch_is_its_own_and_weights_count_by_their_shares(distance: Dists) -> None:
    x, y = torch.rand(2, 3, 3, 18, 20, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        together = distance(x, y)
        alone = torch.cat([distance(*pair) for pair in zip(x.split(1), y.split(1), strict=True)])
        torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
        assert torch.equal(distance(x.flip(0), y.flip(0)), together.flip(0))
        doubled = {
            name: 2 * value if name in ("alpha", "beta") else value for name, value in distance.named_parameters()
        }
        scaled = torch.func.functional_call(distance, doubled, (x, y))
    torch.testing.assert_close(scaled, together, rtol=1e-4, atol=1e-5)


def test_a_shift_of_all_colours_is_seen_by_the_means_and_an_even_picture_has_finite_gradients(distance: Dists) -> None:
    x = torch.full((1, 3, 16, 16), 0.4, requires_grad=True)
    found = distance(x, torch.full((1, 3, 16, 16), 0.5))
    found.sum().backward()
    assert 0 < found.item() < 1
    assert x.grad is not None and x.grad.isfinite().all()


def test_missing_weights_and_unequal_pictures_are_refused(distance: Dists) -> None:
    weights = distance.state_dict()
    with pytest.raises(RuntimeError, match="alpha"):
        Dists({name: value for name, value in weights.items() if name != "alpha"})
    with pytest.raises(
        ShapeError, match=r"DISTS needs two pictures of one shape .* got \(1, 3, 16, 16\) and \(1, 3, 16"
    ):
        distance(torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 17))
