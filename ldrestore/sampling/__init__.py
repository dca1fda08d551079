"""From noise to denoised latents: timesteps, the noise of a picture, and the one loop."""

from ldrestore.sampling.clean_estimate import alpha_bar_at, clean_latents
from ldrestore.sampling.denoising import denoise, prediction_type_of, set_timesteps, starting_latents
from ldrestore.sampling.picture_noise import draw_noise, generator_of, run_seed_of

__all__ = [
    "alpha_bar_at",
    "clean_latents",
    "denoise",
    "draw_noise",
    "generator_of",
    "prediction_type_of",
    "run_seed_of",
    "set_timesteps",
    "starting_latents",
]
