import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from run_files import assert_equal_to_the_bit, final_state, metrics
from stable_runs import NAMES, adapters_config, last_metrics, refiner_config, save_base, save_pictures

from ldrestore.config import load_config
from ldrestore.errors import ConfigError, WeightsUnavailableError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.refiners.drm import DetailRefinementModule
from ldrestore.refiners.refined_decoder import decode_refined, encode_picture
from ldrestore.training.loop.checkpoint import list_checkpoints
from ldrestore.training.loop.frozen_rows import parameter_groups
from ldrestore.training.loop.memory_estimate import log_memory_estimate
from ldrestore.training.losses.discriminator import PatchDiscriminator
from ldrestore.training.losses.refiner_losses import colour_loss
from ldrestore.training.tasks.refiner import create_task, load_module, prepare_refiner
from ldrestore.training.tasks.refiner_config import RefinerTrainingConfig
from ldrestore.training.trainers import train_by_config
from ldrestore.weights.hashes import hash_of_weights


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapters_folder(tmp_path_factory, pictures, base_folder):
    """What a run of stage 1 exports."""
    root = tmp_path_factory.mktemp("adapters")
    torch.manual_seed(1)
    DegradationPredictor(NAMES, embedding_dim=6, hidden_dim=8).save_pretrained(root / "predictor")
    path = adapters_config(root, pictures, base_folder, root / "predictor")
    assert train_by_config(path, overrides=[], resume=None)
    return root / "run/export"


@pytest.fixture
def run(tmp_path, pictures, base_folder, adapters_folder):
    """Config file of a run; keys may be replaced."""
    return lambda **extra: refiner_config(tmp_path, pictures, base_folder, **({"adapters": adapters_folder} | extra))


def task_of(path):
    """What the trainer trains."""
    return create_task(load_config(RefinerTrainingConfig, path))


def step(task, *, num=1):
    """Some steps of the optimizer on random pictures; the parts of the last loss."""
    torch.manual_seed(3)
    task.network.train()
    optimizer = torch.optim.AdamW(parameter_groups(task.network, weight_decay=0.01), lr=0.01)
    for _ in range(num):
        batch = {"lq": torch.rand(2, 3, 32, 32), "gt": torch.rand(2, 3, 32, 32)}
        loss, parts = task.loss(task.network, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return parts


def test_the_module_and_its_judge_move_and_nothing_else_does(run):
    task = task_of(run(loss={"perceptual": 0.0, "adversarial_from": 0.0}))
    frozen = [*task.base.modules(), task.predictor, task.adapters]
    hashes = [hash_of_weights(part) for part in frozen]
    before = copy.deepcopy(dict(task.network.named_parameters()))
    parts = step(task, num=3)
    assert set(parts) == {"l1", "colour", "adversarial", "judge"}
    after = dict(task.network.named_parameters())
    assert {key.partition(".")[0] for key in after} == {"drm", "judge"}
    assert [key for key in after if torch.equal(after[key], before[key])] == []
    assert [hash_of_weights(part) for part in frozen] == hashes
    assert all(weight.grad is None for part in frozen for weight in part.parameters())


def test_the_module_does_not_pay_for_the_judge_nor_the_judge_for_the_module(run):
    task = task_of(run(loss={"perceptual": 0.0, "adversarial_from": 0.0}))
    network = task.network.train()
    torch.nn.init.normal_(network.drm.levels[0].conv_out.weight)
    lq, gt = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    features, latents = encode_picture(task.base.vae, lq).features, torch.randn(2, 4, 16, 16)
    judged = network(latents, features, torch.full((2, 2), 0.5), gt, judges_from=0)
    for scores, paying in (
        (judged.restored_scores, "drm"),
        (judged.detached_scores, "judge"),
        (judged.gt_scores, "judge"),
    ):
        network.zero_grad(set_to_none=True)
        scores.sum().backward(retain_graph=True)
        reached = {key.partition(".")[0] for key, weight in network.named_parameters() if weight.grad is not None}
        assert reached == {paying}


def test_the_judge_comes_late(run):
    task = task_of(run(loss={"perceptual": 0.0, "adversarial_from": 0.5}, stages=[stage(steps=4)]))
    assert ["judge" in step(task) for _ in range(4)] == [False, False, True, True]
    assert int(task.network.num_passes) == 4


def test_without_noise_and_samples_the_loss_is_of_the_ground_truth_s_latents(run):
    loss = {"l1": 2.0, "colour": 0.5, "perceptual": 0.0, "adversarial": 0.0}
    task = task_of(run(loss=loss, latents={"sampled_share": 0.0, "max_noise": 0.0}))
    batch = {"lq": torch.rand(2, 3, 32, 32), "gt": torch.rand(2, 3, 32, 32)}
    total, parts = task.loss(task.network, batch)
    vae = task.base.vae
    latents = vae.encode(batch["gt"] * 2 - 1).latent_dist.mode()
    restored = vae.decode(latents).sample / 2 + 0.5  # a new module changes nothing
    expected = 2 * (restored - batch["gt"]).abs().mean() + 0.5 * colour_loss(restored, batch["gt"]).mean()
    torch.testing.assert_close(total, expected)
    assert set(parts) == {"l1", "colour"}


def test_the_first_pictures_of_a_batch_are_samples(run):
    task = task_of(run(latents={"sampled_share": 0.5, "max_noise": 0.0, "min_steps": 2, "max_steps": 2}))
    lq, gt = torch.rand(4, 3, 32, 32), torch.rand(4, 3, 32, 32)
    steering = task._steering(lq, encode_picture(task.base.vae, lq).latents)
    torch.manual_seed(5)
    latents = task._latents_of(gt, steering)
    torch.manual_seed(5)
    torch.rand(())  # for what is left of a picture
    torch.randint(2, 3, ())
    noise = torch.randn(2, 4, 16, 16)
    sampled = sampled_slowly(task, steering.first(2), noise, num_steps=2)
    torch.testing.assert_close(latents[:2], sampled)
    encoded = task.base.vae.encode(gt[2:] * 2 - 1).latent_dist.mode()
    torch.testing.assert_close(latents[2:], encoded * task.base.vae.config.scaling_factor)


def sampled_slowly(task, steering, latents, *, num_steps):
    """DDIM without noise, written from its equations, with the whole of the adapters at each step."""
    scheduler = task.base.scheduler
    scheduler.set_timesteps(num_steps)
    for timestep in scheduler.timesteps:
        with torch.no_grad():
            velocity = task.adapters(latents, timestep.expand(len(latents)), steering)
        alpha = scheduler.alphas_cumprod[timestep]
        before = timestep - 1000 // num_steps
        alpha_before = scheduler.alphas_cumprod[before] if before >= 0 else torch.tensor(1.0)
        clean = alpha.sqrt() * latents - (1 - alpha).sqrt() * velocity
        noise = alpha.sqrt() * velocity + (1 - alpha).sqrt() * latents
        latents = alpha_before.sqrt() * clean + (1 - alpha_before).sqrt() * noise
    return latents


def test_training_lowers_the_loss(run):
    task = task_of(run(loss={"perceptual": 0.0, "adversarial": 0.0}, latents={"sampled_share": 0.0}))
    batch = {"lq": torch.rand(2, 3, 32, 32), "gt": torch.rand(2, 3, 32, 32)}
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        torch.manual_seed(0)
        loss, _ = task.loss(task.network, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_a_stopped_run_goes_on_to_the_bit_judge_and_all(tmp_path, run):
    path = run(stages=[stage(steps=4)], loss={"perceptual": 0.0, "adversarial_from": 0.25})
    straight = [f"run.output_dir={tmp_path / 'straight'}", "run.checkpoint_every=2"]
    assert train_by_config(path, overrides=straight, resume=None)
    checkpoints = list_checkpoints(tmp_path / "straight")
    resumed = [f"run.output_dir={tmp_path / 'resumed'}", "run.checkpoint_every=2"]
    assert train_by_config(path, overrides=resumed, resume=str(checkpoints[0]))
    assert_equal_to_the_bit(final_state(tmp_path / "resumed"), final_state(tmp_path / "straight"))
    assert metrics(tmp_path / "resumed") == [line for line in metrics(tmp_path / "straight") if line["step"] > 2]


def test_module_and_judge_are_clipped_each_by_its_own_norm(tmp_path, run):
    path = run(stages=[stage(steps=4)], loss={"perceptual": 0.0, "adversarial_from": 0.5}, validation=None)
    assert train_by_config(path, overrides=["optimizer.max_grad_norm=0.01"], resume=None)
    lines = [line for line in metrics(tmp_path / "run") if "loss" in line]
    assert all(line["grad_norm/drm"] > 0 and "grad_norm" not in line for line in lines)
    assert [line["grad_norm/judge"] > 0 for line in lines] == [False, False, True, True]
    overrides = [f"run.output_dir={tmp_path / 'unjudged'}", "loss.adversarial=0"]
    assert train_by_config(path, overrides=overrides, resume=None)
    assert all(line["grad_norm"] > 0 for line in metrics(tmp_path / "unjudged"))


def test_a_run_exports_the_averaged_module_alone(tmp_path, run):
    assert train_by_config(run(), overrides=[], resume=None)
    measured = last_metrics(tmp_path)
    assert {"validation/psnr/rain", "validation/unrefined/psnr/rain"} <= set(measured)
    export = tmp_path / "run/export"
    assert [folder.name for folder in export.iterdir()] == ["drm"]
    averaged = final_state(tmp_path / "run")["ema"]
    module = load_module(export)
    assert module.names == NAMES
    for key, weight in module.state_dict().items():
        assert torch.equal(weight, averaged[f"drm.{key}"])


def test_a_share_of_one_picture_is_drawn(run):
    task = task_of(run(latents={"sampled_share": 0.5, "max_noise": 0.0, "min_steps": 1, "max_steps": 1}))
    lq, gt = torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32)
    steering = task._steering(lq, encode_picture(task.base.vae, lq).latents)
    clean = task.base.vae.encode(gt * 2 - 1).latent_dist.mode() * task.base.vae.config.scaling_factor
    torch.manual_seed(0)
    is_clean = [torch.allclose(task._latents_of(gt, steering), clean, atol=1e-5) for _ in range(12)]
    assert 0 < sum(is_clean) < 12


def test_the_judge_is_part_of_the_estimate_of_memory(run):
    states = []
    for start in (0.0, 0.9):
        path = run(loss={"perceptual": 0.0, "adversarial_from": start})
        config, task = load_config(RefinerTrainingConfig, path), task_of(path)
        task.network.num_passes.fill_(task.num_passes)
        states.append(log_memory_estimate(config, task=task, network=task.network, frozen=[]).states)
    assert states[0] == states[1]


def test_a_base_in_bfloat16_is_judged_too(run, base_folder):
    loss = {"perceptual": 0.0, "adversarial_from": 0.0}
    path = run(loss=loss)
    config = load_config(RefinerTrainingConfig, path, ["base.dtype=bfloat16"])
    parts = step(create_task(config))
    assert all(part.isfinite() for part in parts.values()) and "judge" in parts


def test_gradient_checkpointing_reaches_the_decoder_and_changes_no_gradient(run):
    gradients = []
    for is_on in (False, True):
        config = load_config(
            RefinerTrainingConfig,
            run(loss={"adversarial": 0.0, "perceptual": 0.0}),
            [f"base.gradient_checkpointing={is_on}"],
        )
        task = create_task(config)
        assert task.base.vae.decoder.gradient_checkpointing == is_on
        torch.manual_seed(0)
        task.loss(task.network, {"lq": torch.rand(2, 3, 32, 32), "gt": torch.rand(2, 3, 32, 32)})[0].backward()
        gradients.append([weight.grad for weight in task.network.drm.parameters()])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_estimate_of_memory_leaves_counts_and_norms_as_they_were(run):
    path = run(loss={"perceptual": 0.0, "adversarial_from": 0.0})
    task = task_of(path)
    before = copy.deepcopy(task.network.state_dict())
    log_memory_estimate(load_config(RefinerTrainingConfig, path), task=task, network=task.network, frozen=[])
    assert all(torch.equal(value, before[key]) for key, value in task.network.state_dict().items())


def test_a_grown_module_keeps_its_old_prompts(tmp_path, run, pictures, base_folder, adapters_folder):
    assert train_by_config(run(), overrides=[], resume=None)
    earlier = load_module(tmp_path / "run/export")
    predictor = DegradationPredictor.from_pretrained(adapters_folder / "predictor")
    predictor.grow(["jpeg"])
    predictor.save_pretrained(tmp_path / "grown/predictor")
    extra = {"adapters": None, "predictor": tmp_path / "grown", "latents": {"sampled_share": 0.0}}
    path = run(init_from=str(tmp_path / "run/export"), train_shared=False, **extra)
    task = task_of(path)
    step(task, num=2)
    for old, new in zip(earlier.levels, task.network.drm.levels, strict=True):
        assert torch.equal(new.modulator.visual_prompt[:2], old.modulator.visual_prompt)
        assert torch.equal(new.conv_out.weight, old.conv_out.weight)
    moved = task.network.drm.levels[0].modulator.visual_prompt[2]
    assert task.network.drm.names == (*NAMES, "jpeg") and moved.abs().sum() > 0


def test_the_decoder_in_training_is_the_pipeline_s(run):
    task = task_of(run())
    step(task, num=2)
    lq, latents, probabilities = torch.rand(1, 3, 32, 32), torch.randn(1, 4, 16, 16), torch.tensor([[0.3, 0.7]])
    features = encode_picture(task.base.vae, lq).features
    with torch.no_grad():
        given = task.network.eval()(latents, features, probabilities).restored
        expected = decode_refined(
            task.base.vae, latents, drm=task.network.drm, features=features, probabilities=probabilities
        )
    assert torch.equal(given, expected)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"adapters": None}, "nothing can be sampled"),
        ({"train_shared": False}, "needs init_from"),
        ({"latents": {"min_steps": 5, "max_steps": 4}}, "min_steps <= max_steps"),
        ({"judge": {"num_layers": 0}}, "positive numbers"),
        ({"stages": []}, "stages is empty"),
    ],
)
def test_a_wrong_config_is_refused(run, extra, message):
    with pytest.raises(ConfigError, match=message):
        load_config(RefinerTrainingConfig, run(**extra))


def test_a_start_that_does_not_fit_is_refused(tmp_path, run):
    with pytest.raises(WeightsUnavailableError, match="no refinement module"):
        task_of(run(init_from=str(tmp_path)))
    sizes = {"num_prompts": 2, "prompt_dim": 4, "head_dim": 4, "window_size": 4, "norm_num_groups": 4}
    DetailRefinementModule((8, 8), (8, 8), ("haze", "snow"), **sizes).save_pretrained(tmp_path / "other/drm")
    with pytest.raises(ConfigError, match="knows haze, snow, the predictor haze, rain"):
        task_of(run(init_from=str(tmp_path / "other")))
    DetailRefinementModule((8, 16), (8, 8), NAMES, **sizes).save_pretrained(tmp_path / "wide/drm")
    with pytest.raises(ConfigError, match="autoencoder of widths"):
        task_of(run(init_from=str(tmp_path / "wide")))
    DetailRefinementModule((8, 8), (8, 8), NAMES, **sizes).save_pretrained(tmp_path / "same/drm")
    with pytest.raises(ConfigError, match="leaves nothing to train"):
        task_of(run(init_from=str(tmp_path / "same"), train_shared=False))


def test_the_perceptual_loss_takes_part_and_is_not_trained(run):
    pytest.importorskip("stlpips_pytorch")
    task = task_of(run(loss={"perceptual": 0.3, "adversarial": 0.0}))
    before = hash_of_weights(task.perceptual)
    assert step(task, num=2)["perceptual"] > 0
    assert hash_of_weights(task.perceptual) == before


def test_judge_sizes_are_read(run):
    task = task_of(run(judge={"base_channels": 4, "num_layers": 2}))
    expected = PatchDiscriminator(4, num_layers=2).state_dict()
    assert {key: weight.shape for key, weight in task.network.judge.state_dict().items()} == {
        key: weight.shape for key, weight in expected.items()
    }


@pytest.mark.parametrize("adversarial", [0.0, 0.005])
def test_each_weight_in_training_gets_a_gradient_or_is_expected_to_get_none(run: Callable, adversarial: float) -> None:
    """The judge's get none before it takes part; several processes have to be told."""
    path = run(loss={"perceptual": 0.0, "adversarial": adversarial, "adversarial_from": 1.0})
    prepared = prepare_refiner(load_config(RefinerTrainingConfig, path))
    batch = {"lq": torch.rand(2, 3, 32, 32), "gt": torch.rand(2, 3, 32, 32)}
    prepared.task.loss(prepared.network.train(), batch)[0].backward()
    without = {
        name.partition(".")[0]
        for name, weight in prepared.network.named_parameters()
        if weight.requires_grad and weight.grad is None
    }
    assert without == ({"judge"} if adversarial else set())
    assert prepared.skips_weights == bool(adversarial)
    assert prepared.clipped_apart == (("drm", "judge") if adversarial else ())


def stage(*, steps):
    """Of small patches."""
    return {"patch_size": 32, "batch_size": 2, "steps": steps}


def test_adapters_and_predictor_of_two_runs_are_refused(tmp_path: Path, run: Callable, adapters_folder: Path) -> None:
    DegradationPredictor(("rain", "haze"), embedding_dim=6, hidden_dim=8).save_pretrained(tmp_path / "other")
    with pytest.raises(ConfigError, match="the adapters know haze, rain, the predictor rain, haze; take both from one"):
        task_of(run(predictor=tmp_path / "other"))


def test_an_earlier_module_goes_on_as_it_is(tmp_path: Path, run: Callable) -> None:
    earlier = task_of(run())
    step(earlier, num=1)
    earlier.network.drm.save_pretrained(tmp_path / "earlier/drm")
    for place in (tmp_path / "earlier", tmp_path / "earlier/drm"):
        again = task_of(run(init_from=str(place)))
        assert_equal_to_the_bit(dict(again.network.drm.state_dict()), dict(earlier.network.drm.state_dict()))
    before = copy.deepcopy(dict(again.network.drm.named_parameters()))
    step(again, num=2)
    assert not any(torch.equal(weight, before[key]) for key, weight in again.network.drm.named_parameters())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"adversarial_from": 0.0}, 0),
        ({"adversarial_from": 0.25}, 3),
        ({"adversarial_from": 1.0}, 12),
        ({"adversarial": 0.0}, None),
    ],
)
def test_the_judge_begins_at_its_share_of_all_passes(
    run: Callable, options: dict[str, float], expected: int | None
) -> None:
    """Four steps of three accumulated passes."""
    path = run(loss={"perceptual": 0.0, **options}, stages=[stage(steps=1), stage(steps=3)])
    task = create_task(load_config(RefinerTrainingConfig, path, ["run.gradient_accumulation_steps=3"]))
    assert task.num_passes == 12 and task._judges_from() == expected
    assert (task.network.judge is None) == (expected is None)


def test_validation_of_latents_of_the_ground_truth_is_the_autoencoder_s_round_trip(
    run: Callable, adapters_folder: Path
) -> None:
    extra = {"adapters": None, "predictor": adapters_folder / "predictor", "latents": {"sampled_share": 0.0}}
    task = task_of(run(**extra))
    with torch.no_grad():
        metrics = task.validate(task.network.eval())
    for name, value in metrics.items():
        if not name.startswith("unrefined/"):
            assert metrics[f"unrefined/{name}"] == pytest.approx(value, abs=1e-3)  # a new module changes nothing
    step(task, num=3)
    with torch.no_grad():
        again = task.validate(task.network.eval())
    assert again["unrefined/psnr/rain"] == metrics["unrefined/psnr/rain"]
    assert again["psnr/rain"] != metrics["psnr/rain"]


def test_frozen_networks_may_compute_in_bfloat16_and_losses_do_not(run: Callable) -> None:
    path = run(loss={"perceptual": 0.0, "adversarial_from": 0.0})
    totals = []
    for autocast in ("null", "bfloat16"):
        task = create_task(load_config(RefinerTrainingConfig, path, [f"base.autocast={autocast}"]))
        parts = step(task)
        assert {part.dtype for part in parts.values()} == {torch.float32}
        totals.append(sum(part.item() for part in parts.values()))
    assert totals[0] != totals[1] and totals[1] == pytest.approx(totals[0], rel=0.05)
