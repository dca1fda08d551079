"""What a user wants done, in words: the task prompts of UniLDiff's optional text."""

from collections.abc import Iterable

from ldrestore.errors import UnknownNameError

TASK_PROMPTS = {
    "haze": "remove the haze",
    "snow": "remove the snow",
    "gaussian_noise": "remove the noise",
    "rain": "remove the rain",
    "motion_blur": "remove the motion blur",
    "defocus_blur": "bring the picture into focus",
    "real_noise": "remove the camera noise",
    "raindrop": "remove the raindrops on the lens",
    "low_light": "brighten the dark picture",
    "jpeg": "remove the compression artefacts",
    "downscale": "make the picture sharp and detailed",
    "poisson_noise": "remove the shot noise",
    "gaussian_blur": "remove the blur",
}
"""Name of a degradation to what is asked for."""


def task_prompt(degradations: Iterable[str]) -> str:
    """One sentence for degradations, in their order; empty for none.

    Raises:
        UnknownNameError: a degradation has no task prompt.
    """
    tasks = []
    for name in degradations:
        if name not in TASK_PROMPTS:
            raise UnknownNameError("degradation with a task prompt", name, TASK_PROMPTS)
        tasks.append(TASK_PROMPTS[name])
    return ", and ".join(tasks)
