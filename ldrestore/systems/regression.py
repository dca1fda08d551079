"""One regressor upon pictures: what it makes of the whole, and its one pass a tile with that in hand."""

import logging
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from diffusers import ModelMixin
from torch import Tensor

from ldrestore.errors import WeightsError
from ldrestore.images.padding import crop_to, pad_to_multiple
from ldrestore.regressors.factory import record_of
from ldrestore.regressors.onnx_regressor import OnnxRegressor
from ldrestore.structures import TilePlan
from ldrestore.systems.finite_numbers import HALF_TYPES, in_float32
from ldrestore.tiling.orientations import Orientation
from ldrestore.tiling.picture_views import PictureViews, Window, views_of
from ldrestore.tiling.planning import is_one_tile
from ldrestore.tiling.shared_statistics import Statistics, measured_statistics, shared_statistics

logger = logging.getLogger(__name__)


class LookingNetwork(Protocol):
    """A regressor with a way of its own to see the whole picture; its record says `looks`.

    `look` is called once a picture (once an orientation with the self-ensemble), tiled or not, under `torch.no_grad()`;
    what it gives goes unchanged to the passes of all tiles. `embedding` is given to networks that take one.
    """

    def look(self, reduced: Tensor, crops: Tensor, *, embedding: Tensor | None = None) -> Any:
        """What all tiles should know of the picture.

        Args:
            reduced: (1, 3, h, w) in [0, 1], see `PictureViews.reduced`.
            crops: (N, 3, P, Q) in [0, 1], see `PictureViews.crops`.
            embedding: (1, *embedding_shape).

        Returns:
            A tensor, or a frozen dataclass, tuple or mapping of tensors, on the network's device.
        """

    def forward(self, lq: Tensor, *, look: Any = None, window: Window | None = None) -> Tensor:
        """Restore a tile.

        Args:
            lq: (1, 3, h, w) in [0, 1], padded to the size multiple.
            look: What `look` gave; None, as in training, for what can be seen of lq alone.
            window: Where lq lies in the picture, its padding included; None for a whole picture.
        """


Look = Any
"""What a network knows of a whole picture: `Statistics` of a common network, its own of a `LookingNetwork`."""


class RegressionSystem:
    """The system of the fast track: `look` once a picture, `restore` once a tile."""

    def __init__(self, network: ModelMixin | OnnxRegressor) -> None:
        """Wrap a network.

        Args:
            network: Any regressor, or an exported one. An exported one has one graph, from lq to the restored tile: it
                cannot be told what the whole picture looks like, and each tile of a large picture decides for itself.
        """
        self.network = network
        self.record = record_of(network)

    @property
    def can_look(self) -> bool:
        """Whether tiles can be told what the whole picture looks like; an exported network's cannot."""
        return not isinstance(self.network, OnnxRegressor)

    def looks_at(
        self,
        pixels: np.ndarray,
        plan: TilePlan,
        *,
        orientations: tuple[Orientation, ...],
        device: torch.device,
        embedding: Tensor | None = None,
    ) -> dict[Orientation, Look]:
        """Look at a picture, in each orientation in which it is restored; for all tiles and for the untiled pass alike.

        Args:
            pixels: (H, W, C), of any type.
            plan: Says how many pixels are shown natively, and whether there are tiles.
            orientations: Those of the self-ensemble, or the upright one.
            device: Where the network computes.
            embedding: (1, *embedding_shape), what steers a network that takes embeddings.

        Returns:
            None for each where a pass that takes the whole picture sees all that there is to see.

        Raises:
            WeightsError: the network gives infinite or undefined numbers in float32 too.
        """
        height, width = pixels.shape[:2]
        is_seen_whole = is_one_tile(plan, height, width) and height * width <= plan.look**2
        if not self.can_look or (is_seen_whole and not self.record.looks):
            return dict.fromkeys(orientations)
        views = views_of(pixels, side=plan.look, multiple=self.record.size_multiple)
        return {
            orientation: self.look(
                views.turned(orientation.turns, is_flipped=orientation.is_flipped), device=device, embedding=embedding
            )
            for orientation in orientations
        }

    @torch.no_grad()
    def look(self, views: PictureViews, *, device: torch.device, embedding: Tensor | None = None) -> Look:
        """What the network makes of the views of a picture.

        A common network measures its `MapStatistic`s over all crops at once, in one pass.

        Args:
            views: Of the picture.
            device: Where the network computes.
            embedding: (1, *embedding_shape), what steers a network that takes embeddings.

        Raises:
            WeightsError: the network gives infinite or undefined numbers in float32 too.
        """
        compute = self._own_look if self.record.looks else self._measured
        look = compute(views, device, embedding)
        if _is_finite(look):
            return look
        if self.network.dtype in HALF_TYPES:
            logger.warning("%s overflowed; it looks again in float32", type(self.network).__name__)
            with in_float32([self.network]):
                look = compute(views, device, embedding)
        if not _is_finite(look):
            raise WeightsError(
                f"{type(self.network).__name__} sees infinite or undefined numbers in the picture; its weights are "
                "damaged"
            )
        return look

    def restore(
        self,
        lq: Tensor,
        *,
        device: torch.device,
        embedding: Tensor | None = None,
        look: Look = None,
        window: Window | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """One forward pass, padded by reflection; the residual is taken in the network's precision, added in float32.

        A grey picture goes in as three equal channels, and the mean of the three residuals is its own.

        Args:
            lq: (1, C, h, w), C 1 or 3, float32 in [0, 1].
            device: Where the network computes.
            embedding: (1, *embedding_shape), what steers a network that takes embeddings; None leaves it out.
            look: What the network knows of the picture; None for what it sees in lq.
            window: Where lq lies in the picture; None for the whole.

        Returns:
            (1, C, h, w), float32 where `lq` is, not clamped; and the probabilities (N,), float32 on the CPU, of the
            degradations of networks that estimate them, None from others.

        Raises:
            WeightsError: the network gives infinite or undefined pixels in float32 too.
            StatisticsError: the tile takes another way through the network than the picture did.
        """
        network, (num_channels, height, width) = self.network, lq.shape[1:]
        rgb = pad_to_multiple(lq, network.size_multiple).expand(-1, 3, -1, -1).to(device)  # (1, 3, H, W)
        rgb = rgb.contiguous(memory_format=torch.channels_last)  # convolutions and channel norms are faster so
        dtype, knowledge = network.dtype, {"embedding": embedding, "look": look, "window": window}
        residual, logits = self._residual(rgb.to(dtype), **knowledge)
        if dtype in HALF_TYPES and not residual.isfinite().all():
            logger.warning("%s overflowed in %s; this tile is computed again in float32", type(network).__name__, dtype)
            with in_float32([network]):
                residual, logits = self._residual(rgb, **knowledge)
        if not residual.isfinite().all():
            raise WeightsError(
                f"{type(network).__name__} gives infinite or undefined pixels in {dtype}; its weights are damaged"
            )
        if num_channels == 1:
            residual = residual.mean(dim=1, keepdim=True)
        probabilities = None if logits is None else logits[0].float().sigmoid().cpu()
        return lq + crop_to(residual, height, width).to(lq.device), probabilities

    def _residual(
        self, rgb: Tensor, *, embedding: Tensor | None, look: Look, window: Window | None
    ) -> tuple[Tensor, Tensor | None]:
        """What the network changes, (1, 3, H, W) in its own type to float32, and its logits, if it estimates."""
        options: dict[str, Any] = {} if embedding is None else {"embedding": embedding.to(rgb)}
        if self.record.gives_estimate:
            options["return_estimate"] = True
        if look is None:
            output = self.network(rgb, **options)
        elif self.record.looks:
            place = None if window is None else window.padded(*rgb.shape[-2:])
            output = self.network(rgb, look=look, window=place, **options)
        else:
            with shared_statistics({"": self.network}, look):
                output = self.network(rgb, **options)
        restored, logits = output if self.record.gives_estimate else (output, None)
        return restored.float() - rgb.float(), logits

    def _own_look(self, views: PictureViews, device: torch.device, embedding: Tensor | None) -> Look:
        """What a `LookingNetwork` sees."""
        options = {} if embedding is None else {"embedding": embedding.to(device, self.network.dtype)}
        reduced, crops = (view.to(device, self.network.dtype) for view in (views.reduced, views.crops))
        return self.network.look(reduced, crops, **options)

    def _measured(self, views: PictureViews, device: torch.device, embedding: Tensor | None) -> Statistics:
        """What the modules of a common network measure."""
        options = {} if embedding is None else {"embedding": embedding.to(device, self.network.dtype)}
        crops = pad_to_multiple(views.crops, self.network.size_multiple).to(device, self.network.dtype)
        with measured_statistics({"": self.network}, layout=views.layout) as statistics:
            self.network(crops.contiguous(memory_format=torch.channels_last), **options)
        return statistics


def _is_finite(look: Look) -> bool:
    """Whether all tensors of a look, as deep as they lie, are finite."""
    if isinstance(look, Tensor):
        return bool(look.isfinite().all())
    if isinstance(look, Mapping):
        return all(map(_is_finite, look.values()))
    if isinstance(look, (tuple, list)):
        return all(map(_is_finite, look))
    return all(map(_is_finite, vars(look).values())) if hasattr(look, "__dict__") else True
