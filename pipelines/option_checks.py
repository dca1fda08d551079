"""What is refused before a picture is read, and would be refused at each; a function a track."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ldrestore.errors import InputError
from ldrestore.guides.embedding_cache import load_embedding_cache, picture_key
from ldrestore.guides.sentence_encoder import SentenceEncoder
from ldrestore.images.photo import Photo
from ldrestore.options import FastRestoreOptions
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import embedding_shape_of
from ldrestore.regressors.instruction_encoder import load_encoder_of
from ldrestore.regressors.instruction_head import InstructionHead
from ldrestore.systems.regression_steering import why_no_instruction


def checked_fast_options(pipeline: FastRestorePipeline, options: FastRestoreOptions) -> FastRestoreOptions:
    """Options of the fast track; the path of a cache of embeddings becomes a function of a photo.

    Raises:
        InputError: the model does not take one, an instruction cannot be understood, or the cache is another guide's.
        EmbeddingCacheError: there is no cache, or it is damaged.
        WeightsError: the encoder of instructions cannot be had.
    """
    if options.degradations is not None:
        pipeline.check_degradations(options.degradations)
    if options.instruction is not None:
        pipeline.understand(options.instruction)
    if isinstance(options.embedding, (str, Path)):
        return replace(options, embedding=embedding_of_cache(pipeline, Path(options.embedding)))
    return options


def instruction_reader_of(pipeline: FastRestorePipeline) -> tuple[SentenceEncoder, InstructionHead]:
    """What reads the instructions of a model.

    Raises:
        InputError: the model takes none.
        WeightsError: the encoder cannot be had, or is another one.
        MissingExtraError: it comes with a package that is not installed.
    """
    if pipeline.instruction_head is None:
        raise InputError(why_no_instruction(pipeline.regressor))
    return load_encoder_of(pipeline.instruction_head), pipeline.instruction_head


def embedding_of_cache(pipeline: FastRestorePipeline, path: Path) -> Callable[[Photo], Any]:
    """What a cache holds of a photo.

    Raises:
        InputError: the model takes no embeddings, or those of another guide.
        EmbeddingCacheError: there is no cache, or it is damaged.
    """
    shape = embedding_shape_of(pipeline.regressor)
    if shape is None:
        raise InputError("--embeddings: this model takes none; leave the option out, or see `ldrestore info MODEL`")
    cache = load_embedding_cache(path, expected_shape=shape)
    return lambda photo: cache.get(picture_key(photo))
