import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from run_files import assert_equal_to_the_bit, final_state, metrics
from stable_runs import ADAPTER_SIZES, NAMES, adapters_config, last_metrics, save_base, save_pictures

from ldrestore.config import load_config
from ldrestore.errors import ConfigError, WeightsError, WeightsUnavailableError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.training.loop.checkpoint import list_checkpoints
from ldrestore.training.losses.diffusion_loss import encoded
from ldrestore.training.networks.frozen_base import BaseConfig, load_base
from ldrestore.training.networks.stable_adapters import StableAdapters, load_parts
from ldrestore.training.networks.steering import LqFeatures
from ldrestore.training.tasks.adapters import AdaptersTask, create_network
from ldrestore.training.tasks.adapters_config import AdaptersTrainingConfig
from ldrestore.training.trainers import train_by_config
from ldrestore.weights.hashes import hash_of_weights

PARTS = ("cm_adapter", "textual_prompts", "ir_adapter", "injection")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="module")
def base_folder(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def predictor_folder(tmp_path_factory):
    torch.manual_seed(1)
    folder = tmp_path_factory.mktemp("predictor")
    DegradationPredictor(NAMES, embedding_dim=6, hidden_dim=8).save_pretrained(folder / "predictor")
    return folder


@pytest.fixture
def run(tmp_path, pictures, base_folder, predictor_folder):
    """Config file, network and task of a run; keys of the config may be replaced."""

    def create(**extra):
        path = adapters_config(tmp_path, pictures, base_folder, predictor_folder, **extra)
        config = load_config(AdaptersTrainingConfig, path)
        base = load_base(config.base)
        predictor = DegradationPredictor.from_pretrained(predictor_folder / "predictor")
        torch.manual_seed(2)
        network = create_network(config, base=base, predictor=predictor)
        return path, network, AdaptersTask(config, network=network, predictor=predictor)

    return create


def step(network, task, *, num=1):
    """Some steps of the optimizer on random pictures; the losses."""
    torch.manual_seed(3)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    losses = []
    for _ in range(num):
        batch = {"lq": torch.rand(2, 3, 16, 16), "gt": torch.rand(2, 3, 16, 16)}
        loss, _ = task.loss(network, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_every_adapter_and_prompt_moves_and_nothing_else_does(run):
    _, network, task = run()
    frozen = [*network.base.modules(), task.predictor]
    hashes = [hash_of_weights(part) for part in frozen]
    before = copy.deepcopy(network.state_dict())
    step(network, task, num=3)
    after = network.state_dict()
    assert {key.partition(".")[0] for key in after} == set(PARTS)
    assert [key for key in after if torch.equal(after[key], before[key])] == []
    assert [hash_of_weights(part) for part in frozen] == hashes
    assert all(weight.grad is None for part in frozen for weight in part.parameters())


def test_at_the_start_the_base_predicts_as_without_features(run):
    _, network, _ = run()
    base, noised, timesteps = network.base, torch.randn(2, 4, 8, 8), torch.tensor([3, 500])
    words, probabilities = torch.randn(2, 14, 8), torch.full((2, 2), 0.5)
    features = LqFeatures(noised, torch.randn(2, 1, 6), probabilities)
    with torch.no_grad():
        attached = network.predict(noised, timesteps, features, prompt_embeds=words)
        base.system({}, acts=True)  # takes the layers off
        bare = base.unet(noised, timesteps, words).sample
    assert torch.equal(attached, bare)


def test_the_loss_is_equation_1(run):
    _, network, task = run()
    batch = {"lq": torch.rand(2, 3, 16, 16), "gt": torch.rand(2, 3, 16, 16)}
    base, scheduler = network.base, network.base.scheduler
    torch.manual_seed(4)
    loss, parts = task.loss(network, batch)
    torch.manual_seed(4)
    latents = encoded(base.vae, batch["gt"], is_sampled=True)
    timesteps = torch.randint(1000, (2,))
    noise = torch.randn_like(latents)
    alpha_bar = scheduler.alphas_cumprod[timesteps].view(2, 1, 1, 1)
    noised = alpha_bar.sqrt() * latents + (1 - alpha_bar).sqrt() * noise
    embeddings = base.tower(batch["lq"])
    probabilities = task.predictor(embeddings).softmax(dim=-1)
    lq_latents = encoded(base.vae, batch["lq"], is_sampled=False)
    prediction = network(noised, timesteps, LqFeatures(lq_latents, embeddings, probabilities))
    velocity = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * latents
    torch.testing.assert_close(loss, (prediction - velocity).square().mean())
    assert torch.equal(loss, parts["squared"])


def test_averaged_weights_act_through_their_own_layers(run):
    _, network, task = run()
    step(network, task, num=2)
    average = copy.deepcopy(network)
    assert average.base is network.base
    with torch.no_grad():
        network.injection.mid_block[0].mlp_beta.bias.add_(1.0)
    metrics = [task.validate(one)["loss"] for one in (network, average, network)]
    assert metrics[0] == metrics[2] != metrics[1]


def test_a_stopped_run_goes_on_to_the_bit(tmp_path, run):
    path, _, _ = run(stages=[{"patch_size": 16, "batch_size": 2, "steps": 4}])
    straight = [f"run.output_dir={tmp_path / 'straight'}", "run.checkpoint_every=2"]
    assert train_by_config(path, overrides=straight, resume=None)
    checkpoints = list_checkpoints(tmp_path / "straight")
    resumed = [f"run.output_dir={tmp_path / 'resumed'}", "run.checkpoint_every=2"]
    assert train_by_config(path, overrides=resumed, resume=str(checkpoints[0]))
    assert_equal_to_the_bit(final_state(tmp_path / "resumed"), final_state(tmp_path / "straight"))
    assert metrics(tmp_path / "resumed") == [line for line in metrics(tmp_path / "straight") if line["step"] > 2]


@pytest.mark.parametrize("origin", ["timestep", "pure_noise"])
def test_dream_shows_the_network_its_own_errors(run, origin):
    """A guess without gradients first; the loss is then of other noise upon the same latents."""
    _, network, task = run(loss={"dream": 1.0, "dream_from": origin})
    passes = []

    def watched(noised, timesteps, steering):
        prediction = network(noised, timesteps, steering)
        passes.append((noised, timesteps, prediction))
        return prediction

    loss, _ = task.loss(watched, {"lq": torch.rand(2, 3, 16, 16), "gt": torch.rand(2, 3, 16, 16)})
    (noised, guessed, guess), (shifted, timesteps, prediction) = passes
    assert not guess.requires_grad and prediction.requires_grad and loss.requires_grad
    assert not torch.equal(noised, shifted)
    expected = timesteps if origin == "timestep" else torch.full_like(timesteps, 999)
    assert torch.equal(guessed, expected)


def test_a_rollout_shows_the_network_its_own_sampling(run):
    _, network, task = run(loss={"rollout_steps": 2})
    passes = []

    def watched(noised, timesteps, steering):
        prediction = network(noised, timesteps, steering)
        passes.append((timesteps, prediction.requires_grad))
        return prediction

    loss, _ = task.loss(watched, {"lq": torch.rand(2, 3, 16, 16), "gt": torch.rand(2, 3, 16, 16)})
    (first, *_), (second, *_), (last, _) = passes
    assert [requires_grad for _, requires_grad in passes] == [False, False, True] and loss.requires_grad
    assert (first == 999).all() and torch.equal(second, 999 + (last - 999) // 2)


def test_a_run_exports_its_parts_and_no_base(tmp_path, run):
    path, _, _ = run(loss={"min_snr_gamma": 5.0})
    assert train_by_config(path, overrides=[], resume=None)
    assert {"validation/loss/rain", "validation/psnr/rain"} <= set(last_metrics(tmp_path))
    export = tmp_path / "run/export"
    assert {folder.name for folder in export.iterdir()} == {*PARTS, "predictor"}
    averaged = final_state(tmp_path / "run")["ema"]
    for name, part in load_parts(export).items():
        for key, weight in part.state_dict().items():
            assert torch.equal(weight, averaged[f"{name}.{key}"])


@pytest.mark.parametrize("train_shared", [True, False])
def test_new_degradations_leave_the_old_rows_to_the_bit(tmp_path, pictures, base_folder, run, train_shared):
    _, old, _ = run()
    for name, part in old.parts.items():
        part.save_pretrained(tmp_path / "old" / name)
    torch.manual_seed(5)
    DegradationPredictor((*NAMES, "jpeg"), embedding_dim=6, hidden_dim=8).save_pretrained(tmp_path / "grown")
    extra = {"init_from": str(tmp_path / "old"), "train_shared": train_shared}
    path = adapters_config(tmp_path, pictures, base_folder, tmp_path / "grown", **extra)
    assert train_by_config(path, overrides=["optimizer.weight_decay=0.5"], resume=None)
    new = load_parts(tmp_path / "run/export")
    assert new["ir_adapter"].config["degradations"] == [*NAMES, "jpeg"]
    assert torch.equal(new["textual_prompts"].tp[:2], old.textual_prompts.tp)
    assert torch.equal(new["ir_adapter"].visual_prompt[:, :2], old.ir_adapter.visual_prompt)
    assert_equal_to_the_bit(new["cm_adapter"].attns[:2].state_dict(), old.cm_adapter.attns.state_dict())
    latest = final_state(tmp_path / "run")["model"]
    changed = {key for key, weight in old.state_dict().items() if not torch.equal(latest[key], weight)}
    pools = {"textual_prompts.tp", "ir_adapter.visual_prompt"}
    shared = {key for key in old.state_dict() if not key.startswith("cm_adapter.attns.")} - pools
    assert len(changed & shared) > 50 if train_shared else not changed & shared
    assert pools <= changed


@pytest.mark.parametrize("parts", [["cm_adapter"], ["cm_adapter", "textual_prompts"], ["ir_adapter", "injection"]])
def test_ablations_train_what_is_left(run, parts):
    _, network, task = run(parts=parts)
    assert list(network.parts) == parts
    before = copy.deepcopy(network.state_dict())
    step(network, task)
    assert any(not torch.equal(weight, before[key]) for key, weight in network.state_dict().items())


def test_an_ir_adapter_without_pools_is_trained(run):
    _, network, task = run(sizes={**ADAPTER_SIZES, "num_prompts": 0})
    assert not any("visual_prompt" in name for name, _ in network.named_parameters())
    before = copy.deepcopy(network.state_dict())
    step(network, task, num=3)
    assert [key for key, weight in network.state_dict().items() if torch.equal(weight, before[key])] == []


def test_gradient_checkpointing_changes_no_gradient(run):
    gradients = []
    for checkpointing in (False, True):
        _, network, task = run()
        network.base.unet.train(checkpointing)
        if checkpointing:
            network.base.unet.enable_gradient_checkpointing()
        with torch.no_grad():
            network.injection.mid_block[0].mlp_beta.bias.add_(0.1)
        torch.manual_seed(6)
        loss, _ = task.loss(network, {"lq": torch.rand(1, 3, 16, 16), "gt": torch.rand(1, 3, 16, 16)})
        loss.backward()
        gradients.append({name: weight.grad for name, weight in network.named_parameters()})
    torch.testing.assert_close(gradients[0], gradients[1])


def test_parts_that_do_not_belong_together_are_refused(run):
    with pytest.raises(ConfigError, match="ir_adapter and injection go together"):
        run(parts=["ir_adapter"])
    with pytest.raises(ConfigError, match="one or more different names"):
        run(parts=[])


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["train_shared=false"], ConfigError, "needs init_from"),
        (["loss={min_snr_gamma: 0}"], ConfigError, "min_snr_gamma must be positive"),
        (["loss={dream: -1}"], ConfigError, "dream must be at least 0"),
        (["loss={rollout_steps: 0}"], ConfigError, "rollout_steps must be at least 1"),
        (["loss={rollout_steps: 2, dream: 1}"], ConfigError, "exclude each other"),
        (["loss={timestep_shift: 0}"], ConfigError, "timestep_shift must be positive"),
        (["init_from=nowhere"], WeightsUnavailableError, "no cm_adapter, .* in nowhere"),
        (["predictor=nowhere"], WeightsUnavailableError, "no predictor in nowhere"),
        (["parts=[drm]"], ConfigError, "expected one of"),
    ],
)
def test_configs_that_make_no_sense_are_refused(run, overrides, error, message):
    path, _, _ = run()
    with pytest.raises(error, match=message):
        train_by_config(path, overrides=overrides, resume=None)


def test_a_predictor_of_another_tower_is_refused(tmp_path, run):
    path, _, _ = run()
    DegradationPredictor(NAMES, embedding_dim=7, hidden_dim=8).save_pretrained(tmp_path / "other")
    with pytest.raises(ConfigError, match="reads embeddings of width 7, the tower's are 6 wide"):
        train_by_config(path, overrides=[f"predictor={tmp_path / 'other'}"], resume=None)


def test_a_base_without_a_part_is_refused(tmp_path, base_folder):
    for name in ("vae", "image_encoder"):
        (tmp_path / name).symlink_to(base_folder / name)
    with pytest.raises(WeightsError, match="no base: it lacks unet, text_encoder"):
        load_base(BaseConfig(path=str(tmp_path)))


def test_parts_of_different_degradations_are_refused(run):
    _, network, _ = run()
    parts = network.parts
    parts["textual_prompts"].register_to_config(degradations=["haze", "snow"])
    with pytest.raises(ConfigError, match="know different degradations"):
        StableAdapters(network.base, parts)


def test_frozen_networks_may_compute_in_bfloat16(run):
    batch = {"lq": torch.rand(2, 3, 16, 16), "gt": torch.rand(2, 3, 16, 16)}
    losses = {}
    for dtype in (None, torch.bfloat16):
        _, network, task = run()
        network.base.autocast_dtype = dtype
        torch.manual_seed(4)
        losses[dtype] = task.loss(network, batch)[0]
    assert losses[None] != losses[torch.bfloat16]
    torch.testing.assert_close(losses[torch.bfloat16], losses[None], rtol=0.03, atol=0)


def test_the_config_says_in_which_format_they_do(base_folder):
    base = load_base(BaseConfig(path=str(base_folder), autocast="bfloat16"))
    with base.autocast(torch.device("cpu")):
        assert torch.get_autocast_dtype("cpu") == torch.bfloat16 and torch.is_autocast_enabled("cpu")
    with load_base(BaseConfig(path=str(base_folder))).autocast(torch.device("cpu")):
        assert not torch.is_autocast_enabled("cpu")


def test_parts_that_an_earlier_run_lacks_are_named_with_what_to_do(tmp_path: Path, run: Callable) -> None:
    _, old, _ = run(parts=["cm_adapter", "textual_prompts"])
    for name, part in old.parts.items():
        part.save_pretrained(tmp_path / "old" / name)
    with pytest.raises(WeightsError, match=r"old has no ir_adapter, injection; leave them out of parts"):
        run(init_from=str(tmp_path / "old"))
    _, network, _ = run(init_from=str(tmp_path / "old"), parts=["cm_adapter"])
    assert list(network.parts) == ["cm_adapter"]
    assert_equal_to_the_bit(dict(network.cm_adapter.state_dict()), dict(old.cm_adapter.state_dict()))


@pytest.mark.parametrize("names", [("rain", "haze"), ("haze",), ("snow", "haze", "rain")])
def test_a_predictor_that_does_not_begin_with_the_earlier_names_is_refused(
    tmp_path: Path, run: Callable, names: tuple[str, ...]
) -> None:
    _, old, _ = run()
    for name, part in old.parts.items():
        part.save_pretrained(tmp_path / "old" / name)
    DegradationPredictor(names, embedding_dim=6, hidden_dim=8).save_pretrained(tmp_path / "other")
    path, _, _ = run()
    overrides = [f"init_from={tmp_path / 'old'}", f"predictor={tmp_path / 'other'}"]
    message = f"init_from know haze, rain, the predictor {', '.join(names)}; give a predictor that begins with the same"
    with pytest.raises(ConfigError, match=message):
        train_by_config(path, overrides=overrides, resume=None)


def test_earlier_adapters_that_nothing_is_added_to_must_be_trained(tmp_path: Path, run: Callable) -> None:
    _, old, _ = run()
    for name, part in old.parts.items():
        part.save_pretrained(tmp_path / "old" / name)
    with pytest.raises(ConfigError, match="leaves nothing to train; the predictor knows no new degradation"):
        run(init_from=str(tmp_path / "old"), train_shared=False)
    _, network, task = run(init_from=str(tmp_path / "old"))
    assert_equal_to_the_bit(dict(network.state_dict()), dict(old.state_dict()))
    before = copy.deepcopy(network.state_dict())
    step(network, task, num=3)
    assert [key for key, weight in network.state_dict().items() if torch.equal(weight, before[key])] == []


@pytest.mark.parametrize("num", [None, 3])
def test_validation_samples_in_so_many_steps_or_not_at_all(run: Callable, num: int | None) -> None:
    _, network, task = run(sampling_steps=num)
    passes = []
    network.base.unet.register_forward_hook(lambda *_: passes.append(1))
    with torch.no_grad():
        metrics = task.validate(network.eval())
    assert {"loss", "loss/rain"} <= metrics.keys()
    assert ("psnr/rain" in metrics) == (num is not None)
    assert len(passes) == 1 + (num or 0)  # one for all timesteps of the loss


def test_validation_is_the_same_each_time_and_draws_nothing(run: Callable) -> None:
    _, network, task = run()
    state = torch.get_rng_state()
    with torch.no_grad():
        assert task.validate(network.eval()) == task.validate(network)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("parts", [PARTS, PARTS[:2], PARTS[:1], PARTS[2:]])
def test_each_weight_in_training_gets_a_gradient(run: Callable, parts: tuple[str, ...]) -> None:
    """Several processes refuse those that get none."""
    _, network, task = run(parts=list(parts))
    task.loss(network, {"lq": torch.rand(2, 3, 16, 16), "gt": torch.rand(2, 3, 16, 16)})[0].backward()
    assert [name for name, weight in network.named_parameters() if weight.requires_grad and weight.grad is None] == []
