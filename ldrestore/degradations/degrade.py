"""Degrade whatever a user passes as a picture, and give back the same kind."""

from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ldrestore.degradations.recipes import apply_recipe, parse_recipe
from ldrestore.errors import InputError, ShapeError
from ldrestore.images.inputs import to_photo
from ldrestore.images.photo import Photo
from ldrestore.images.transparency import fill_hidden, restore_hidden


def degrade(image: Any, recipe: str, *, seed: int = 0, severity: float = 0.5) -> Any:
    """Apply a recipe to a picture.

    Args:
        image: A path; PIL; numpy (H, W[, C]) of uint8, uint16 or float in [0, 1]; torch (C, H, W) or (B, C, H, W) in
            [0, 1]; or a `Photo`. Alpha is left as it is, and so are colours
            under alpha 0, which change nothing that is seen; a grey picture is degraded in three channels and averaged.
        recipe: `name(key=value, ...)+name+...` or the name of a mixture; see `ldrestore.degradations.recipes`.
        seed: Start of all random numbers; the pictures of a batch take seed, seed + 1, and so on.
        severity: In [0, 1], for every step that does not set its own; 0 is almost nothing, 1 very strong.

    Returns:
        The same kind and size, and the same depth, integers rounded to nearest. A path gives PIL; PIL comes back in its
        own mode where that can hold the result, otherwise as RGB (a palette) or grey (one bit).

    Raises:
        InputError: the recipe, the severity, the seed or the picture is wrong.
        ImageFileError: a path cannot be read.
    """
    steps = parse_recipe(recipe)
    if not isinstance(seed, Integral):
        raise InputError(f"seed must be a whole number, got {seed!r}")
    if seed < 0:
        raise InputError(f"seed must not be negative, got {seed}")
    if getattr(image, "ndim", None) == 4:
        if not len(image):
            raise ShapeError(f"expected a batch of at least one picture, got shape {tuple(image.shape)}")
        degraded = [degrade(one, recipe, seed=seed + index, severity=severity) for index, one in enumerate(image)]
        return np.stack(degraded) if isinstance(image, np.ndarray) else _torch_stack(degraded)
    photo = to_photo(image)
    gt = fill_hidden(photo).pixels.astype(np.float32) / np.float32(photo.max_value)
    gt = np.repeat(gt, 3, axis=2) if photo.num_channels == 1 else gt
    lq = apply_recipe(gt, steps, severity=severity, generator=np.random.default_rng(seed))
    lq = lq.mean(axis=2, keepdims=True) if photo.num_channels == 1 else lq
    if photo.pixels.dtype != np.float32:
        lq = np.rint(lq * photo.max_value).astype(photo.pixels.dtype)
    restore_hidden(lq, photo)
    return _as_given(photo.replace(pixels=lq, alpha=photo.alpha), image)


def _as_given(photo: Photo, image: Any) -> Any:
    """A photo as the kind of thing that the user passed."""
    if isinstance(image, Photo):
        return photo
    if isinstance(image, (str, Path)):
        return photo.to_pil()
    if isinstance(image, Image.Image):
        return _pil_in_mode(photo, image.mode)
    values = photo.pixels if photo.alpha is None else np.concatenate([photo.pixels, photo.alpha[..., None]], axis=2)
    if isinstance(image, np.ndarray):
        return values.reshape(image.shape).astype(image.dtype)
    import torch  # only for those who pass tensors

    return torch.from_numpy(np.ascontiguousarray(values.transpose(2, 0, 1))).to(image)


def _pil_in_mode(photo: Photo, mode: str) -> Image.Image:
    """A photo as PIL in the mode that the user passed, where that loses nothing more than the mode itself."""
    if mode.startswith("I;16"):
        return Image.fromarray(photo.pixels[..., 0].astype(np.uint16))
    return photo.to_pil().convert("CMYK") if mode == "CMYK" else photo.to_pil()


def _torch_stack(tensors: list[Any]) -> Any:
    """Tensors (C, H, W) as a batch (B, C, H, W)."""
    import torch  # only for those who pass tensors

    return torch.stack(tensors)
