"""One map of a picture computed tile by tile, every tile with the statistics of the whole."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ldrestore.errors import InputError
from ldrestore.structures import TilePlan
from ldrestore.tiling.blending import blend_tiles, tile_places
from ldrestore.tiling.picture_views import crop_windows
from ldrestore.tiling.shared_statistics import Statistics, measured_statistics, shared_statistics
from ldrestore.tiling.tally import Tally

MOST_ROUNDS = 5
"""Times that the tiles of a map are computed, at most, until they have the statistics of the whole."""

SMALL_DIFFERENCE = 0.06
"""What tiles may measure otherwise than the statistics they were computed with: a level of 8 bits, or less."""

Place = tuple[slice, slice]
"""Rows and columns of a map, in cells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutMap:
    """How a map is cut, in cells: latents, of so many pixels a side."""

    height: int
    """Rows of the map."""
    width: int
    """Its columns."""
    tile: int
    """Side of a tile; 0 for the whole at once."""
    overlap: int
    """Cells that neighbours share at least."""
    look: int
    """Side of a square of as many cells as are looked at before the tiles."""
    crop: int
    """Side of the crops that are looked at of a larger map."""
    multiple: int
    """Tiles and crops start at multiples of this: what a network halves, or cuts into windows, then lies as it does in
    the whole."""

    @classmethod
    def of_plan(cls, plan: TilePlan, *, height: int, width: int, factor: int, multiple: int = 1) -> "CutMap":
        """The cut of a plan.

        Args:
            plan: In pixels.
            height: Rows of the map, in cells.
            width: Its columns.
            factor: Pixels along a cell's side.
            multiple: See the class.

        Raises:
            InputError: a cell would be cut.
        """
        if plan.tile % factor:
            raise InputError(f"tiles must be multiples of {factor} pixels for this autoencoder, got {plan.tile}")
        return cls(
            height=height,
            width=width,
            tile=plan.tile // factor,
            overlap=-(-plan.overlap // factor),
            look=plan.look // factor,
            crop=_crop_side(plan.look) // factor,
            multiple=multiple,
        )

    @property
    def is_whole(self) -> bool:
        """Whether there is but one tile."""
        return not self.tile or self.tile >= max(self.height, self.width)

    def compute(
        self, compute: Callable[[Sequence[Place]], Tensor], networks: Mapping[str, nn.Module], *, scale: int = 1
    ) -> Tensor:
        """The map tile by tile, with statistics of the whole; at once where it is one tile.

        A map of no more cells than may be looked at is measured as it is. Of a larger one, crops are. But crops miss a
        lamp, or have too much of it, which makes the result up to ten levels brighter or darker than the whole's. So
        the tiles, computed with what the crops gave, tell what the whole has more than the crops; the crops are
        measured once more with that added, see `Tally.differences`, and the tiles computed anew, until nothing new is
        told. A dark picture of a megapixel was five levels too bright after two rounds, and one after three.

        Args:
            compute: Places of one size to (B, C, h * scale, w * scale), one part of the map a place.
            networks: By name; what they measure is shared.
            scale: Pixels of the result along a cell's side.

        Returns:
            (1, C, H * scale, W * scale).
        """
        if self.is_whole:
            return compute([(slice(0, self.height), slice(0, self.width))])
        crops, layout = self._crops()
        with measured_statistics(networks, layout=layout) as statistics:
            compute(crops)
        if crops == [(slice(0, self.height), slice(0, self.width))]:
            return self._in_tiles(compute, networks, statistics, scale=scale)
        differences = None
        for _ in range(MOST_ROUNDS):
            tally = Tally()
            result = self._in_tiles(compute, networks, statistics, scale=scale, tally=tally)
            differences = tally.differences(statistics, earlier=differences)
            if differences.largest <= SMALL_DIFFERENCE:
                break
            with measured_statistics(networks, layout=layout, differences=differences.values) as statistics:
                compute(crops)
        return result

    def _crops(self) -> tuple[list[Place], tuple[int, int]]:
        """What is looked at before the tiles, and its rows and columns; all where no more cells may be looked at.

        Not a collage of small pieces, each of which would have edges of its own, that a smooth sky has not.
        """
        num_crops = (self.look // self.crop) ** 2
        windows, layout = crop_windows(
            self.height, self.width, side=self.look, crop=self.crop, num_crops=num_crops, multiple=self.multiple
        )
        return [(window.rows, window.columns) for window in windows], layout

    def _in_tiles(
        self,
        compute: Callable[[Sequence[Place]], Tensor],
        networks: Mapping[str, nn.Module],
        statistics: Statistics,
        *,
        scale: int,
        tally: Tally | None = None,
    ) -> Tensor:
        """All tiles with the same statistics, blended; the tally keeps what they would have measured."""
        size = (self.height, self.width)
        places = tile_places(size=size, tile=self.tile, overlap=self.overlap, multiple=self.multiple)
        cores = {(rows.start, columns.start): core for (rows, columns), core in places}

        def compute_alike(rows: slice, columns: slice) -> Tensor:
            if tally is not None:
                sides = (rows.stop - rows.start, columns.stop - columns.start)
                tally.take(cores[rows.start, columns.start], size=sides)
            with shared_statistics(networks, statistics, tally=tally):
                return compute([(rows, columns)])

        return blend_tiles(
            compute_alike, size=size, tile=self.tile, overlap=self.overlap, scale=scale, multiple=self.multiple
        )


def _crop_side(side: int) -> int:
    """Side of a native crop in pixels, where a square of a side's pixels is shown natively; large ones show more."""
    return next(crop for crop in (512, 256, 128) if side >= 2 * crop or crop == 128)
