import weakref

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

from ldrestore.images.color import adain_color_fix, wavelet_color_fix
from ldrestore.images.photo import Photo
from ldrestore.tiling.memory import MAP_BYTES, resident_bytes, tile_map_bytes, whole_map_bytes
from ldrestore.tiling.orientations import mean_over_orientations


def photo(height=10, width=20, *, alpha=False):
    return Photo(
        pixels=np.zeros((height, width, 3), np.uint8), alpha=np.zeros((height, width), np.uint8) if alpha else None
    )


def test_input_copy_and_output_are_counted_once_each():
    small = photo(alpha=True)
    assert resident_bytes(small, small) == 200 * 4 + 200 * 3
    assert resident_bytes(small, photo(20, 40, alpha=True)) == 200 * 4 + 800 * 4 + 800 * 3


class Live(TorchFunctionMode):
    """Counts the bytes of results that are alive at the same time."""

    def __init__(self):
        super().__init__()
        self.storages, self.most = {}, 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            storage = result.untyped_storage()
            self.storages[storage.data_ptr()] = (weakref.ref(result), storage.nbytes())
            self.most = max(self.most, sum(size for alive, size in self.storages.values() if alive() is not None))
        return result


def test_what_lives_beside_the_tiles_is_counted_in_full():
    """A fix and the self-ensemble hold five maps at most, the input among them."""
    lq, restored = torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128)
    pixels, large = 128 * 128, photo(128, 128)
    counted = whole_map_bytes(large, self_ensemble=True, has_colour_fix=False)
    assert counted == whole_map_bytes(large, self_ensemble=False, has_colour_fix=True) == 5 * MAP_BYTES * pixels
    for compute in (
        lambda: wavelet_color_fix(restored, lq),
        lambda: adain_color_fix(restored, lq),
    ):
        with Live() as live:
            compute()
        assert live.most + 2 * MAP_BYTES * pixels <= 1.25 * counted  # kernel borders of the small picture
    with Live() as live:
        mean_over_orientations(lambda turned, _orientation: turned * 1, lq)
    assert live.most + MAP_BYTES * pixels <= counted
    assert tile_map_bytes(self_ensemble=True) == 4 * MAP_BYTES and tile_map_bytes(self_ensemble=False) == 0
