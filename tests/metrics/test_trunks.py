"""The two trunks are torchvision's AlexNet and VGG16 without their heads."""

import pytest
import torch
import torchvision
from torch import nn

from ldrestore.errors import ShapeError
from ldrestore.metrics.trunks import AlexNetTrunk, Vgg16Trunk, check_one_shape


def of_torchvision(name: str, trunk: nn.Module) -> list[nn.Module]:
    """Torchvision's layers with the trunk's weights; its head, which is most of it, is never filled."""
    with torch.device("meta"):
        layers = torchvision.models.get_model(name).features
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    for ours, theirs in zip(trunk.convolutions, convolutions, strict=True):
        theirs.load_state_dict(ours.state_dict(), assign=True)
    return list(layers)


@pytest.mark.parametrize("size", [(31, 31), (64, 43)])
def test_alexnet_gives_what_leaves_each_relu(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    trunk, x = AlexNetTrunk(), torch.randn(2, 3, *size)
    expected, hidden = [], x
    for layer in of_torchvision("alexnet", trunk)[:-1]:  # a last pool, whose result nobody looks at
        hidden = layer(hidden)
        if isinstance(layer, nn.ReLU):
            expected.append(hidden.clone())
    found = list(trunk.features(x))
    assert [features.shape[1] for features in found] == list(trunk.widths)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("size", [(16, 16), (33, 21)])
def test_vgg16_gives_what_leaves_the_last_relu_of_each_stage(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    trunk, x = Vgg16Trunk(), torch.randn(1, 3, *size)
    expected, hidden = [], x
    with torch.no_grad():
        for layer in of_torchvision("vgg16", trunk):
            if isinstance(layer, nn.MaxPool2d):
                expected.append(hidden)
                hidden = layer(hidden) if len(expected) < 5 else hidden
            else:
                hidden = layer(hidden)
        found = list(trunk.features(x))
    assert [features.shape[1] for features in found] == [64, 128, 256, 512, 512]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_another_pool_stands_between_the_stages_and_nowhere_else() -> None:
    trunk, sizes = Vgg16Trunk(), []

    def pool(features: torch.Tensor) -> torch.Tensor:
        sizes.append(tuple(features.shape[1:]))
        return features[..., ::2, ::2]

    with torch.no_grad():
        shapes = [tuple(features.shape[1:]) for features in trunk.features(torch.rand(1, 3, 16, 17), pool=pool)]
    assert sizes == shapes[:4] == [(64, 16, 17), (128, 8, 9), (256, 4, 5), (512, 2, 3)]
    assert shapes[4] == (512, 1, 2)


def test_the_smallest_sides_leave_something_and_less_is_refused_by_name() -> None:
    with torch.no_grad():
        assert min(list(AlexNetTrunk().features(torch.rand(1, 3, 31, 31)))[-1].shape) >= 1
        assert min(list(Vgg16Trunk().features(torch.rand(1, 3, 16, 16)))[-1].shape) >= 1
    check_one_shape("X", torch.rand(2, 3, 5, 7), torch.rand(2, 3, 5, 7), smallest=5)
    for x, y in ((torch.rand(2, 3, 5, 7), torch.rand(1, 3, 5, 7)), (torch.rand(1, 3, 4, 7), torch.rand(1, 3, 4, 7))):
        with pytest.raises(ShapeError, match="X needs two pictures of one shape and at least 5 pixels a side, got"):
            check_one_shape("X", x, y, smallest=5)
