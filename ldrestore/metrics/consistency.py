r"""Consistency of an enlarged picture with its input: does it still show what the input showed?

The result is shrunk to the input's size, bicubic (a = -1/2) with a kernel as wide as the factor, as MATLAB's imresize
does, and not rounded; the value is the PSNR between the two. That is the LR-PSNR of the NTIRE 2021 challenge on the
super-resolution space (Lugmayr et al., CVPR Workshops 2021). At scale 1 it is the PSNR between result and input.
"""

from dataclasses import replace

import numpy as np
import torch
from torch.nn.functional import interpolate

from ldrestore.errors import ShapeError
from ldrestore.images.photo import Photo
from ldrestore.metrics.compared_pictures import ComparedPictures, bring_together_values
from ldrestore.metrics.measures import Measure, MetricOptions, open_psnr
from ldrestore.metrics.protocols import Protocol


def open_consistency(options: MetricOptions) -> Measure:
    """PSNR in the protocol's colour of what `beside_input` gives."""
    return open_psnr(options)


def beside_input(result: Photo, lq: Photo, protocol: Protocol) -> ComparedPictures:
    """The result, shrunk to the size of its input, beside the input.

    Args:
        result: At least as large as the input.
        lq: What the result was made of.
        protocol: Says the colour; borders, multiples and rounding are those of finished pictures, and left out.

    Raises:
        ShapeError: the result is smaller, or one is grey and the other has colours.
    """
    if result.height < lq.height or result.width < lq.width:
        raise ShapeError(
            f"the result has {result.width}x{result.height} pixels and the input {lq.width}x{lq.height}; consistency "
            "is of pictures that are as large as their input or larger"
        )
    whole = replace(protocol, border=0, multiple=1, rounding="none", luma_rounding="none")
    pictures = bring_together_values(result, lq, whole)
    return ComparedPictures(shrunk(pictures[0], lq.height, lq.width), pictures[1], whole)


def shrunk(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """(H, W, C) float64 to (height, width, C), bicubic, each value weighed over the whole factor."""
    if picture.shape[:2] == (height, width):
        return picture
    values = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))
    small = interpolate(values, size=(height, width), mode="bicubic", antialias=True)
    return small[0].numpy().transpose(1, 2, 0)
