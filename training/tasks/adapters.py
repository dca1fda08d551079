"""Trains stage 1 of MPerceiver: adapters and prompts upon a frozen Stable Diffusion 2.1, or upon the small prior."""

import logging
from pathlib import Path

import torch
from torch import nn

from ldrestore.adapters.injection import InjectionLayers
from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.errors import ConfigError, WeightsError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.prompts.textual_prompts import TextualPromptPool
from ldrestore.training.entry import Prepared, run_trainer
from ldrestore.training.loop.memory_estimate import log_memory_estimate
from ldrestore.training.networks.frozen_base import FrozenBase, load_base
from ldrestore.training.networks.stable_adapters import StableAdapters, load_parts
from ldrestore.training.networks.steering import check_predictor
from ldrestore.training.tasks.adapters_config import AdaptersTrainingConfig
from ldrestore.training.tasks.adapters_task import AdaptersTask
from ldrestore.training.tasks.estimator import load_predictor

logger = logging.getLogger(__name__)


def train_adapters(path: Path, *, overrides: list[str], resume: str | None, skips_damaged: bool = False) -> bool:
    """Train adapters and prompts as a YAML file says.

    Args:
        path: YAML of an `AdaptersTrainingConfig`.
        overrides: "section.key=value" strings.
        resume: None, "auto", or the folder of a checkpoint, see `checkpoint.find_checkpoint`.
        skips_damaged: Whether "auto" passes over damaged checkpoints.

    Returns:
        Whether the run is finished; False where a signal stopped it.

    Raises:
        LDRestoreError: the config is wrong, a file is missing, or training diverged.
    """
    return run_trainer(
        AdaptersTrainingConfig,
        path,
        overrides=overrides,
        resume=resume,
        skips_damaged=skips_damaged,
        prepare=lambda config, _: prepare_adapters(config),
    )


def prepare_adapters(config: AdaptersTrainingConfig) -> Prepared:
    """The adapters that a run trains, and what is frozen beside them."""
    base = load_base(config.base)
    predictor = load_predictor(config.predictor)
    torch.manual_seed(config.run.seed)
    network = create_network(config, base=base, predictor=predictor)
    task = AdaptersTask(config, network=network, predictor=predictor)
    log_memory_estimate(config, task=task, network=network, frozen=[*base.modules(), predictor])
    return Prepared(network=network, task=task)


def create_network(
    config: AdaptersTrainingConfig, *, base: FrozenBase, predictor: DegradationPredictor
) -> StableAdapters:
    """New parts, or those of an earlier run with rows for what the predictor knows beyond them.

    Raises:
        ConfigError: the predictor does not know the earlier run's degradations, in their order, or widths differ.
        WeightsError: there are no such parts.
    """
    check_predictor(predictor, base)
    if config.init_from is None:
        parts = create_parts(config, base=base, names=predictor.names)
        return StableAdapters(base, {name: parts[name] for name in config.parts})
    found = load_parts(config.init_from)
    missing = [name for name in config.parts if name not in found]
    if missing:
        raise WeightsError(f"{config.init_from} has no {', '.join(missing)}; leave them out of parts")
    network = StableAdapters(base, {name: found[name] for name in config.parts})
    num_old = len(network.names)
    if predictor.names[:num_old] != network.names:
        raise ConfigError(
            f"the adapters of init_from know {', '.join(network.names)}, the predictor {', '.join(predictor.names)}; "
            "give a predictor that begins with the same, grown from theirs"
        )
    new_names = predictor.names[num_old:]
    logger.info("from %s, new: %s", config.init_from, ", ".join(new_names) or "nothing")
    if not new_names and not config.train_shared:
        raise ConfigError("train_shared: false leaves nothing to train; the predictor knows no new degradation")
    network.grow(new_names, train_shared=config.train_shared)
    return network


def create_parts(config: AdaptersTrainingConfig, *, base: FrozenBase, names: tuple[str, ...]) -> dict[str, nn.Module]:
    """New parts that fit the base, with random weights."""
    sizes, text_dim = config.sizes, base.text_encoder.config.hidden_size
    return {
        "cm_adapter": CMAdapter(
            names,
            embedding_dim=base.tower.dim,
            text_dim=text_dim,
            num_tokens=sizes.num_tokens,
            num_heads=sizes.num_token_heads,
        ),
        "textual_prompts": TextualPromptPool(names, num_tokens=sizes.num_tokens, text_dim=text_dim, order=sizes.order),
        "ir_adapter": IRAdapter(
            degradations=names,
            in_channels=base.unet.config.in_channels,
            channels=sizes.channels,
            num_res_blocks=sizes.num_res_blocks,
            attention_levels=sizes.attention_levels,
            num_heads=sizes.num_heads,
            num_groups=sizes.num_groups,
            out_channels=sizes.feature_channels,
            num_prompts=sizes.num_prompts,
            prompt_dim=sizes.prompt_dim,
            num_prompt_heads=sizes.num_prompt_heads,
            prompt_head_dim=sizes.prompt_head_dim,
        ),
        "injection": InjectionLayers.for_unet(
            base.unet,
            feature_channels=sizes.feature_channels,
            hidden_channels=sizes.hidden_channels,
            injection=sizes.injection,
        ),
    }
