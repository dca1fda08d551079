"""One picture of a track that samples, drawn as a call asks for it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from ldrestore.images.photo import Photo
from ldrestore.images.transparency import fill_hidden
from ldrestore.options import SamplingOptions
from ldrestore.records import hash_of_pixels
from ldrestore.sampling.denoising import denoise, set_timesteps, starting_latents
from ldrestore.sampling.picture_noise import draw_noise, generator_of, run_seed_of
from ldrestore.structures import TilePlan
from ldrestore.systems.finite_numbers import check_finite
from ldrestore.systems.sampled_system import SampledSystem
from ldrestore.tiling.orientations import NUM_ORIENTATIONS, UPRIGHT, Orientation, mean_over_orientations
from ldrestore.tiling.planning import DEFAULT_OVERLAP, PREDICTION_LADDER
from ldrestore.tiling.retries import with_smaller_tiles

_Conditioning = TypeVar("_Conditioning")

_Result = TypeVar("_Result")
_Options = TypeVar("_Options", bound=SamplingOptions)


def with_steps(options: _Options, steps: int) -> _Options:
    """Options with a number of steps, where the call gives none.

    Args:
        options: Of the call.
        steps: Those of the model.
    """
    return options if options.num_inference_steps is not None else replace(options, num_inference_steps=steps)


def timesteps_of(options: SamplingOptions, scheduler: Any, *, device: torch.device) -> Tensor:
    """The timesteps that a picture goes through.

    Args:
        options: Of the call, see `with_steps`.
        scheduler: Forgets an earlier run.
        device: Where the timesteps lie.

    Raises:
        InputError: steps or strength out of range.
    """
    return set_timesteps(
        scheduler, num_inference_steps=options.num_inference_steps, strength=options.strength, device=device
    )


def visible_content(photo: Photo) -> str:
    """Hash of what is seen of a picture: colours under full transparency do not change the noise."""
    visible = fill_hidden(photo)
    return hash_of_pixels(visible.pixels, visible.alpha)


class StagePlans:
    """The tiles of the stages of one picture: where memory runs out, the stage that ran out goes on with smaller ones.

    The U-Net's prediction of one step, the encoder and the decoder are each repeated by themselves.
    """

    def __init__(self, plan: TilePlan, *, height: int, width: int) -> None:
        """Begin with the same tiles in all stages.

        Args:
            plan: Of the picture.
            height: Rows of the picture.
            width: Its columns.
        """
        self.plan = self.prediction = self.autoencoder = plan
        if plan.unet_tile is not None:
            side = plan.unet_tile or PREDICTION_LADDER[0]
            self.prediction = replace(plan, tile=plan.unet_tile, overlap=DEFAULT_OVERLAP, look=side)
        self._size = {"height": height, "width": width}

    def predict(self, compute: Callable[[TilePlan], _Result]) -> _Result:
        """Run a pass of the U-Net; later ones keep the tiles that memory allowed.

        Args:
            compute: Starts anew at each call.
        """
        result, self.prediction = with_smaller_tiles(compute, self.prediction, **self._size)
        return result

    def autoencode(self, compute: Callable[[TilePlan], _Result]) -> _Result:
        """Run the encoder or the decoder; later passes keep the tiles that memory allowed.

        Args:
            compute: Starts anew at each call.
        """
        result, self.autoencoder = with_smaller_tiles(compute, self.autoencoder, **self._size)
        return result

    @property
    def summary(self) -> TilePlan:
        """The plan of the picture, with the tiles of stages that took others, and all steps down."""
        plan, prediction, autoencoder = self.plan, self.prediction, self.autoencoder
        return replace(
            plan,
            unet_tile=plan.unet_tile if prediction.steps_down == plan.steps_down else prediction.tile,
            decoder_tile=None if autoencoder.steps_down == plan.steps_down else autoencoder.tile,
            steps_down=prediction.steps_down + autoencoder.steps_down - plan.steps_down,
        )


def draw(
    lq: Tensor,
    conditioning: _Conditioning,
    *,
    system: SampledSystem[_Conditioning, Any],
    scheduler: Any,
    options: SamplingOptions,
    content: str,
    plans: StagePlans,
    progress_bar: Callable[..., Any],
    on_step_end: Callable[[int, Tensor, Tensor], Tensor] | None,
) -> Tensor:
    """One sample, or the mean of eight, each of its own noise; the same each time.

    Args:
        lq: (1, 3, H, W), float32 in [0, 1]; H and W are multiples of the autoencoder's factor.
        conditioning: Of the picture.
        system: What it goes through.
        scheduler: Any of diffusers'.
        options: Of the call, its seed drawn already.
        content: Hash of the picture, of which its seed is made.
        plans: Tiles of the stages.
        progress_bar: Makes a bar of `total` ticks, one a step.
        on_step_end: Number of the step, timestep and latents to the latents to go on with.

    Returns:
        (1, 3, H, W), float32, about [0, 1], not clipped.

    Raises:
        UndefinedNumbersError: a model gives infinite or undefined numbers.
        OutOfMemoryError: a stage needs more memory than there is with the smallest tiles.
    """
    num_passes = NUM_ORIENTATIONS if options.self_ensemble else 1
    generator = generator_of(run_seed_of(options.seed, None), content)
    num_steps = len(timesteps_of(options, scheduler, device=lq.device))
    with progress_bar(total=num_passes * num_steps) as bar:

        def finish_step(index: int, timestep: Tensor, latents: Tensor) -> Tensor:
            bar.update()
            return latents if on_step_end is None else on_step_end(index, timestep, latents)

        def restore(turned: Tensor, _orientation: Orientation = UPRIGHT) -> Tensor:
            begun = plans.autoencode(lambda plan: system.begin_picture(turned, conditioning, plan=plan))

            def predict(latents: Tensor, timestep: Tensor) -> Tensor:
                return plans.predict(lambda plan: system.predict_tiled(latents, timestep, plan, begun=begun))

            timesteps = timesteps_of(options, scheduler, device=lq.device)
            start = starting_latents(
                scheduler,
                lq_latents=begun.lq_latents,
                noise=draw_noise(begun.lq_latents, generator=generator),
                timesteps=timesteps,
                strength=options.strength,
                begins_from_lq=system.begins_from_lq,
            )
            latents = denoise(
                start,
                timesteps,
                scheduler=scheduler,
                predict=predict,
                generator=generator,
                on_step_end=finish_step,
            )
            latents = check_finite(latents, of="the denoised latents")
            return plans.autoencode(lambda plan: system.decode(latents, turned, conditioning, plan=plan))

        return mean_over_orientations(restore, lq) if options.self_ensemble else restore(lq)
