"""The discrete wavelet transform with Haar's wavelet (Haar 1910; Mallat 1989), one level."""

import torch
from torch import Tensor

from ldrestore.errors import ShapeError


def haar_transform(image: Tensor) -> Tensor:
    """Orthonormal transform of each channel by blocks of 2 x 2 pixels: it keeps the sum of squares.

    With the block a b / c d the sub-bands are LL = (a + b + c + d) / 2, LH = (a + b - c - d) / 2, HL =
    (a - b + c - d) / 2 and HH = (a - b - c + d) / 2: the first letter is the filter along a row, the second the one
    down a column, L for low and H for high.

    Args:
        image: (B, C, H, W), H and W even.

    Returns:
        (B, 4, C, H/2, W/2), in the order LL, LH, HL, HH.

    Raises:
        ShapeError: not four axes, or an odd side.
    """
    if image.ndim != 4 or image.shape[2] % 2 or image.shape[3] % 2:
        raise ShapeError(f"expected (B, C, H, W) with even H and W, got {tuple(image.shape)}; pad it first")
    halved = image * 0.5
    upper, lower = halved[:, :, 0::2], halved[:, :, 1::2]
    low, high = upper + lower, upper - lower  # down the columns, (B, C, H/2, W) each
    low_left, low_right, high_left, high_right = low[..., 0::2], low[..., 1::2], high[..., 0::2], high[..., 1::2]
    bands = (low_left + low_right, high_left + high_right, low_left - low_right, high_left - high_right)
    return torch.stack(bands, dim=1)
