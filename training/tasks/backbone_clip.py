"""What the loop needs to train the small prior's text encoder and vision tower together."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from ldrestore.datasets.synthetic import FULL_LABEL_SEVERITY, SyntheticDataset
from ldrestore.guides.clip_views import squashed_view
from ldrestore.training.config import StageConfig
from ldrestore.training.data.captions import captions_of
from ldrestore.training.data.loading import Batch
from ldrestore.training.data.shown_pictures import show_pictures
from ldrestore.training.tasks.backbone_config import BackboneTrainingConfig
from ldrestore.training.tasks.estimator import LabelledPairs, labelled_pairs, top1_accuracies
from ldrestore.training.tasks.estimator_config import EstimatorValidationConfig
from ldrestore.weights.fitting import load_strictly

FIRST_SCALE, FIRST_BIAS = 10.0, -10.0
"""Of the sigmoid loss at the start, as published: nearly all pairs are no match, which the bias says from the start."""


class ClipPair(nn.Module):
    """Text encoder and vision tower, with what only their training needs: a projection, scale, bias, and two heads."""

    def __init__(
        self, text_encoder: CLIPTextModel, image_encoder: CLIPVisionModelWithProjection, *, num_degradations: int
    ) -> None:
        """Put both together.

        Args:
            text_encoder: Trained.
            image_encoder: Trained; its config says how pictures are prepared.
            num_degradations: N outputs of each head.
        """
        super().__init__()
        config = image_encoder.config
        self.text_encoder, self.image_encoder = text_encoder, image_encoder
        self.text_projection = nn.Linear(text_encoder.config.hidden_size, config.projection_dim, bias=False)
        self.class_head = nn.Linear(config.projection_dim, num_degradations)
        self.severity_head = nn.Linear(config.projection_dim, num_degradations)
        self.log_scale = nn.Parameter(torch.tensor(math.log(FIRST_SCALE)))
        self.bias = nn.Parameter(torch.tensor(FIRST_BIAS))

    def forward(self, pictures: Tensor, input_ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compare pictures with texts, and say what is wrong with the pictures.

        Args:
            pictures: (B, 3, H, W), in [0, 1]; squashed to the tower's size.
            input_ids: (M, L), tokens of different texts.

        Returns:
            Logits of picture and text belonging together, (B, M); logits of each degradation being there, (B, N); and
            severities, (B, N), in [0, 1].
        """
        embeddings = self.embed(pictures)  # (B, D)
        texts = self.text_projection(self.text_encoder(input_ids).pooler_output)  # (M, D)
        cosines = F.normalize(embeddings.float(), dim=-1) @ F.normalize(texts.float(), dim=-1).mT
        matches = self.log_scale.exp() * cosines + self.bias
        return matches, self.class_head(embeddings), self.severity_head(embeddings).sigmoid()

    def embed(self, pictures: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to the tower's embeddings, (B, D), not normalised."""
        config = self.image_encoder.config
        views = squashed_view(pictures, config.image_size)
        mean, std = (views.new_tensor(values)[:, None, None] for values in (config.image_mean, config.image_std))
        return self.image_encoder(pixel_values=(views - mean) / std).image_embeds


def sigmoid_loss(matches: Tensor, text_of: Tensor) -> Tensor:
    """Each picture against each different text of the batch, apart from all others.

    Zhai et al. 2023, SigLIP, Alg. 1 (https://arxiv.org/abs/2303.15343); pictures that share a caption share a text, so
    that none is a negative of what is said of it. Where batches hold few captions, InfoNCE would count these wrongly.

    Args:
        matches: (B, M), logits.
        text_of: (B,), number of each picture's text.

    Returns:
        Scalar, float32: the mean over pictures of the sum over texts.
    """
    signs = 2.0 * F.one_hot(text_of, matches.shape[1]) - 1  # (B, M)
    return -F.logsigmoid(signs * matches.float()).sum(dim=1).mean()


class ClipTask:
    """The task that the loop trains."""

    def __init__(self, config: BackboneTrainingConfig, *, network: ClipPair, tokenizer: CLIPTokenizer) -> None:
        """Keep what is needed, and read the pictures of the validation.

        Args:
            config: What the run depends on.
            network: The one that is trained.
            tokenizer: Of the text encoder.
        """
        self.config, self.network, self.tokenizer = config, network, tokenizer
        self._pairs = self._labelled_pairs()

    def dataset(self, stage: StageConfig) -> Dataset[Any]:
        """Pairs of the stage's patch size, with severities."""
        seed = self.config.run.seed
        return SyntheticDataset(self.config.data, patch_size=stage.patch_size, seed=seed, tells_severities=True)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The sigmoid loss, and those of the two heads.

        Args:
            model: A `ClipPair`.
            batch: "lq" and "gt", (B, 3, P, P), in [0, 1], and "severities", (B, D).

        Returns:
            The weighted sum, and its parts.
        """
        weights, names = self.config.clip_loss, self.config.degradations
        pictures, severities = show_pictures(batch, names, degraded_share=self.config.degraded_share)
        captions = captions_of(severities, names)
        texts = sorted(set(captions))
        text_of = torch.tensor([texts.index(caption) for caption in captions], device=pictures.device)
        matches, classes, strengths = model(pictures, tokens_of(self.tokenizer, texts).to(pictures.device))
        labels = (severities / FULL_LABEL_SEVERITY).clamp_max(1.0)
        parts = {
            "contrast": sigmoid_loss(matches, text_of),
            "class": F.binary_cross_entropy_with_logits(classes.float(), labels),
            "severity": (strengths.float() - severities).abs().mean(),
        }
        total = parts["contrast"] + weights.class_weight * parts["class"] + weights.severity_weight * parts["severity"]
        return total, parts

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Top-1 accuracy of the head that names degradations, by degradation, at the validation's severity."""
        if not self._pairs:
            return {}
        assert isinstance(network, ClipPair), "what this task trains"
        device = next(network.parameters()).device
        return top1_accuracies(
            lambda lq: network.class_head(network.embed(lq.to(device))), self._pairs, names=self.config.degradations
        )

    def _labelled_pairs(self) -> LabelledPairs:
        """Pictures of the validation's folder; none of pairs of files, whose degradations have no severity."""
        validation = self.config.validation
        if validation is None or validation.folder is None:
            return []
        config = EstimatorValidationConfig(
            folder=validation.folder,
            severities=(validation.severity,),
            num_pictures=validation.num_pictures,
            crop_size=validation.crop_size,
            seed=validation.seed,
        )
        return labelled_pairs(config, self.config.degradations)

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write text encoder, tokenizer and vision tower, each into its folder, as a base has them."""
        for name in ("text_encoder", "image_encoder"):
            part = getattr(self.network, name)
            copy = type(part)(part.config)
            own = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
            load_strictly(copy, own, source=f"{name} in training")
            copy.save_pretrained(folder / name)
        self.tokenizer.save_pretrained(folder / "tokenizer")


def tokens_of(tokenizer: CLIPTokenizer, texts: Sequence[str]) -> Tensor:
    """Numbers of M texts, cut and padded to the tokenizer's length: (M, L)."""
    return tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt").input_ids
