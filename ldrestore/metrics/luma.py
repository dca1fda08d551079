r"""Luma of RGB pictures after ITU-R BT.601 (https://www.itu.int/rec/R-REC-BT.601), in its two ranges.

Published figures of "the Y channel" come in both, 1.32 dB apart:

- limited, as MATLAB's `rgb2ycbcr` and BasicSR: Y = 16 + 65.481 R + 128.553 G + 24.966 B, with R, G, B in [0, 1];
- full, as OpenCV and JPEG: Y = 255 (0.299 R + 0.587 G + 0.114 B).
"""

from typing import Literal

import numpy as np

from ldrestore.errors import ShapeError

LumaRange = Literal["limited", "full"]

_LIMITED = np.array([65.481, 128.553, 24.966]) / 255
_FULL = np.array([0.299, 0.587, 0.114])


def luma_of(picture: np.ndarray, luma_range: LumaRange) -> np.ndarray:
    """The luma of a picture, not rounded.

    Args:
        picture: (H, W, 3), R'G'B' on a scale of 255.
        luma_range: "limited" gives [16, 235], "full" [0, 255].

    Returns:
        (H, W, 1) float64.

    Raises:
        ShapeError: the picture has not three channels.
    """
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise ShapeError(f"luma is of (H, W, 3), got {picture.shape}; repeat a grey channel three times")
    if luma_range == "limited":
        return picture @ _LIMITED[:, None] + 16.0
    return picture @ _FULL[:, None]
