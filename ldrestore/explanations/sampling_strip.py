"""A picture on its way through the sampling: what the model takes it for at several steps, and how it is decoded."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from torch import Tensor, nn

from ldrestore.images.photo import Photo
from ldrestore.pipelines.one_call import one_call
from ldrestore.refiners.refined_decoder import downsampling_of
from ldrestore.sampling.clean_estimate import clean_latents
from ldrestore.structures import TilePlan
from ldrestore.systems.finite_numbers import again_in_float32
from ldrestore.systems.sampled_pictures import lq_of, to_pixels
from ldrestore.systems.sampled_system import decode_unrefined
from ldrestore.systems.unildiff import guided_prediction

NUM_ESTIMATES = 5
"""So many steps are shown at most: the first, the last, and others evenly between."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CleanEstimate:
    """What the model takes the picture for at one step: x_0 as far as it can be told, decoded without the refiner."""

    step: int
    """Counted from 1."""
    timestep: float
    """In training steps, the noisiest first."""
    picture: Photo


@dataclass(slots=True)
class SamplingWatch:
    """What happens on the way, step by step."""

    scheduler: Any
    guidance_scale: float = 1.0
    """Of the call: where it is not 1, each step has a pass without texts and one with them."""
    timesteps: list[float] = field(default_factory=list)
    estimates: list[Tensor | None] = field(default_factory=list)
    """(1, 4, h, w), x_0 at each step; None where the picture was taken in tiles, and no pass saw it whole."""
    latents: Tensor | None = None
    """(1, 4, h, w), after the last step so far."""
    _passes: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def on_pass(self, _unet: nn.Module, inputs: tuple[Any, ...], outputs: tuple[Tensor, ...]) -> None:
        """A hook of the U-Net: keep what it saw and what it said, until the step ends."""
        self._passes.append((inputs[0], outputs[0]))

    def on_step_end(
        self, _pipeline: DiffusionPipeline, index: int, timestep: Tensor, tensors: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """A callback of the pipeline, which changes nothing."""
        if index == 0:  # the first try too, where a picture is taken once more in float32 or in smaller tiles
            self.timesteps, self.estimates = [], []
        self.latents = tensors["latents"]
        is_whole = len(self._passes) == (1 if self.guidance_scale == 1 else 2)
        clean = None
        if is_whole and all(given.shape == self.latents.shape for given, _ in self._passes):
            output = guided_prediction([output for _, output in self._passes], self.guidance_scale)
            clean = clean_latents(self._passes[0][0], output, timestep, scheduler=self.scheduler)
        self.timesteps.append(float(timestep))
        self.estimates.append(clean)
        self._passes = []
        return tensors


@contextmanager
def watched_sampling(pipeline: DiffusionPipeline, *, guidance_scale: float = 1.0) -> Iterator[SamplingWatch]:
    """Watch the U-Net while pictures are restored; hand `watch.on_step_end` to the pipeline's call.

    Args:
        pipeline: The model, which is left as it was found.
        guidance_scale: Of the call.
    """
    watch = SamplingWatch(pipeline.components["scheduler"], guidance_scale)
    hook = pipeline.components["unet"].register_forward_hook(watch.on_pass)
    try:
        yield watch
    finally:
        hook.remove()


def shown_steps(num_steps: int) -> list[int]:
    """The steps that are shown, counted from 0: `NUM_ESTIMATES` of them, or all where there are fewer."""
    return sorted({round(float(place)) for place in np.linspace(0, num_steps - 1, min(NUM_ESTIMATES, num_steps))})


def decode_estimates(
    pipeline: DiffusionPipeline, watch: SamplingWatch, picture: Photo, *, plan: TilePlan
) -> list[CleanEstimate]:
    """The estimates of the steps that are shown, as pictures; none where the picture was taken in tiles.

    Args:
        pipeline: Whose autoencoder decodes.
        watch: Of one picture's sampling.
        picture: The input.
        plan: The tiles that it was restored in.
    """
    shown = [(step, watch.estimates[step]) for step in shown_steps(len(watch.estimates))]
    present = [(step, latents) for step, latents in shown if latents is not None]
    pictures = decode_plainly(pipeline, [latents for _, latents in present], picture, plan=plan)
    return [
        CleanEstimate(step=step + 1, timestep=watch.timesteps[step], picture=decoded)
        for (step, _), decoded in zip(present, pictures, strict=True)
    ]


@torch.no_grad()
def decode_plainly(
    pipeline: DiffusionPipeline, latents: Sequence[Tensor], picture: Photo, *, plan: TilePlan
) -> list[Photo]:
    """Latents as the autoencoder alone decodes them, without the refiner.

    Args:
        pipeline: Whose autoencoder decodes.
        latents: Any number of (1, 4, h, w).
        picture: The input, of whose size, depth and channels the results are.
        plan: The tiles.

    Raises:
        UndefinedNumbersError: the decoder gives infinite or undefined numbers in float32 too.
    """
    vae = pipeline.components["vae"]
    lq = lq_of(picture.pixels, multiple=downsampling_of(vae), device=pipeline._execution_device)
    pictures = []
    with one_call(pipeline):
        for one in latents:
            decoded = again_in_float32(partial(decode_unrefined, vae, one, lq, plan=plan), [vae])
            pixels = to_pixels(decoded, lq, picture.pixels, fidelity=0.0, colour_fix="off")
            pictures.append(picture.replace(pixels=pixels, alpha=picture.alpha))
    return pictures
