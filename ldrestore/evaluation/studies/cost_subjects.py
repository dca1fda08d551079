"""What the two sampled tracks differ in where their costs are measured: one record a track."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ldrestore.evaluation.studies.full_widths import full_parts, img2img_of, networks_of, part_sizes
from ldrestore.evaluation.studies.full_widths_xl import full_xl_parts, xl_img2img_of
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.pipelines.pipeline_xl_restore import XLRestorePipeline
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
    pipeline_class: Any
    """Of ours."""
    full_parts: Callable[[], dict[str, Any]]
    """Makes the parts of full widths."""
    img2img: Callable[[Any], Any]
    """From the pipeline to that of diffusers on the same base."""

    def open(self, model: str | None, *, dtype: torch.dtype) -> Any:
        """A quiet pipeline on the CPU: a saved one, or that of full widths for None.

        Raises:
            LDRestoreError: it cannot be had, or is of another track.
        """
        if model is None:
            parts = self.full_parts()
            for part in networks_of(parts).values():
                nn.Module.to(part.eval().requires_grad_(False), dtype)  # that of diffusers warns of every cast
            pipeline = self.pipeline_class(**parts)
        else:
            pipeline = self.pipeline_class.from_pretrained(model, dtype=dtype)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def full_sizes(self) -> dict[str, int]:
        """Parameters of each part of full widths; no memory is taken for them."""
        with torch.device("meta"):
            return part_sizes(self.full_parts())

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
            pipeline_class=StableRestorePipeline,
            full_parts=full_parts,
            img2img=img2img_of,
        ),
        CostSubject(
            name="xl-cost",
            title="What the XL track costs",
            full="random weights of SDXL base 1.0 with DAFF, LQ encoder and DAEM of the default sizes",
            num_steps=20,
            pipeline_class=XLRestorePipeline,
            full_parts=full_xl_parts,
            img2img=xl_img2img_of,
        ),
    )
}
