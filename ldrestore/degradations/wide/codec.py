"""OpenCV's JPEG codec, for what is written and read again at once."""

from collections.abc import Sequence

import cv2
import numpy as np


def recoded(codes: np.ndarray, options: Sequence[int]) -> np.ndarray:
    """A picture written to JPEG and read again.

    Args:
        codes: (H, W, 3) uint8, BGR.
        options: Names and values for `cv2.imencode`, by turns.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    _, file = cv2.imencode(".jpg", codes, options)
    picture = cv2.imdecode(file, cv2.IMREAD_COLOR)
    assert picture is not None, "OpenCV reads what it has just written"
    return picture
