"""Trains stage 2 of MPerceiver: the detail refinement module in the decoder of a frozen autoencoder."""

import logging
from pathlib import Path

import torch

from ldrestore.errors import ConfigError, WeightsUnavailableError
from ldrestore.refiners.drm import DetailRefinementModule
from ldrestore.training.entry import Prepared, run_trainer
from ldrestore.training.loop.frozen_rows import freeze_rows
from ldrestore.training.loop.memory_estimate import log_memory_estimate
from ldrestore.training.losses.discriminator import PatchDiscriminator
from ldrestore.training.losses.refiner_losses import PerceptualLoss
from ldrestore.training.networks.frozen_base import FrozenBase, load_base
from ldrestore.training.networks.judged_decoder import JudgedDecoder
from ldrestore.training.networks.stable_adapters import StableAdapters, load_parts
from ldrestore.training.networks.steering import check_predictor
from ldrestore.training.tasks.estimator import load_predictor
from ldrestore.training.tasks.refiner_config import RefinerTrainingConfig
from ldrestore.training.tasks.refiner_task import RefinerTask

logger = logging.getLogger(__name__)


def train_refiner(path: Path, *, overrides: list[str], resume: str | None, skips_damaged: bool = False) -> bool:
    """Train a detail refinement module as a YAML file says.

    Args:
        path: YAML of a `RefinerTrainingConfig`.
        overrides: "section.key=value" strings.
        resume: None, "auto", or the folder of a checkpoint, see `checkpoint.find_checkpoint`.
        skips_damaged: Whether "auto" passes over damaged checkpoints.

    Returns:
        Whether the run is finished; False where a signal stopped it.

    Raises:
        LDRestoreError: the config is wrong, a file is missing, or training diverged.
    """
    return run_trainer(
        RefinerTrainingConfig,
        path,
        overrides=overrides,
        resume=resume,
        skips_damaged=skips_damaged,
        prepare=lambda config, _: prepare_refiner(config),
    )


def prepare_refiner(config: RefinerTrainingConfig) -> Prepared:
    """The module that a run trains with its discriminator, and what is frozen beside them."""
    task = create_task(config)
    frozen = [*task.base.modules(), task.predictor, *(part for part in (task.adapters, task.perceptual) if part)]
    task.network.num_passes.fill_(task.num_passes)  # at the end, when the discriminator takes part
    log_memory_estimate(config, task=task, network=task.network, frozen=frozen)
    task.network.num_passes.zero_()
    is_judged = task.network.judge is not None
    return Prepared(
        network=task.network,
        task=task,
        skips_weights=is_judged,
        clipped_apart=("drm", "judge") if is_judged else (),
    )


def create_task(config: RefinerTrainingConfig) -> RefinerTask:
    """The networks of a run, with what they are trained by.

    Raises:
        ConfigError: parts do not know the same degradations.
        WeightsError: a part is missing or damaged.
        MissingExtraError: the perceptual loss is not installed.
    """
    base = load_base(config.base)
    place = config.predictor or config.adapters
    assert place is not None  # the config's own check
    predictor = load_predictor(place)
    check_predictor(predictor, base)
    if config.base.gradient_checkpointing:
        base.vae.enable_gradient_checkpointing()
    adapters = None if config.adapters is None else StableAdapters(base, load_parts(config.adapters))
    if adapters is not None and adapters.names != predictor.names:
        raise ConfigError(
            f"the adapters know {', '.join(adapters.names)}, the predictor {', '.join(predictor.names)}; take both "
            "from one run"
        )
    torch.manual_seed(config.run.seed)
    drm = create_module(config, base=base, names=predictor.names)
    judge = None
    if config.loss.adversarial > 0:
        judge = PatchDiscriminator(config.judge.base_channels, num_layers=config.judge.num_layers)
    perceptual = PerceptualLoss() if config.loss.perceptual > 0 else None
    network = JudgedDecoder(base, drm, judge)
    return RefinerTask(config, network=network, predictor=predictor, adapters=adapters, perceptual=perceptual)


def create_module(config: RefinerTrainingConfig, *, base: FrozenBase, names: tuple[str, ...]) -> DetailRefinementModule:
    """A new module, or an earlier one with prompts for what the predictor knows beyond it.

    Raises:
        ConfigError: the predictor does not know the earlier degradations, in their order, or widths do not fit.
        WeightsUnavailableError: there is no earlier one.
    """
    widths, sizes = tuple(base.vae.config.block_out_channels), config.sizes
    if config.init_from is None:
        return DetailRefinementModule(
            widths,
            sizes.hidden_channels,
            names,
            num_prompts=sizes.num_prompts,
            prompt_dim=sizes.prompt_dim,
            num_res_blocks=sizes.num_res_blocks,
            num_swin_blocks=sizes.num_swin_blocks,
            head_dim=sizes.head_dim,
            window_size=sizes.window_size,
            norm_num_groups=sizes.norm_num_groups,
        )
    drm = load_module(config.init_from)
    if tuple(drm.config["block_out_channels"]) != widths:
        raise ConfigError(
            f"the module of init_from is made for an autoencoder of widths {list(drm.config['block_out_channels'])}, "
            f"the base's are {list(widths)}"
        )
    num_old = len(drm.names)
    if names[:num_old] != drm.names:
        raise ConfigError(
            f"the module of init_from knows {', '.join(drm.names)}, the predictor {', '.join(names)}; give a "
            "predictor that begins with the same"
        )
    new_names = names[num_old:]
    if not new_names:
        if not config.train_shared:
            raise ConfigError("train_shared: false leaves nothing to train; the predictor knows no new degradation")
        return drm
    drm.requires_grad_(config.train_shared).grow(new_names)
    for level in drm.levels:
        freeze_rows(level.modulator.visual_prompt.requires_grad_(True), num_old)
    return drm


def load_module(folder: Path) -> DetailRefinementModule:
    """A module from its folder, or from that of a run's export or pipeline.

    Raises:
        WeightsUnavailableError: none lies there.
    """
    found = next((place for place in (folder, folder / "drm") if _is_module(place)), None)
    if found is None:
        raise WeightsUnavailableError(f"no refinement module in {folder}; give the export of a run of the refiner")
    return DetailRefinementModule.from_pretrained(found, local_files_only=True)


def _is_module(folder: Path) -> bool:
    """Whether a folder is that of a module, and not of what has one among others."""
    return (folder / "config.json").is_file()
