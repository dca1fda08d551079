"""The training loop: one for all trainers, on accelerate.

A trainer hands over a network and a `Task`, which says what the data are, what the loss is, how to validate and how to
export. The loop does the rest: stages, mixed precision, accumulation, clipping, learning rate, averaged weights,
metrics, checkpoints, stopping and resuming. A resumed run on the CPU equals one that never stopped, to the bit.
"""

import importlib.util
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.logging import get_logger
from accelerate.utils import DistributedDataParallelKwargs, DistributedType, GradientAccumulationPlugin, set_seed
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.data import Dataset

from ldrestore.errors import ConfigError, MissingExtraError
from ldrestore.training.config import StageConfig, TrainingConfig, num_steps, stage_at
from ldrestore.training.data.loading import Batch, Batches, create_loader, to_device
from ldrestore.training.loop.agreement import agreed
from ldrestore.training.loop.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from ldrestore.training.loop.clipping import Norms, clip_gradients, require_whole_gradients
from ldrestore.training.loop.ema import Ema
from ldrestore.training.loop.journal import Journal, Stopwatch, divergence
from ldrestore.training.loop.optimizers import create_optimizer
from ldrestore.training.loop.provenance import write_provenance
from ldrestore.training.loop.run_folder import writing_together
from ldrestore.training.loop.schedule import learning_rate_at
from ldrestore.training.loop.stopping import StopRequest

logger = get_logger(__name__)

PARTING_SECONDS = 0.5
"""How long a process of several stays before it may end; gloo's threads need microseconds, on a full machine more."""


class Task(Protocol):
    """What a trainer trains; the loop knows no more of it."""

    def dataset(self, stage: StageConfig) -> Dataset[Any]:
        """The training data of a stage: sized, and indexed by (epoch, index)."""
        ...

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Forward pass and loss.

        Args:
            model: The network as prepared by accelerate.
            batch: Collated items of the data set, on the device.

        Returns:
            The scalar to minimise, and scalars to log, by name.
        """
        ...

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Metrics of the network in evaluation mode, by name; every process calls this with equal weights."""
        ...

    def export(self, weights: dict[str, Tensor], folder: Path) -> None:
        """Write weights for users into an empty folder; only the main process calls this."""
        ...


@dataclass(slots=True, kw_only=True)
class TrainingRun:
    """All that the steps of the loop share."""

    config: TrainingConfig
    """The shared sections of the trainer's config."""
    task: Task
    """Data, loss, validation, export."""
    accelerator: Accelerator
    """Devices, processes and precision."""
    state: TrainingState
    """What training changes, and checkpoints hold."""
    journal: Journal
    """Where metrics go."""
    stop: StopRequest
    """Whether a signal came."""
    clipped_apart: tuple[str, ...] = ()
    """Modules of the network whose gradients are clipped each by its own norm; none for one norm of all."""
    watch: Stopwatch = field(default_factory=Stopwatch)
    """Time spent in steps."""
    is_stopping: bool = False
    """Whether all processes agreed to stop after this step."""

    @property
    def num_steps(self) -> int:
        """Optimizer steps from the first stage's start to the last one's end."""
        return num_steps(self.config.stages)

    @property
    def is_finished(self) -> bool:
        """Whether all steps are done."""
        return self.state.step >= self.num_steps


def train(
    config: TrainingConfig,
    *,
    task: Task,
    network: nn.Module,
    checkpoint: Path | None = None,
    skips_weights: bool = False,
    clipped_apart: tuple[str, ...] = (),
) -> bool:
    """Train a network from the start or from a checkpoint, to the end of the last stage or until a signal comes.

    Args:
        config: The shared sections of the trainer's config.
        task: Data, loss, validation, export.
        network: The network with its initial weights; trained in place.
        checkpoint: Folder to resume from; None to start at step 0.
        skips_weights: Whether a forward pass may leave trainable weights out, as those of experts nobody took.
        clipped_apart: See `TrainingRun`.

    Returns:
        Whether all steps are done; False where SIGTERM or SIGINT stopped the run, which then can be resumed.

    Raises:
        ConfigError: config and checkpoint, or config and launcher, do not fit.
        DatasetError: a picture cannot be loaded.
        LoaderError: a process that loads pictures died.
        OtherProcessError: another process of the run failed.
        LDRestoreError: training diverged.
        MissingExtraError: the tracker is not installed.
    """
    accelerator = create_accelerator(config, skips_weights=skips_weights)
    require_whole_gradients(accelerator.distributed_type, clipped_apart)
    set_seed(config.run.seed + accelerator.process_index)
    state = create_state(config, network=network, accelerator=accelerator)
    if checkpoint is not None:
        load_checkpoint(checkpoint, state, config=config, accelerator=accelerator)
        logger.info("resumed from %s", checkpoint)
    with writing_together(config.run.output_dir):
        if accelerator.is_main_process:
            write_provenance(config, config.run.output_dir)
        journal = Journal(config.run.output_dir, accelerator)
        journal.rewind(state.step)
    with StopRequest() as stop:
        run = TrainingRun(
            config=config,
            task=task,
            accelerator=accelerator,
            state=state,
            journal=journal,
            stop=stop,
            clipped_apart=clipped_apart,
        )
        while not run.is_finished and not run.is_stopping:
            train_stage(run)
    leave_processes(accelerator)
    return run.is_finished


def create_accelerator(config: TrainingConfig, *, skips_weights: bool = False) -> Accelerator:
    """Set accelerate up for a run; how many processes there are, and DeepSpeed or FSDP, comes from its launcher.

    Args:
        config: The shared sections of the trainer's config.
        skips_weights: Whether several processes look in each step for trainable weights that got no gradient; where
            there are none, this costs time for nothing.

    Raises:
        ConfigError: averaged weights were asked for where each process holds only a part of the weights.
        MissingExtraError: the tracker is not installed.
    """
    run = config.run
    if run.tracker == "tensorboard" and importlib.util.find_spec("tensorboard") is None:
        raise MissingExtraError("tensorboard", "train", "to log to TensorBoard")
    accumulation = GradientAccumulationPlugin(num_steps=run.gradient_accumulation_steps, sync_with_dataloader=False)
    accelerator = Accelerator(
        cpu=run.device == "cpu",
        mixed_precision=run.mixed_precision,
        gradient_accumulation_plugin=accumulation,
        log_with=None if run.tracker == "none" else run.tracker,
        project_dir=str(run.output_dir),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=skips_weights)],
    )
    deepspeed = accelerator.state.deepspeed_plugin if _uses_deepspeed(accelerator) else None
    is_sharded = accelerator.distributed_type == DistributedType.FSDP or (deepspeed and deepspeed.zero_stage == 3)
    if is_sharded and config.ema is not None:
        raise ConfigError("averaged weights need whole weights in each process; write 'ema: null', or use ZeRO-2")
    if deepspeed is not None:  # it accumulates, clips and counts by itself
        settings = deepspeed.deepspeed_config
        settings["train_micro_batch_size_per_gpu"] = config.stages[0].batch_size
        settings["gradient_accumulation_steps"] = run.gradient_accumulation_steps
        settings["gradient_clipping"] = config.optimizer.max_grad_norm or 0.0
    accelerator.init_trackers("tensorboard")
    return accelerator


def leave_processes(accelerator: Accelerator) -> None:
    """Close the trackers and part from the other processes, so that this one can end whenever it likes.

    Python that ends while a thread of gloo still lets go of the last gathered tensor is aborted, and torch keeps these
    threads for as long as the process lives once `DistributedDataParallel` was used (pytorch issue 190489).
    """
    has_others = accelerator.num_processes > 1
    accelerator.end_training()
    if has_others:
        time.sleep(PARTING_SECONDS)


def create_state(config: TrainingConfig, *, network: nn.Module, accelerator: Accelerator) -> TrainingState:
    """Optimizer, averaged weights, and all of it as accelerate wants it."""
    if config.run.channels_last:
        lay_channels_last(network)
    network.train()
    ema = None if config.ema is None else Ema(network, decay=config.ema.decay)
    if ema is not None:
        ema.network.to(accelerator.device)
    optimizer = create_optimizer(network, config.optimizer, accelerator.distributed_type)
    if config.run.compile:
        network.compile()  # in place: names of the weights stay, and the average's copy is left as it is
    model, optimizer = accelerator.prepare(network, optimizer)
    return TrainingState(model=model, optimizer=optimizer, ema=ema)


def lay_channels_last(network: nn.Module) -> None:
    """Lay weights of four axes out with the channels innermost; `Module.to` stumbles over prompts of five."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def train_stage(run: TrainingRun) -> None:
    """Train from the current step to the end of its stage, or until a signal comes."""
    state = run.state
    stage, stage_end = stage_at(state.step, run.config.stages)
    logger.info("steps %d to %d: %s", state.step, stage_end, stage)
    with agreed():
        dataset = run.task.dataset(stage)
        loader = create_loader(dataset, config=run.config, accelerator=run.accelerator, step=state.step)
    with Batches(loader) as batches:
        while state.step < stage_end and not run.is_stopping:
            learning_rate = learning_rate_at(state.step, num_steps=run.num_steps, config=run.config.optimizer)
            with run.watch:
                norms = optimizer_step(run, load_step(run, batches), learning_rate=learning_rate)
            run.is_stopping = run.stop.agreed(run.accelerator)
            finish_step(run, learning_rate=learning_rate, norms=norms)


def load_step(run: TrainingRun, batches: Batches) -> list[Batch]:
    """The batches of one optimizer step, on the CPU, once every process has its own.

    Raises:
        DatasetError: a picture cannot be loaded; in the first process that met one.
        LoaderError: a loading process died.
        OtherProcessError: in the other processes.
    """
    with agreed():
        return [batches.next() for _ in range(run.config.run.gradient_accumulation_steps)]


def optimizer_step(run: TrainingRun, batches: list[Batch], *, learning_rate: float) -> Norms:
    """Forward and backward passes of one optimizer step, the step, and the averaged weights.

    Args:
        run: The run.
        batches: One for each pass, on the CPU.
        learning_rate: Of this step.

    Returns:
        Of the gradients.
    """
    accelerator, state, norms = run.accelerator, run.state, Norms()
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate
    for loaded in batches:
        batch = to_device(loaded, device=accelerator.device, channels_last=run.config.run.channels_last)
        with accelerator.accumulate(state.model):
            loss, parts = run.task.loss(state.model, batch)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                max_norm = run.config.optimizer.max_grad_norm
                norms = clip_gradients(accelerator, state.model, max_norm=max_norm, parts=run.clipped_apart)
            state.optimizer.step()
            state.optimizer.zero_grad()
        state.window.add({"loss": loss, **parts})
    if state.ema is not None:
        state.ema.update(accelerator.unwrap_model(state.model), num_updates=state.step)
    state.step += 1
    return norms


def finish_step(run: TrainingRun, *, learning_rate: float, norms: Norms) -> None:
    """Metrics, validation, export and checkpoint, where they are due.

    The checkpoint comes last: a run that dies before it does the others again.
    """
    settings, step = run.config.run, run.state.step
    if step % settings.log_every == 0 or run.is_finished:
        log_metrics(run, learning_rate=learning_rate, norms=norms)
    if step % settings.validate_every == 0 or run.is_finished:
        validate(run)
    if step % settings.checkpoint_every == 0 or run.is_finished or run.is_stopping:
        with agreed():
            run.state.window.mean(run.accelerator, step=step)  # raises rather than save weights that diverged
            require_finite_weights(run.state.model, step=step)
        export_weights(run)
        folder = save_checkpoint(run.state, config=run.config, accelerator=run.accelerator)
        logger.info("step %d: wrote %s", step, folder)


def require_finite_weights(model: nn.Module, *, step: int) -> None:
    """Refuse to save what the last step broke: no loss tells of it before the next pass.

    Args:
        model: As accelerate prepared it; of weights that are shared out, each process looks at its own part.
        step: Optimizer steps done.

    Raises:
        LDRestoreError: a weight in training is not finite.
    """
    trained = [weight.detach() for weight in model.parameters() if weight.requires_grad]
    own = [weight.to_local() if isinstance(weight, DTensor) else weight for weight in trained]
    if own and not torch.stack([weight.isfinite().all() for weight in own]).all():
        raise divergence("weights are no numbers", step=step)


def log_metrics(run: TrainingRun, *, learning_rate: float, norms: Norms) -> None:
    """Write one line of metrics and start the next window."""
    step = run.state.step
    with agreed():
        means = run.state.window.mean(run.accelerator, step=step)
    run.state.window.clear()
    rate = run.watch.steps_per_second() * samples_per_step(run)
    values = {
        **means,
        "learning_rate": learning_rate,
        **{name: None if norm is None else float(norm) for name, norm in norms.items()},
        "samples_per_second": rate,
    }
    with writing_together(run.config.run.output_dir):
        run.journal.write(step, values)
    logger.info("step %d/%d: loss %.5f, %.1f samples/s", step, run.num_steps, means["loss"], rate)


def samples_per_step(run: TrainingRun) -> int:
    """Samples that all processes together put into the last optimizer step."""
    stage, _ = stage_at(run.state.step - 1, run.config.stages)
    return stage.batch_size * run.config.run.gradient_accumulation_steps * run.accelerator.num_processes


def validate(run: TrainingRun) -> None:
    """Validate the averaged weights, or without them those in training.

    Every process computes all of it: the others would wait for the result anyway, and sharded weights need them all.
    """
    network = run.accelerator.unwrap_model(run.state.model) if run.state.ema is None else run.state.ema.network
    network.eval()
    with torch.no_grad():
        metrics = run.task.validate(network)
    run.state.model.train()
    if metrics:
        with writing_together(run.config.run.output_dir):
            run.journal.write(run.state.step, {f"validation/{name}": value for name, value in metrics.items()})
        logger.info("step %d: %s", run.state.step, ", ".join(f"{name} {value:.3f}" for name, value in metrics.items()))


def export_weights(run: TrainingRun) -> None:
    """Write the averaged weights, or without them those in training, for users into `export` of the run's folder."""
    ema, accelerator = run.state.ema, run.accelerator
    weights = accelerator.get_state_dict(run.state.model) if ema is None else ema.network.state_dict()
    with writing_together(run.config.run.output_dir):
        if accelerator.is_main_process:
            folder = run.config.run.output_dir / "export"
            partial = folder.with_name("export.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            run.task.export({name: weight.detach().cpu().contiguous() for name, weight in weights.items()}, partial)
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)


def _uses_deepspeed(accelerator: Accelerator) -> bool:
    """Whether the launcher chose DeepSpeed."""
    return accelerator.distributed_type == DistributedType.DEEPSPEED
