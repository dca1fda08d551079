"""What the loop needs to train the small XL prior's U-Net: that of the other one, with SDXL's two texts and sizes."""

from pathlib import Path
from typing import Any

from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from ldrestore.prompts.xl_text import encode_xl_text, time_ids
from ldrestore.training.networks.rebuilding import rebuilt
from ldrestore.training.networks.small_prior import create_scheduler
from ldrestore.training.tasks.backbone_config import BackboneTrainingConfig
from ldrestore.training.tasks.backbone_unet import UnetTask


class XLUnetTask(UnetTask):
    """The task that the loop trains."""

    def __init__(
        self,
        config: BackboneTrainingConfig,
        *,
        network: UNet2DConditionModel,
        vae: AutoencoderKL,
        text_encoders: tuple[CLIPTextModel, CLIPTextModelWithProjection],
        tokenizer: CLIPTokenizer,
    ) -> None:
        """Keep what is needed, and freeze all but the U-Net.

        Args:
            config: What the run depends on.
            network: The one that is trained.
            vae: Frozen; makes the latents.
            text_encoders: Frozen; read the captions.
            tokenizer: Of both.
        """
        super().__init__(
            config, network=network, vae=vae, text_encoder=text_encoders[0], tokenizer=tokenizer, image_encoder=None
        )
        self.scheduler = create_scheduler(ends_in_pure_noise=False)  # UniLDiff starts from what is left of the picture
        self.text_encoder_2 = text_encoders[1].requires_grad_(False).eval()

    def conditions(self, captions: list[str], pictures: Tensor) -> dict[str, Any]:
        """Both texts, the pooled one, and the sizes; see `UnetTask.conditions`."""
        encoders = (self.text_encoder.to(pictures.device), self.text_encoder_2.to(pictures.device))
        texts = sorted(set(captions))
        read = encode_xl_text(texts, tokenizers=(self.tokenizer, self.tokenizer), text_encoders=encoders)
        rows, num = [texts.index(caption) for caption in captions], len(pictures)
        added = {
            "text_embeds": read.pooled[rows].expand(num, -1),
            "time_ids": time_ids(pictures.shape[-2], pictures.shape[-1]).to(pictures.device).expand(num, -1),
        }
        return {"encoder_hidden_states": read.prompt_embeds[rows].expand(num, -1, -1), "added_cond_kwargs": added}

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write the whole base, which diffusers' own pipelines load too."""
        StableDiffusionXLPipeline(
            vae=self.vae.cpu(),
            text_encoder=self.text_encoder.cpu(),
            text_encoder_2=self.text_encoder_2.cpu(),
            tokenizer=self.tokenizer,
            tokenizer_2=self.tokenizer,
            unet=rebuilt(self.network, weights, source="the U-Net in training"),
            scheduler=self.scheduler,
        ).save_pretrained(folder)
