"""One regressor upon pictures: what it makes of the whole, and its one pass a tile with that in hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from diffusers import ModelMixin
from torch import Tensor

from ldrestore.images.padding import crop_to, pad_to_multiple
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.regressors.factory import record_of, size_multiple_of
from ldrestore.regressors.onnx_regressor import OnnxRegressor
from ldrestore.structures import TilePlan
from ldrestore.systems.finite_numbers import again_in_float32, check_finite
from ldrestore.systems.regression_steering import rules_everything_out
from ldrestore.tiling.orientations import Orientation
from ldrestore.tiling.picture_views import PictureViews, Window, views_of
from ldrestore.tiling.planning import is_one_tile
from ldrestore.tiling.shared_statistics import Statistics, measured_statistics, shared_statistics

HEAD_CLASS = "ldrestore.regressors.instruction_head:InstructionHead"
"""The one class of instruction heads; saved folders name its module."""

OPTIONAL_PARTS = ("instruction_head",)
"""Of the pipeline, what may be left out."""


def part_classes() -> dict[str, tuple[str, ...]]:
    """The parts of the pipeline, and the classes that each may be of, as "module:class"."""
    return {"regressor": tuple(record.target for record in REGRESSORS), "instruction_head": (HEAD_CLASS,)}


class WholeAwareNetwork(Protocol):
    """A regressor that sees the whole picture in a reduced copy; its record says `takes_whole`.

    What it makes of the copy is the same for all tiles, since the copy is. What it measures besides over its maps it
    measures in `MapStatistic`s, as every network does.
    """

    def forward(self, lq: Tensor, *, whole: Tensor | None = None, window: Tensor | None = None) -> Tensor:
        """Restore parts of pictures.

        Args:
            lq: (B, 3, H, W) in [0, 1], the sides multiples of `size_multiple`.
            whole: (B, 3, h, w) in [0, 1], see `PictureViews.reduced`; None where `lq` is the whole.
            window: (B, 4), see `Window.shares`; None where `lq` is the whole.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What all tiles of a picture know of the whole of it."""

    whole: Tensor | None
    """(1, 3, h, w), on the network's device and in its type; None for networks that do not take it."""
    statistics: Statistics | None
    """What the network's `MapStatistic`s measured over the views; None where a pass measures for itself."""


class RegressionSystem:
    """The system of the fast track: `look` once a picture, `restore` once a tile."""

    def __init__(self, network: ModelMixin | OnnxRegressor) -> None:
        """Wrap a network.

        Args:
            network: Any regressor, or an exported one. An exported one is a fixed graph: it is shown the reduced copy
                if it takes the whole picture, but cannot be given statistics, which each of its tiles measures for
                itself.
        """
        self.network = network
        self.record = record_of(network)
        self.size_multiple = size_multiple_of(network)

    def looks_at(
        self,
        pixels: np.ndarray,
        plan: TilePlan,
        *,
        orientations: tuple[Orientation, ...],
        device: torch.device,
        embedding: Tensor | None = None,
        hints: Tensor | None = None,
    ) -> dict[Orientation, Look | None]:
        """Look at a picture, in each orientation in which it is restored; for all tiles and for the untiled pass alike.

        Args:
            pixels: (H, W, C), of any type.
            plan: Says how many pixels are shown natively, and whether there are tiles.
            orientations: Those of the self-ensemble, or the upright one.
            device: Where the network computes.
            embedding: (1, *embedding_shape), what steers a network that takes embeddings.
            hints: (1, 2N), what a user says of each degradation, for a network that takes hints.

        Returns:
            None for each where a pass that takes the whole picture sees all that there is to see, and where an exported
            network takes the tile alone.

        Raises:
            UndefinedNumbersError: the network gives infinite or undefined numbers in float32 too.
        """
        height, width = pixels.shape[:2]
        is_seen_whole = is_one_tile(plan, height, width) and height * width <= plan.look**2
        is_self_measuring = is_seen_whole or isinstance(self.network, OnnxRegressor)
        if is_self_measuring and not self.record.takes_whole:
            return dict.fromkeys(orientations)
        views = views_of(pixels, side=plan.look, multiple=self.record.size_multiple)
        looks: dict[Orientation, Look | None] = {}
        for orientation in orientations:
            turned = views.turned(orientation.turns, is_flipped=orientation.is_flipped)
            looks[orientation] = (
                Look(whole=turned.reduced.to(device), statistics=None)
                if is_self_measuring
                else self.look(turned, device=device, embedding=embedding, hints=hints)
            )
        return looks

    @torch.no_grad()
    def look(
        self,
        views: PictureViews,
        *,
        device: torch.device,
        embedding: Tensor | None = None,
        hints: Tensor | None = None,
    ) -> Look:
        """What the network makes of the views of a picture: its statistics over all crops at once, in one pass.

        Args:
            views: Of the picture.
            device: Where the network computes.
            embedding: (1, *embedding_shape), what steers a network that takes embeddings.
            hints: (1, 2N), what a user says of each degradation, for a network that takes hints.

        Raises:
            UndefinedNumbersError: the network gives infinite or undefined numbers in float32 too.
        """
        network = self.network
        assert not isinstance(network, OnnxRegressor), "each tile of an exported network measures for itself"

        def measure() -> Statistics:
            crops = pad_to_multiple(views.crops, self.size_multiple).to(device, network.dtype)
            crops = crops.contiguous(memory_format=torch.channels_last)
            windows = [window.padded(*crops.shape[-2:]) for window in views.windows]
            options = self._options(crops, embedding=embedding, hints=hints, whole=views.reduced, windows=windows)
            with measured_statistics({"": network}, layout=views.layout) as statistics:
                network(crops, **options)
            for name, value in statistics.items():
                check_finite(value, of=f"what {type(network).__name__} measures in {name}")
            return statistics

        statistics = again_in_float32(measure, [network])
        whole = views.reduced.to(device) if self.record.takes_whole else None
        return Look(whole=whole, statistics=statistics)

    def restore(
        self,
        lq: Tensor,
        *,
        device: torch.device,
        embedding: Tensor | None = None,
        hints: Tensor | None = None,
        look: Look | None = None,
        window: Window | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """One forward pass, padded by reflection; the residual is taken in the network's precision, added in float32.

        A grey picture goes in as three equal channels, and the mean of the three residuals is its own.

        Args:
            lq: (1, C, h, w), C 1 or 3, float32 in [0, 1].
            device: Where the network computes.
            embedding: (1, *embedding_shape), what steers a network that takes embeddings; None leaves it out.
            hints: (1, 2N), what a user says of each degradation, for a network that takes hints; None for nothing.
            look: What the network knows of the picture; None where lq is the whole.
            window: Where lq lies in the picture.

        Returns:
            (1, C, h, w), float32 where `lq` is, not clamped, `lq` itself where the hints rule everything out; and the
            probabilities (N,), float32 on the CPU, of the degradations where the network estimates them, else None.

        Raises:
            UndefinedNumbersError: the network gives infinite or undefined pixels in float32 too.
            StatisticsError: the tile takes another way through the network than the picture did.
        """
        num_channels, height, width = lq.shape[1:]
        rgb = pad_to_multiple(lq, self.size_multiple).expand(-1, 3, -1, -1).to(device)  # (1, 3, H, W)
        rgb = rgb.contiguous(memory_format=torch.channels_last)  # convolutions and channel norms are faster so

        def compute() -> tuple[Tensor, Tensor | None]:
            residual, logits = self._residual(
                rgb.to(self.network.dtype), embedding=embedding, hints=hints, look=look, window=window
            )
            return check_finite(residual, of=f"the pixels of {type(self.network).__name__}"), logits

        networks = [] if isinstance(self.network, OnnxRegressor) else [self.network]
        residual, logits = again_in_float32(compute, networks)
        if num_channels == 1:
            residual = residual.mean(dim=1, keepdim=True)
        probabilities = None if logits is None else logits[0].float().sigmoid().cpu()
        if hints is not None and rules_everything_out(hints):
            return lq, probabilities
        return lq + crop_to(residual, height, width).to(lq.device), probabilities

    def _residual(
        self,
        rgb: Tensor,
        *,
        embedding: Tensor | None,
        hints: Tensor | None,
        look: Look | None,
        window: Window | None,
    ) -> tuple[Tensor, Tensor | None]:
        """What the network changes, (1, 3, H, W) in its own type to float32, and its logits, if it estimates."""
        place = [] if window is None else [window.padded(*rgb.shape[-2:])]
        whole = None if look is None else look.whole
        options = self._options(rgb, embedding=embedding, hints=hints, whole=whole, windows=place)
        if self.record.gives_estimate:
            options["return_estimate"] = True
        if look is None or look.statistics is None:
            output = self.network(rgb, **options)
        else:
            assert not isinstance(self.network, OnnxRegressor), "nothing was measured with an exported network"
            with shared_statistics({"": self.network}, look.statistics):
                output = self.network(rgb, **options)
        restored, logits = (output, None) if isinstance(output, Tensor) else output
        return restored.float() - rgb.float(), logits

    def _options(
        self,
        rgb: Tensor,
        *,
        embedding: Tensor | None,
        hints: Tensor | None,
        whole: Tensor | None,
        windows: Sequence[Window],
    ) -> dict[str, Any]:
        """What a pass is given besides (B, 3, H, W), as the network takes it."""
        options: dict[str, Any] = {} if embedding is None else {"embedding": embedding.to(rgb)}
        if hints is not None:
            options["hints"] = hints.to(rgb).expand(len(rgb), -1)
        if self.record.takes_whole and whole is not None:
            options["whole"] = whole.to(rgb).expand(len(rgb), -1, -1, -1)
            options["window"] = rgb.new_tensor([window.shares for window in windows])
        return options
