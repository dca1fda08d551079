"""What a call of the stable track asks for, and one picture drawn accordingly."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ldrestore.errors import UnknownNameError
from ldrestore.pipelines.call_options import check_options
from ldrestore.pipelines.latent_restoration import COLOUR_FIXES, ColourFix, LatentModels, Sampling, restore_latently
from ldrestore.sampling.denoising import set_timesteps
from ldrestore.sampling.picture_noise import generator_of
from ldrestore.structures import Conditioning, TilePlan
from ldrestore.tiling.orientations import NUM_ORIENTATIONS, UPRIGHT, Orientation, mean_over_orientations


@dataclass(frozen=True, slots=True, kw_only=True)
class StableOptions:
    """What a call asks for, for all its pictures; see `StableRestorePipeline.__call__`."""

    num_inference_steps: int
    """Steps of the whole schedule."""
    strength: float
    """Which part of it is gone through, in [0, 1]."""
    seed: int
    """Of the run."""
    refine: bool
    """Whether the decoder is refined; False where the model cannot."""
    scale: int
    """Enlargement before restoring."""
    fidelity: float
    """In [0, 1]; 1 is the input."""
    self_ensemble: bool
    """Whether eight orientations are averaged."""
    colour_fix: ColourFix
    """Tones that are taken from the input."""

    def __post_init__(self) -> None:
        """Check ranges; those of steps and strength hang on the scheduler."""
        check_options(scale=self.scale, fidelity=self.fidelity)
        if self.colour_fix not in COLOUR_FIXES:
            raise UnknownNameError("colour_fix", str(self.colour_fix), COLOUR_FIXES)

    def timesteps(self, scheduler: Any, *, device: torch.device) -> Tensor:
        """Those that a picture goes through.

        Args:
            scheduler: Forgets an earlier run.
            device: Where the timesteps lie.

        Raises:
            InputError: steps or strength out of range.
        """
        return set_timesteps(
            scheduler, num_inference_steps=self.num_inference_steps, strength=self.strength, device=device
        )


def draw(
    lq: Tensor,
    conditioning: Conditioning,
    *,
    models: LatentModels,
    options: StableOptions,
    content: str,
    plan: TilePlan,
    progress_bar: Callable[..., Any],
    on_step_end: Callable[[int, Tensor, Tensor], Tensor] | None,
) -> Tensor:
    """One sample, or the mean of eight, each of its own noise; the same each time.

    Args:
        lq: (1, 3, H, W), float32 in [0, 1]; H and W are multiples of the autoencoder's factor.
        conditioning: Of the picture.
        models: What it goes through.
        options: Of the call.
        content: Hash of the picture, of which its seed is made.
        plan: Tiles of all stages.
        progress_bar: Makes a bar of `total` ticks, one a step.
        on_step_end: Number of the step, timestep and latents to the latents to go on with.

    Returns:
        (1, 3, H, W), float32, about [0, 1], not clipped.

    Raises:
        UndefinedNumbersError: a model gives infinite or undefined numbers.
    """
    num_passes = NUM_ORIENTATIONS if options.self_ensemble else 1
    num_steps = len(options.timesteps(models.scheduler, device=lq.device))
    with progress_bar(total=num_passes * num_steps) as bar:

        def finish_step(index: int, timestep: Tensor, latents: Tensor) -> Tensor:
            bar.update()
            return latents if on_step_end is None else on_step_end(index, timestep, latents)

        sampling = Sampling(
            num_inference_steps=options.num_inference_steps,
            strength=options.strength,
            generator=generator_of(options.seed, content),
            on_step_end=finish_step,
        )

        def restore(turned: Tensor, _orientation: Orientation = UPRIGHT) -> Tensor:
            return restore_latently(turned, conditioning, models=models, sampling=sampling, plan=plan)

        return mean_over_orientations(restore, lq) if options.self_ensemble else restore(lq)
