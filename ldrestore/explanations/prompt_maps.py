"""How a model of the stable track tells degradations apart: its visual prompts and its texts, laid out by t-SNE.

After Fig. 8 of MPerceiver, Ai et al. 2024 (https://arxiv.org/abs/2312.02918), which shows the visual prompts V^1 and
E_txt(T), what the frozen text encoder makes of the textual prompts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ldrestore.estimators.degradation_predictor import estimates_of
from ldrestore.explanations.point_map import MIN_POINTS, PointMap, check_mapping, map_points
from ldrestore.images.photo import Photo
from ldrestore.pipelines.one_call import one_call
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.structures import DegradationEstimate
from ldrestore.systems.finite_numbers import check_finite
from ldrestore.systems.mperceiver import MPerceiver
from ldrestore.systems.sampled_pictures import lq_of

TEXT = "the text's embeddings"
"""As messages call them."""

WORDS, TEXTS = "words of T", "texts of the pictures"
"""The maps of texts: E_txt(T) word by word, and E_txt({e_cm_i, T_i}) of several pictures."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureView:
    """What a model sees in a picture, which is not restored."""

    estimate: DegradationEstimate
    """P."""
    texts: np.ndarray | None
    """(N, D), E_txt({e_cm_i, T_i}) after the last word, for each degradation i; None without a CM-Adapter."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PromptMaps:
    """Prompts and texts of N degradations, each a class of points."""

    visual: Mapping[str, PointMap]
    """Name of the pool, such as "IR-Adapter V1", to its N * M prompts; the finest scale of a network comes first."""
    text: Mapping[str, PointMap]
    """`WORDS` to N * L points, `TEXTS` to one for each picture and degradation; what there is of them."""
    absent: tuple[str, ...]
    """Why a map is not there, in sentences."""


def check_prompt_maps() -> None:
    """Tell before long work that scikit-learn is missing.

    Raises:
        MissingExtraError: it is not installed.
    """
    check_mapping("to lay prompts out by t-SNE")


@torch.no_grad()
def view_picture(pipeline: StableRestorePipeline, picture: Photo) -> PictureView:
    """What the model sees in a picture, and what it says of it for each degradation.

    Args:
        pipeline: The model.
        picture: Of any size.

    Raises:
        WeightsError: the model gives infinite or undefined numbers.
    """
    system = MPerceiver(pipeline.components, attachment=None)
    lq = lq_of(picture.pixels, multiple=1, device=pipeline._execution_device)
    with one_call(pipeline):
        embeddings = check_finite(system.embed(lq), of="the embeddings of the picture")  # (1, K, D)
        (estimate,) = estimates_of(system.probabilities(embeddings), pipeline.predictor.names)
        if pipeline.cm_adapter is None:
            return PictureView(estimate=estimate, texts=None)
        return PictureView(estimate=estimate, texts=_array(check_finite(system.texts(embeddings), of=TEXT)))


def map_prompts(pipeline: StableRestorePipeline, views: Sequence[PictureView] = ()) -> PromptMaps:
    """Lay out the visual prompts of every scale, and the texts.

    Args:
        pipeline: The model.
        views: Of several pictures, for the map of their texts.

    Raises:
        WeightsError: the model gives infinite or undefined numbers.
        MissingExtraError: scikit-learn is not installed.
    """
    check_prompt_maps()
    names, absent = pipeline.predictor.names, []
    visual = {name: _map_of(rows, names) for name, rows in _visual_pools(pipeline).items()}
    if not visual:
        absent.append("This model has no visual prompts.")
    text = {}
    if pipeline.textual_prompts is None:
        absent.append("This model has no textual prompts T.")
    else:
        text[WORDS] = _map_of(_words_of_pool(pipeline), names)
    if pipeline.cm_adapter is None:
        absent.append("This model has no CM-Adapter: no text of it hangs on the picture.")
    elif len(views) < 2:
        absent.append("The texts that hang on the picture are laid out of a folder of pictures, not of one.")
    else:
        texts = [view.texts for view in views if view.texts is not None]
        text[TEXTS] = _map_of(np.stack(texts, axis=1), names)  # (N, P, D)
    too_few = [name for name, found in (visual | text).items() if found is None]
    absent += [f"{name}: fewer than {MIN_POINTS} points make no map." for name in too_few]
    return PromptMaps(visual=_present(visual), text=_present(text), absent=tuple(absent))


def _visual_pools(pipeline: StableRestorePipeline) -> dict[str, np.ndarray]:
    """The pools of all scales, (N, M, D) each: those of the IR-Adapter, then those of the refiner."""
    pools = {}
    if pipeline.ir_adapter is not None and pipeline.ir_adapter.has_prompts:
        for scale, pool in enumerate(pipeline.ir_adapter.visual_prompt.squeeze(2), start=1):
            pools[f"IR-Adapter V{scale}"] = _array(pool)
    if pipeline.drm is not None:
        for scale, level in enumerate(pipeline.drm.levels, start=1):
            pools[f"DRM V{scale}"] = _array(level.modulator.visual_prompt)
    return pools


@torch.no_grad()
def _words_of_pool(pipeline: StableRestorePipeline) -> np.ndarray:
    """E_txt(T): what the text encoder puts out at each word of T_i alone, (N, L, D)."""
    pool = pipeline.textual_prompts
    assert pool is not None, "its caller has looked"
    no_words = torch.zeros(1, len(pool.names), 0, pool.config["text_dim"], dtype=pool.dtype)
    with one_call(pipeline):
        words = pool(no_words.to(pipeline._execution_device))[0]  # (N, L, D), called: its weights may be off-loaded
        encoded = check_finite(MPerceiver(pipeline.components, attachment=None).encode_words(words), of=TEXT)
    return _array(encoded[:, 1 : words.shape[1] + 1])


def _map_of(rows: np.ndarray, names: Sequence[str]) -> PointMap | None:
    """(N, M, D), M vectors a degradation, laid out; None where they are too few."""
    labels = [name for name in names for _ in range(rows.shape[1])]
    return map_points(rows.reshape(len(labels), -1), labels) if len(labels) >= MIN_POINTS else None


def _present(maps: Mapping[str, Any]) -> dict[str, PointMap]:
    """Those that are there."""
    return {name: found for name, found in maps.items() if found is not None}


def _array(values: Tensor) -> np.ndarray:
    """Float32, on the CPU."""
    return values.detach().float().cpu().numpy()
