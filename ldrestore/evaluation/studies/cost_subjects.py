"""What the two sampled tracks differ in where their costs are measured: one record a track."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ldrestore.evaluation.studies.full_widths import full_part_sizes, img2img_of, open_stable
from ldrestore.evaluation.studies.full_widths_xl import full_xl_part_sizes, open_xl, xl_img2img_of
from ldrestore.prompts.xl_text import NUM_TIME_IDS

NUM_TOKENS = 77
"""Of a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSubject:
    """One track."""

    name: str
    """The study's."""
    title: str
    """Of the track."""
    full: str
    """What is measured where no model is named."""
    num_steps: int
    """Of what is told."""
    open: Callable[..., Any]
    """From the name of a model, or None, and `dtype` to a pipeline."""
    img2img: Callable[[Any], Any]
    """From the pipeline to that of diffusers on the same base."""
    full_sizes: Callable[[], dict[str, int]]
    """Parameters of each part of full widths."""

    def conditioning(self, pipeline: Any, device: torch.device) -> dict[str, Any]:
        """Arguments of the bare U-Net beside latents and timestep, as if of one empty text."""
        embeddings = text_embeddings(pipeline.unet, device)
        known: dict[str, Any] = {"encoder_hidden_states": embeddings["prompt_embeds"]}
        if "pooled_prompt_embeds" in embeddings:
            pooled = embeddings["pooled_prompt_embeds"]
            known["added_cond_kwargs"] = {"text_embeds": pooled, "time_ids": pooled.new_zeros(1, NUM_TIME_IDS)}
        return known


def text_embeddings(unet: Any, device: torch.device) -> dict[str, Tensor]:
    """One text as diffusers' pipelines take it: (1, 77, C), and for SDXL also the pooled one, (1, D); all zeros."""
    options = {"device": device, "dtype": unet.dtype}
    embeddings = {"prompt_embeds": torch.zeros(1, NUM_TOKENS, unet.config.cross_attention_dim, **options)}
    if unet.config.addition_embed_type == "text_time":
        sizes = NUM_TIME_IDS * unet.config.addition_time_embed_dim
        width = unet.config.projection_class_embeddings_input_dim - sizes
        embeddings["pooled_prompt_embeds"] = torch.zeros(1, width, **options)
    return embeddings


SUBJECTS = {
    subject.name: subject
    for subject in (
        CostSubject(
            name="stable-cost",
            title="What the Stable track costs",
            full="random weights of Stable Diffusion 2.1-base with the released sizes of the adapters",
            num_steps=50,
            open=open_stable,
            img2img=img2img_of,
            full_sizes=full_part_sizes,
        ),
        CostSubject(
            name="xl-cost",
            title="What the XL track costs",
            full="random weights of SDXL base 1.0 with DAFF, LQ encoder and DAEM of the default sizes",
            num_steps=20,
            open=open_xl,
            img2img=xl_img2img_of,
            full_sizes=full_xl_part_sizes,
        ),
    )
}
