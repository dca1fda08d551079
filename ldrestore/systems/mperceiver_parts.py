"""The parts of MPerceiver: which there are, and whether they belong together."""

from collections.abc import Mapping
from typing import Any

from ldrestore.checkpoints.part_table import PartTable, check_present, check_sizes, text_width
from ldrestore.checkpoints.stable_diffusion import stable_diffusion_2
from ldrestore.errors import WeightsError

MPERCEIVER_PARTS = PartTable(
    pipeline="StableRestorePipeline",
    base=stable_diffusion_2(),
    towers={"image_encoder": "transformers:CLIPVisionModelWithProjection"},
    trained={
        "predictor": "ldrestore.estimators.degradation_predictor:DegradationPredictor",
        "cm_adapter": "ldrestore.prompts.cm_adapter:CMAdapter",
        "textual_prompts": "ldrestore.prompts.textual_prompts:TextualPromptPool",
        "ir_adapter": "ldrestore.adapters.ir_adapter:IRAdapter",
        "injection": "ldrestore.adapters.injection:InjectionLayers",
        "drm": "ldrestore.refiners.drm:DetailRefinementModule",
    },
    optional=("tokenizer", "cm_adapter", "textual_prompts", "ir_adapter", "injection", "drm"),
)
"""Its pipeline's parts; the paper's ablations leave out what may be left out."""

GROW_REFINEMENT = (
    ", or grow the module by what it lacks, with init_from in a run of the refiner, as "
    "configs/stable/refiner_few_shot.yaml and configs/stable/tiny_refiner_few_shot_cpu.yaml do"
)
"""What helps where adapters grew, and the refinement module did not."""


def check_parts(parts: Mapping[str, Any]) -> None:
    """Refuse parts that do not make a pipeline.

    Args:
        parts: By name, as the pipeline's constructor calls them.

    Raises:
        WeightsError: one is missing, the base is of another kind, or widths, scales or degradations do not fit.
    """
    check_present(parts, MPERCEIVER_PARTS.needed, table=MPERCEIVER_PARTS)
    if (parts.get("ir_adapter") is None) != (parts.get("injection") is None):
        raise WeightsError("ir_adapter and injection work together only; give both, or leave out both")
    if parts.get("textual_prompts") is not None and parts.get("cm_adapter") is None:
        raise WeightsError("textual_prompts stand beside the words of a cm_adapter; give it too, or leave out both")
    _check_names(parts)
    _check_widths(parts)


def _check_names(parts: Mapping[str, Any]) -> None:
    """Refuse parts that know different degradations.

    Raises:
        WeightsError: they do.
    """
    expected = list(parts["predictor"].config["degradations"])
    for name in ("cm_adapter", "textual_prompts", "ir_adapter", "drm"):
        part = parts.get(name)
        if part is None or list(part.config["degradations"]) == expected:
            continue
        known = list(part.config["degradations"])
        is_earlier = name == "drm" and known == expected[: len(known)]
        advice = f"take all parts from one model{GROW_REFINEMENT if is_earlier else ''}"
        raise WeightsError(f"{name} knows {', '.join(known)}, the predictor {', '.join(expected)}; {advice}")


def _check_widths(parts: Mapping[str, Any]) -> None:
    """Refuse parts whose sizes do not fit.

    Raises:
        WeightsError: two do not.
    """
    unet, vae = parts["unet"], parts["vae"]
    text_dim, image_dim = parts["text_encoder"].config.hidden_size, parts["image_encoder"].config.projection_dim
    pairs = [
        ("text_encoder", text_dim, "unet", text_width(unet)),
        ("vae", vae.config.latent_channels, "unet", unet.config.in_channels),
        ("predictor", parts["predictor"].config["embedding_dim"], "image_encoder", image_dim),
    ]
    if parts.get("cm_adapter") is not None:
        config = parts["cm_adapter"].config
        pairs += [
            ("cm_adapter", config["embedding_dim"], "image_encoder", image_dim),
            ("cm_adapter", config["text_dim"], "text_encoder", text_dim),
        ]
    if parts.get("ir_adapter") is not None:
        config = parts["ir_adapter"].config
        pairs += [
            ("ir_adapter", config["in_channels"], "unet", unet.config.in_channels),
            ("ir_adapter", config["out_channels"], "injection", parts["injection"].config["feature_channels"]),
            ("ir_adapter", len(config["channels"]), "injection", parts["injection"].num_levels),
            ("injection", list(parts["injection"].config["block_out_channels"]), "unet", _widths(unet)),
        ]
    if parts.get("drm") is not None:
        pairs.append(("drm", list(parts["drm"].config["block_out_channels"]), "vae", _widths(vae)))
    check_sizes(pairs)


def _widths(network: Any) -> list[int]:
    """Channels of the scales."""
    return list(network.config.block_out_channels)
