"""The parts of UniLDiff: which there are, and whether they belong together."""

from collections.abc import Mapping
from typing import Any

from ldrestore.adapters.fusion_attachment import LatentFusion
from ldrestore.checkpoints.part_table import PartTable, check_present, check_sizes, text_width
from ldrestore.checkpoints.sdxl import sdxl
from ldrestore.errors import WeightsError

FUSIONS = {
    "daff": "ldrestore.adapters.daff:DAFF",
    "residual_alignment": "ldrestore.adapters.residual_alignment:ResidualAlignment",
}
"""What lets the damaged picture into the U-Net, of which a pipeline has one or none."""

UNILDIFF_PARTS = PartTable(
    pipeline="XLRestorePipeline",
    base=sdxl(),
    towers={},
    trained={
        "lq_encoder": "ldrestore.adapters.lq_encoder:LQEncoder",
        **FUSIONS,
        "daem": "ldrestore.refiners.daem:DetailExpertModule",
    },
    optional=(*FUSIONS, "daem"),
    tuned=("unet", "vae"),
)
"""Its pipeline's parts; the paper's ablations leave out what may be left out."""


def fusion_of(parts: Mapping[str, Any]) -> LatentFusion | None:
    """The fusion among the parts of a pipeline; None where there is none."""
    return next((parts[name] for name in FUSIONS if parts.get(name) is not None), None)


def reads_tasks(parts: Mapping[str, Any]) -> bool:
    """Whether the fusion among the parts attends to texts, as DAFF does, so that task prompts have a way in there."""
    fusion = fusion_of(parts)
    return fusion is not None and fusion.config.get("text_dim") is not None


def name_of_fusion(fusion: LatentFusion) -> str:
    """How a pipeline calls a fusion."""
    return next(name for name, target in FUSIONS.items() if target.endswith(f":{type(fusion).__name__}"))


def check_xl_parts(parts: Mapping[str, Any]) -> None:
    """Refuse parts that do not make a pipeline.

    Args:
        parts: By name, as the pipeline's constructor calls them.

    Raises:
        WeightsError: one is missing, the base is of another kind, or widths do not fit.
    """
    needed = (*UNILDIFF_PARTS.needed, *UNILDIFF_PARTS.base.tokenizers)
    check_present(parts, needed, table=UNILDIFF_PARTS)
    if all(parts.get(name) is not None for name in FUSIONS):
        raise WeightsError(f"{' and '.join(FUSIONS)} take one place in the U-Net; give one of them")
    _check_widths(parts)


def _check_widths(parts: Mapping[str, Any]) -> None:
    """Refuse parts whose sizes do not fit.

    Raises:
        WeightsError: two do not.
    """
    unet, vae, encoder, fusion = parts["unet"], parts["vae"], parts["lq_encoder"], fusion_of(parts)
    text = sum(parts[name].config.hidden_size for name in ("text_encoder", "text_encoder_2"))
    sizes = list(vae.config.block_out_channels)
    pairs = [
        ("both text encoders", text, "unet", text_width(unet)),
        (
            "text_encoder_2 and six sizes",
            _added_width(parts),
            "unet",
            unet.config.projection_class_embeddings_input_dim,
        ),
        ("vae", vae.config.latent_channels, "unet", unet.config.in_channels),
        ("lq_encoder", list(encoder.config["block_out_channels"]), "vae", sizes),
    ]
    if fusion is not None:
        lq_channels = fusion.config["lq_channels"]
        taken = unet.config.block_out_channels[0] if fusion.config.get("lq") == "latent" else encoder.last_channels
        name = name_of_fusion(fusion)
        channels = unet.config.block_out_channels[0]
        pairs += [(name, lq_channels, "lq_encoder", taken), (name, fusion.channels_at("conv_in"), "unet", channels)]
        if fusion.config.get("text_dim") is not None:
            pairs.append((name, fusion.config["text_dim"], "both text encoders", text))
    if parts.get("daem") is not None:
        pairs.append(("daem", list(parts["daem"].config["block_out_channels"]), "vae", sizes))
    check_sizes(pairs)


def _added_width(parts: Mapping[str, Any]) -> int:
    """Width of what joins the timestep's embedding: the pooled text, and the sizes."""
    return parts["text_encoder_2"].config.projection_dim + 6 * parts["unet"].config.addition_time_embed_dim
