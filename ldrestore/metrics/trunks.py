"""The two classifiers that perceptual distances look through: AlexNet and VGG16, without their heads, frozen.

AlexNet is the one-tower variant of Krizhevsky 2014 (https://arxiv.org/abs/1404.5997), VGG16 configuration D of Simonyan
and Zisserman 2014 (https://arxiv.org/abs/1409.1556). Weights are those trained on ImageNet, see `metric_weights`.
"""

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from ldrestore.errors import ShapeError

ALEXNET_WIDTHS = (64, 192, 384, 256, 256)
"""Channels of AlexNet's five convolutions."""
VGG16_WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of VGG16's convolutions, stage by stage."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of RGB in [0, 1], by which the classifiers' inputs are normalised."""


class AlexNetTrunk(nn.Module):
    """Five convolutions, each followed by a ReLU."""

    widths = ALEXNET_WIDTHS
    """Channels of the features."""

    def __init__(self) -> None:
        """Random weights."""
        super().__init__()
        shapes = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))  # kernel, stride, padding
        channels = (3, *ALEXNET_WIDTHS)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels[index], channels[index + 1], kernel, stride=stride, padding=padding)
            for index, (kernel, stride, padding) in enumerate(shapes)
        )

    def features(self, x: Tensor) -> Iterator[Tensor]:
        """What leaves each ReLU.

        Args:
            x: (B, 3, H, W), normalised; H and W at least 31.

        Yields:
            (B, C, h, w), C as in `widths`.
        """
        for index, convolution in enumerate(self.convolutions):
            if index in (1, 2):
                x = nn.functional.max_pool2d(x, 3, stride=2)
            x = convolution(x).relu()
            yield x


class Vgg16Trunk(nn.Module):
    """Thirteen convolutions in five stages, each convolution followed by a ReLU."""

    widths = tuple(stage[-1] for stage in VGG16_WIDTHS)
    """Channels of the features."""

    def __init__(self) -> None:
        """Random weights."""
        super().__init__()
        channels = (3, *(width for stage in VGG16_WIDTHS for width in stage))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels[index], channels[index + 1], 3, padding=1) for index in range(len(channels) - 1)
        )

    def features(self, x: Tensor, *, pool: Callable[[Tensor], Tensor] | None = None) -> Iterator[Tensor]:
        """What leaves the last ReLU of each stage.

        Args:
            x: (B, 3, H, W), normalised; H and W at least 16.
            pool: Halves the picture between stages; None takes the largest of 2 x 2, as VGG16 does.

        Yields:
            (B, C, h, w), C as in `widths`.
        """
        first = 0
        for number, stage in enumerate(VGG16_WIDTHS):
            if number > 0:
                x = nn.functional.max_pool2d(x, 2) if pool is None else pool(x)
            for index in range(first, first + len(stage)):
                x = self.convolutions[index](x).relu()
            first += len(stage)
            yield x


def check_one_shape(metric: str, x: Tensor, y: Tensor, *, smallest: int) -> None:
    """Refuse two batches of pictures, (B, C, H, W), that a distance through a trunk cannot compare.

    Raises:
        ShapeError: the shapes differ, or a side has fewer pixels than `smallest`.
    """
    if x.shape != y.shape or min(x.shape[-2:]) < smallest:
        raise ShapeError(
            f"{metric} needs two pictures of one shape and at least {smallest} pixels a side, got "
            f"{tuple(x.shape)} and {tuple(y.shape)}"
        )
