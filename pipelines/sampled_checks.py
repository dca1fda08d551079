"""What a loaded model of a track that samples refuses before a picture is looked at; a function a track."""

from ldrestore.estimators.given_degradations import given_estimate
from ldrestore.options import StableRestoreOptions, XLRestoreOptions
from ldrestore.pipelines.given_texts import read_texts
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline
from ldrestore.systems.picture_sampling import timesteps_of, with_steps


def checked_stable_options(pipeline: StableRestorePipeline, options: StableRestoreOptions) -> StableRestoreOptions:
    """Options of the stable track.

    Raises:
        UnknownNameError: the model does not know a degradation.
        InputError: the weights do not sum to 1, or there are more steps than it was trained with.
    """
    if options.degradations is not None and not isinstance(options.degradations, (list, tuple)):
        given_estimate(options.degradations, pipeline.predictor.names)
    timesteps_of(with_steps(options, pipeline.config["steps"]), pipeline.scheduler, device=pipeline.device)
    return options


def checked_xl_options(pipeline: XLRestorePipeline, options: XLRestoreOptions) -> XLRestoreOptions:
    """Options of the XL track.

    Raises:
        UnknownNameError: a degradation has no task prompt.
        InputError: the weights do not sum to 1, two options say what to do, or there are more steps than it was trained
            with.
    """
    if not any(isinstance(one, (list, tuple)) for one in (options.instruction, options.prompt, options.degradations)):
        read_texts(options, num_pictures=1)
    timesteps_of(with_steps(options, pipeline.config["steps"]), pipeline.scheduler, device=pipeline.device)
    return options
