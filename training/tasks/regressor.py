"""Trains a regressor of the fast track on progressive patches, with what steers it or guides it."""

import logging
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ldrestore.degradations.recipes import list_degradations
from ldrestore.errors import ConfigError, UnknownNameError, WeightsUnavailableError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.regressors.factory import (
    create_regressor,
    embedding_shape_in_training,
    embedding_shape_of,
    width_of_embedding,
)
from ldrestore.regressors.network_protocols import AdoptingNetwork
from ldrestore.training.config import StageConfig
from ldrestore.training.data.embeddings import EmbeddedDataset, EmbeddingSource
from ldrestore.training.data.instructions import InstructedDataset, InstructedRegressor, Instructions, class_loss
from ldrestore.training.data.loading import Batch
from ldrestore.training.data.training_data import create_dataset
from ldrestore.training.entry import Prepared
from ldrestore.training.losses.picture_losses import estimate_loss, fourier_l1_loss, l1_loss, relative, squared_loss
from ldrestore.training.losses.validation import ValidationPair, create_pairs, validate_pairs
from ldrestore.training.tasks.regressor_config import RegressorTrainingConfig
from ldrestore.weights.fitting import load_strictly
from ldrestore.weights.published_files import read_checkpoint

logger = logging.getLogger(__name__)


class RegressorTask:
    """The task that the loop trains."""

    def __init__(
        self,
        config: RegressorTrainingConfig,
        *,
        instructions: Instructions | None = None,
        embeddings: EmbeddingSource | None = None,
    ) -> None:
        """Keep what is needed, and read the pictures of the validation.

        Args:
            config: What the run depends on.
            instructions: Sentences as vectors, where instructions steer the network.
            embeddings: What a guide said of the pictures, where it guides the network.
        """
        self.config, self.instructions, self.embeddings = config, instructions, embeddings
        self._pairs = create_pairs(config.validation)

    def dataset(self, stage: StageConfig) -> Dataset[Any]:
        """Pairs of the stage's patch size, with the sentences or embeddings that belong to them."""
        data, seed = self.config.data, self.config.run.seed
        dataset = create_dataset(data, patch_size=stage.patch_size, seed=seed)
        if self.instructions is not None:
            return InstructedDataset(dataset, self.instructions, seed=seed)
        if self.embeddings is not None:
            return EmbeddedDataset(dataset, self.embeddings)
        return dataset

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Weighted sum of L1, Fourier L1 and squared differences, reduced over the pictures, and of what else is asked.

        Args:
            model: Takes lq to restored.
            batch: "lq" and "gt", (B, 3, P, P), in [0, 1]; for the estimate also "degradations", (B, D), in [0, 1], in
                the order of `list_degradations()`; what `InstructedDataset` or `EmbeddedDataset` add.

        Returns:
            The reduced sum, and the means of "l1" and of what else enters it: "fourier_l1", "squared", "estimate",
            "instruction", and the network's own losses by their names.
        """
        weights = self.config.loss
        if REGRESSORS.get(self.config.network.name).takes_hints:
            return self._hinted_loss(model, batch)
        restored, others = self._forward(model, batch)  # (B, 3, P, P)
        parts = {"l1": l1_loss(restored, batch["gt"])}  # (B,) each
        total = weights.l1_weight * parts["l1"]
        if weights.fourier_weight > 0:
            parts["fourier_l1"] = fourier_l1_loss(restored, batch["gt"])
            total = total + weights.fourier_weight * parts["fourier_l1"]
        if weights.squared_weight > 0:
            parts["squared"] = squared_loss(restored, batch["gt"])
        reduced = self._reduce(total, parts.get("squared"))
        for name, (weight, value) in others.items():
            parts[name] = value
            reduced = reduced + weight * value
        return reduced, {name: part.mean() for name, part in parts.items()}

    def _forward(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, tuple[float, Tensor]]]:
        """The restored pictures, and weight and value of each loss that is not one of pixels."""
        lq, weights = batch["lq"], self.config.loss
        if self.config.instructions is not None:
            restored, logits = model(lq, sentence=batch["sentence"])
            weight = self.config.instructions.class_weight
            return restored, {"instruction": (weight, class_loss(logits, batch["class_index"]))}
        if weights.estimate_weight > 0:
            restored, logits = model(lq, return_estimate=True)  # (B, 3, P, P), (B, N)
            estimate = estimate_loss(logits, batch["degradations"][:, self._columns()]).mean()
            return restored, {"estimate": (weights.estimate_weight, estimate)}
        guidance = {"embedding": batch["embedding"]} if self.embeddings is not None else {}
        if not weights.auxiliary:
            return model(lq, **guidance), {}
        restored, losses = model(lq, return_auxiliary=True, **guidance)
        return restored, {name: (weight, losses[name]) for name, weight in weights.auxiliary.items()}

    def _hinted_loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a network that takes hints: of the result, of its light alone, and of the estimate."""
        weights, columns = self.config.loss, self._columns()
        named, strengths = batch["hints"].chunk(2, dim=1)
        hints = torch.cat([named[:, columns], strengths[:, columns]], dim=1)  # (B, 2N)
        where = {"hints": hints, "whole": batch["whole"], "window": batch["window"]}
        if weights.l1_weight + weights.fourier_weight + weights.squared_weight + weights.estimate_weight == 0:
            relit = squared_loss(model(batch["lq"], light_only=True, **where), batch["gt"])
            return weights.relit_weight * relative(relit, weights.relative_floor**2), {"relit": relit.mean()}
        restored, logits, relit = model(batch["lq"], return_light=True, **where)
        labels = batch["degradations"][:, columns]
        labels = torch.cat([labels, 1 - labels.amax(dim=1, keepdim=True)], dim=1)  # (B, N + 1), the last one: clean
        parts = {
            "l1": l1_loss(restored, batch["gt"]),
            "squared": squared_loss(restored, batch["gt"]),
            "relit": squared_loss(relit, batch["gt"]),
            "estimate": estimate_loss(logits, labels),
        }
        absolute = weights.l1_weight * parts["l1"]
        if weights.fourier_weight > 0:
            parts["fourier_l1"] = fourier_l1_loss(restored, batch["gt"])
            absolute = absolute + weights.fourier_weight * parts["fourier_l1"]
        reduced = self._reduce(absolute, parts["squared"])
        reduced = reduced + weights.relit_weight * relative(parts["relit"], weights.relative_floor**2)
        reduced = reduced + weights.estimate_weight * parts["estimate"].mean()
        return reduced, {name: part.mean() for name, part in parts.items()}

    def _columns(self) -> list[int]:
        """Where the names of the network's estimate stand among all degradations."""
        options = {**REGRESSORS.get(self.config.network.name).options, **self.config.network.options}
        known = list_degradations()
        return [known.index(name) for name in options["degradations"]]

    def _reduce(self, absolute: Tensor, squared: Tensor | None) -> Tensor:
        """The pictures' absolute and squared losses, (B,) each, as one number.

        Under "relative" each has its own logarithm, with a floor of the same error in grey levels.
        """
        weights = self.config.loss
        reduced = torch.zeros((), device=absolute.device)
        is_relative, floor = weights.reduction == "relative", weights.relative_floor
        if weights.l1_weight + weights.fourier_weight > 0:
            reduced = relative(absolute, floor) if is_relative else absolute.mean()
        if squared is None:
            return reduced
        return reduced + weights.squared_weight * (relative(squared, floor**2) if is_relative else squared.mean())

    def validate(self, network: nn.Module) -> dict[str, float]:
        """PSNR and its gain over the input for each recipe of the validation config, in dB."""
        if not self._pairs:
            return {}
        device = next(network.parameters()).device

        def restore(lq: Tensor, pair: ValidationPair) -> Tensor:
            if self.instructions is not None:
                return network(lq, sentence=self.instructions.sentence_of(pair.recipe)[None].to(lq))
            if self.embeddings is not None and embedding_shape_of(network) is not None:
                return network(lq, embedding=self.embeddings.of_file(pair.source)[None].to(lq))
            return network(lq)

        return validate_pairs(restore, self._pairs, device=device)

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write a pipeline folder that `FastRestorePipeline.from_pretrained` loads."""
        network = create_regressor(self.config.network.name, **self.config.network.options)
        if self.instructions is not None:
            self.instructions.export(network, weights, folder)
            return
        network.load_state_dict(weights)
        FastRestorePipeline(regressor=network.eval()).save_pretrained(folder)


def prepare_regressor(config: RegressorTrainingConfig) -> Prepared:
    """The network that a run trains, with the head that reads its instructions if there are some.

    Raises:
        LDRestoreError: network, losses, instructions or embeddings do not go together, or a file is missing.
    """
    torch.manual_seed(config.run.seed)
    network: nn.Module = create_regressor(config.network.name, **config.network.options)
    regressor = network
    if REGRESSORS.get(config.network.name).gives_estimate and config.loss.estimate_weight == 0:
        regressor.get_submodule("estimator").requires_grad_(
            False
        )  # several processes refuse trainable weights without a gradient
    instructions, embeddings = None, None
    check_conditions(config, network)
    if config.instructions is not None:
        instructions = Instructions(config.instructions)
        network = InstructedRegressor(regressor, instructions.create_head(txtdim=width_of_embedding(regressor)))
    if config.embeddings is not None:
        shape = embedding_shape_in_training(regressor)
        assert shape is not None, "check_conditions refuses the others"
        embeddings = EmbeddingSource(config.embeddings, shape=shape)
    if config.network.train_only:
        freeze_all_but(network, config.network.train_only)
    logger.info("%s: %d parameters", config.network.name, sum(weight.numel() for weight in network.parameters()))
    init_from = config.init_from
    return Prepared(
        network=network,
        task=RegressorTask(config, instructions=instructions, embeddings=embeddings),
        begin=None if init_from is None else lambda: load_initial_weights(regressor, init_from),
        skips_weights=REGRESSORS.get(config.network.name).routes_to_one,
    )


def check_conditions(config: RegressorTrainingConfig, network: nn.Module) -> None:
    """Refuse a network that lacks the condition it needs, or gets one that it cannot take.

    Args:
        config: What the run depends on.
        network: As its options made it.

    Raises:
        ConfigError: instructions or embeddings are missing, too many, or of another shape.
    """
    name, shape = config.network.name, embedding_shape_in_training(network)
    has_condition = config.instructions is not None or config.embeddings is not None
    if has_condition and shape is None:
        raise ConfigError(f"{name} with these options takes no embedding; leave instructions and embeddings out")
    if not has_condition and embedding_shape_of(network) is not None:
        raise ConfigError(
            f"{name} with these options is steered by an embedding: give instructions or embeddings, or options "
            "that leave it out"
        )
    if config.instructions is not None and shape is not None and len(shape) > 1:
        raise ConfigError(f"{name} takes the embeddings of a guide, {shape}, not instructions; give embeddings")


def freeze_all_but(network: nn.Module, parts: tuple[str, ...]) -> None:
    """Leave only some parts trainable.

    Args:
        network: Changed in place.
        parts: Names of its modules, such as "estimator" or "body.ending".

    Raises:
        UnknownNameError: it has no such part.
    """
    known = [name for name, module in network.named_modules() if name and any(True for _ in module.parameters())]
    network.requires_grad_(False)
    for part in parts:
        if part not in known:
            raise UnknownNameError("part of the network", part, known)
        network.get_submodule(part).requires_grad_(True)


def load_initial_weights(network: nn.Module, path: Path) -> None:
    """Load weights to start from; every key must fit, or be one of the network's `body`, whose prompts start anew.

    Args:
        network: Filled in place.
        path: A published file as `convert` takes it, or the folder of a pipeline or regressor.

    Raises:
        WeightsUnavailableError: no weights lie there.
        WeightsError: keys or shapes do not fit.
    """
    name = "diffusion_pytorch_model.safetensors"
    candidates = [path / "regressor" / name, path / name] if path.is_dir() else [path]
    found = next((candidate for candidate in candidates if candidate.is_file()), None)
    if found is None:
        raise WeightsUnavailableError(f"no weights at {', or '.join(map(str, candidates))}; check init_from")
    weights = read_checkpoint(found)
    body = getattr(network, "body", None)
    if body is not None and weights.keys() == body.state_dict().keys():
        logger.info("%s holds the body alone; all else starts from random weights", found)
        network = body
    if isinstance(network, AdoptingNetwork):
        network.adopt(weights)
        return
    load_strictly(network, weights, source=str(found))
