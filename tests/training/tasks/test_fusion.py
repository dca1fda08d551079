import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from run_files import assert_equal_to_the_bit, final_state, metrics
from safetensors.torch import load_file
from stable_runs import last_metrics, run_values, save_pictures, write

from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.config import load_config
from ldrestore.degradations.recipes import list_degradations
from ldrestore.errors import ConfigError, WeightsError, WeightsUnavailableError
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.training.loop.checkpoint import list_checkpoints
from ldrestore.training.networks.xl_restorer import FrozenXLBase, merged_weights
from ldrestore.training.tasks.fusion import FusionTask, create_restorer, task_of
from ldrestore.training.tasks.fusion_config import FusionTrainingConfig
from ldrestore.training.trainers import train_by_config
from ldrestore.weights.hashes import hash_of_weights
from tests.tiny_stable import tiny_base
from tests.tiny_xl import tiny_xl_base

FUSION = {"dim": 16, "head_dim": 16, "num_single": 1, "num_heads": 2}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    with without_progress_bar():
        for name, part in tiny_xl_base().items():
            part.save_pretrained(folder / name)
    return folder


@pytest.fixture
def config_of(tmp_path, pictures, base):
    """The file of a run; sections may be replaced."""

    def create(**extra):
        values = run_values(tmp_path, pictures, steps=3) | {
            "trainer": "fusion",
            "base": {"path": str(base)},
            "fusion": FUSION,
            "switch": {"after_steps": 2},
            "sampling_steps": 2,
            "validation": {"folder": str(pictures), "recipes": ["rain"], "num_pictures": 1, "crop_size": 18},
        }
        return write(tmp_path / "fusion.yaml", values | extra)

    return create


@pytest.fixture
def network_of(config_of):
    def create(**extra):
        config = load_config(FusionTrainingConfig, config_of(**extra))
        network = create_restorer(config).train()
        return network, FusionTask(config, network=network)

    return create


def moved_parts(network, task, optimizer, *, num):
    """Which parts have weights that some steps on random pictures moved, and how many."""
    before = copy.deepcopy(network.state_dict())
    torch.manual_seed(3)
    for _ in range(num):
        pair = {name: torch.rand(2, 3, 16, 16) for name in ("lq", "gt")}
        labels = torch.zeros(2, len(list_degradations()))
        task.loss(network, {**pair, "degradations": labels})[0].backward()
        optimizer.step()
        optimizer.zero_grad()
    moved = {}
    for key, value in network.state_dict().items():
        if key != "num_passes" and not torch.equal(value, before[key]):
            moved.setdefault(key.partition(".")[0], set()).add(key.partition(".")[2])
    return moved


def adamw(network):
    return torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.1)


def test_the_fusion_moves_alone_before_the_switch_and_all_after_it(network_of):
    network, task = network_of(switch={"after_steps": 2})
    optimizer, hashes = adamw(network), [hash_of_weights(part) for part in network.base.modules()]
    moved = moved_parts(network, task, optimizer, num=2)
    assert moved.keys() == {"fusion"}
    assert moved["fusion"] == set(network.fusion.state_dict())
    moved = moved_parts(network, task, optimizer, num=2)
    assert moved.keys() == {"fusion", "unet", "lq_encoder"}
    assert moved["unet"] == set(network.unet.state_dict())
    left = set(network.lq_encoder.state_dict()) - moved["lq_encoder"]
    assert left and all(key.startswith(("encoder.conv_norm_out", "encoder.conv_out", "quant_conv")) for key in left)
    assert [hash_of_weights(part) for part in network.base.modules()] == hashes


def test_low_rank_additions_move_and_the_unet_below_them_does_not(network_of):
    network, task = network_of(switch={"after_steps": 0, "unet": "lora", "lora_rank": 2})
    moved = moved_parts(network, task, adamw(network), num=2)
    assert moved.keys() == {"fusion", "unet", "lq_encoder"}
    assert moved["unet"] and all(".lora_" in key for key in moved["unet"])


def test_steps_are_counted_and_not_what_they_sample(network_of):
    network, task = network_of(loss={"rollout_steps": 2})
    moved_parts(network, task, adamw(network), num=1)
    assert int(network.num_passes) == 1


def test_the_loss_is_equation_9(network_of):
    network, task = network_of(loss={"norm": "absolute"})
    passes = []
    network.register_forward_hook(lambda _, inputs, output: passes.append((inputs[0], output)))
    torch.manual_seed(4)
    pair = {name: torch.rand(2, 3, 16, 16) for name in ("lq", "gt")}
    state = torch.get_rng_state()
    loss, parts = task.loss(network, {**pair, "degradations": torch.zeros(2, len(list_degradations()))})
    torch.set_rng_state(state)
    latents = network.base.vae.encode(pair["gt"] * 2 - 1).latent_dist.sample() * 0.13025
    torch.rand(2)  # which task prompts are left out
    timesteps, noise = torch.randint(1000, (2,)), torch.randn_like(latents)
    ((noised, prediction),) = passes
    torch.testing.assert_close(noised, network.base.scheduler.add_noise(latents, noise, timesteps))
    torch.testing.assert_close(loss, (noise - prediction).abs().mean())
    assert torch.equal(parts["absolute"], loss)


def test_weights_that_another_has_taken_the_place_of_wait_for_the_switch_too(network_of):
    network, task = network_of(switch={"after_steps": 2})
    network.unet.conv_out.weight = torch.nn.Parameter(network.unet.conv_out.weight.detach().clone())  # as FSDP does
    optimizer = adamw(network)
    assert moved_parts(network, task, optimizer, num=2).keys() == {"fusion"}
    assert "conv_out.weight" in moved_parts(network, task, optimizer, num=1)["unet"]


def test_without_a_switch_the_fusion_moves_alone_to_the_end(network_of):
    network, task = network_of(switch={"after_steps": None})
    assert moved_parts(network, task, adamw(network), num=3).keys() == {"fusion"}


@pytest.mark.parametrize("kind", ["none", "rsa"])
def test_ablations_train_what_they_have(network_of, kind):
    network, task = network_of(fusion={**FUSION, "kind": kind}, switch={"after_steps": 0})
    moved = moved_parts(network, task, adamw(network), num=2)
    assert moved.keys() == ({"unet"} if kind == "none" else {"fusion", "unet", "lq_encoder"})


@pytest.mark.parametrize("blocks", [{"num_double": 0}, {"num_single": 0}, {"has_text": False}, {"lq": "latent"}])
def test_ablations_of_daff_train_by_config_alone(network_of, blocks):
    network, task = network_of(fusion=FUSION | blocks, switch={"after_steps": 0})
    assert moved_parts(network, task, adamw(network), num=2).keys() == {"fusion", "unet", "lq_encoder"}


def test_a_run_records_its_switch_and_exports_what_it_trained(tmp_path, config_of):
    assert train_by_config(config_of(), overrides=[], resume=None)
    assert [line["trains_all"] for line in metrics(tmp_path / "run") if "trains_all" in line] == [0, 0, 1]
    assert {"squared", "validation/loss/rain", "validation/psnr/rain"} <= last_metrics(tmp_path).keys()
    export = tmp_path / "run/export"
    assert {path.name for path in export.iterdir()} >= {"unet", "lq_encoder", "daff"}
    assert LQEncoder.from_pretrained(export / "lq_encoder").last_channels == 16
    again = create_restorer(load_config(FusionTrainingConfig, config_of(init_from=str(export))))
    assert bool(again.fusion.state_dict()["fusions.conv_in.proj_out.weight"].any())


def test_before_the_switch_no_unet_is_exported(tmp_path, config_of):
    assert train_by_config(config_of(switch={"after_steps": None}), overrides=["ema=null"], resume=None)
    assert {path.name for path in (tmp_path / "run/export").iterdir()} >= {"lq_encoder", "daff"}
    assert not (tmp_path / "run/export/unet").exists()


def test_a_run_stopped_before_its_switch_goes_on_to_the_bit(tmp_path, config_of):
    path = config_of(validation=None)
    straight = [f"run.output_dir={tmp_path / 'straight'}", "run.checkpoint_every=1"]
    assert train_by_config(path, overrides=straight, resume=None)
    first = list_checkpoints(tmp_path / "straight")[0]
    resumed = [f"run.output_dir={tmp_path / 'resumed'}", "run.checkpoint_every=1"]
    assert train_by_config(path, overrides=resumed, resume=str(first))
    assert_equal_to_the_bit(final_state(tmp_path / "resumed"), final_state(tmp_path / "straight"))


def test_a_loss_that_is_not_lower_for_long_enough_brings_the_switch(network_of):
    network, task = network_of(switch={"after_steps": None, "plateau": 2})
    optimizer = adamw(network)
    for loss in (1.0, 0.5, 0.6, 0.4, 0.4):
        network.look_for_plateau(loss)
    assert not network.trains_all and copy.deepcopy(network).num_not_lower == 1
    assert moved_parts(network, task, optimizer, num=2).keys() == {"fusion"}
    network.look_for_plateau(0.41)
    assert network.trains_all and moved_parts(network, task, optimizer, num=2).keys() == {
        "fusion",
        "unet",
        "lq_encoder",
    }
    network.look_for_plateau(0.1)  # too late to turn back
    assert network.trains_all
    with pytest.raises(ConfigError, match=r"switch\.plateau waits for validations"):
        network_of(switch={"plateau": 2}, validation=None)


def test_a_plateau_is_recorded_and_goes_on_to_the_bit(tmp_path, config_of, monkeypatch):
    monkeypatch.setattr("ldrestore.training.tasks.fusion.validate_denoising", lambda *_, **__: {"loss": 1.0})
    path = config_of(switch={"plateau": 1}, sampling_steps=None)
    every = ["run.validate_every=1", "run.checkpoint_every=1"]
    assert train_by_config(path, overrides=[*every, f"run.output_dir={tmp_path / 'straight'}"], resume=None)
    assert [line["trains_all"] for line in metrics(tmp_path / "straight") if "trains_all" in line] == [0, 0, 1]
    counted = [
        line["validation/not_lower"] for line in metrics(tmp_path / "straight") if "validation/not_lower" in line
    ]
    assert counted == [0, 1, 1]
    first = list_checkpoints(tmp_path / "straight")[0]
    assert train_by_config(path, overrides=[*every, f"run.output_dir={tmp_path / 'resumed'}"], resume=str(first))
    assert_equal_to_the_bit(final_state(tmp_path / "resumed"), final_state(tmp_path / "straight"))


def test_at_the_start_the_base_predicts_as_alone_and_a_copy_reaches_into_nothing(network_of):
    network, _ = network_of()
    network.eval()
    conditioning = network.base.condition([""], ["remove the rain"], size=(16, 16))
    noised, timesteps, lq = torch.randn(1, 4, 4, 4), torch.tensor([300]), torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        fused = network(noised, timesteps, lq, conditioning)
        copied = copy.deepcopy(network)
        torch.nn.init.ones_(copied.fusion.fusions["conv_in"].proj_out.bias)
        changed, again = copied(noised, timesteps, lq, conditioning), network(noised, timesteps, lq, conditioning)
        network.detach()
        added = {"text_embeds": conditioning.pooled, "time_ids": conditioning.time_ids}
        bare = network.unet(noised, timesteps, conditioning.prompt_embeds, added_cond_kwargs=added).sample
    assert torch.equal(fused, again) and torch.equal(fused, bare) and not torch.equal(fused, changed)
    assert copied.base is network.base


def test_low_rank_additions_are_added_to_the_weights_under_them():
    low, high, weight = torch.randn(2, 5), torch.randn(3, 2), torch.randn(3, 5)
    names = ("a.base_layer.weight", "a.lora_A.default.weight", "a.lora_B.default.weight", "b.weight")
    merged = merged_weights(dict(zip(names, (weight, low, high, weight), strict=True)))
    assert merged.keys() == {"a.weight", "b.weight"} and torch.equal(merged["b.weight"], weight)
    torch.testing.assert_close(merged["a.weight"], weight + high @ low)


@pytest.mark.parametrize("kind", ["daff", "none"])
def test_task_prompts_reach_the_unet_itself_where_no_fusion_reads_them(network_of, kind):
    network, task = network_of(fusion={**FUSION, "kind": kind}, switch={"after_steps": 0}, text={"dropout": 0.0})
    labels = torch.tensor([[1.0 if name == "rain" else 0.0 for name in list_degradations()]])
    found = task._conditioning({"gt": torch.rand(1, 3, 16, 16), "degradations": labels})
    expected = network.base.condition(["" if kind == "daff" else "remove the rain"], [""], size=(16, 16))
    assert torch.equal(found.prompt_embeds, expected.prompt_embeds)


def test_a_task_prompt_says_what_is_there():
    severities = [0.5 if name in ("rain", "haze") else 0.0 for name in list_degradations()]
    assert task_of(severities) in ("remove the rain, and remove the haze", "remove the haze, and remove the rain")
    assert task_of([0.0] * len(severities)) == ""


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"fusion": {"kind": "none"}}, "without a fusion the U-Net alone learns: give switch.after_steps: 0"),
        ({"switch": {"after_steps": 3}}, "switch.after_steps 3 is not within the 3 steps of the run"),
        ({"switch": {"after_steps": -1}}, "after_steps of at least 0 or null"),
        ({"text": {"dropout": 2}}, r"text.dropout must lie in \[0, 1\], got 2"),
        ({"sampling_steps": 0}, "sampling_steps must be at least 1"),
    ],
)
def test_configs_that_make_no_sense_are_refused(config_of, changed, message):
    with pytest.raises(ConfigError, match=message):
        load_config(FusionTrainingConfig, config_of(**changed))


def test_a_base_or_a_run_of_another_kind_is_refused(config_of, tmp_path):
    with without_progress_bar():
        for name, part in tiny_base().items():
            part.save_pretrained(tmp_path / "stable" / name)
        tiny_xl_base()["text_encoder_2"].save_pretrained(tmp_path / "stable/text_encoder_2")
    with pytest.raises(WeightsError, match="is a Stable Diffusion 1 or 2"):
        create_restorer(load_config(FusionTrainingConfig, config_of(base={"path": str(tmp_path / "stable")})))
    with pytest.raises(WeightsUnavailableError, match="has no daff; give the export of a run with"):
        create_restorer(load_config(FusionTrainingConfig, config_of(init_from=str(tmp_path / "stable"))))


def test_accumulated_passes_are_one_step_for_the_switch(tmp_path: Path, config_of: Callable) -> None:
    overrides = ["run.gradient_accumulation_steps=2", "validation=null"]
    assert train_by_config(config_of(switch={"after_steps": 2}), overrides=overrides, resume=None)
    assert [line["trains_all"] for line in metrics(tmp_path / "run") if "trains_all" in line] == [0, 0, 1]
    assert final_state(tmp_path / "run")["model"]["num_passes"] == 6


@pytest.mark.parametrize(
    ("dropout", "has_tasks", "expected"), [(0.0, True, 1.0), (1.0, True, 0.0), (0.3, True, 0.7), (0.0, False, 0.0)]
)
def test_task_prompts_are_left_out_as_often_as_the_config_says(
    network_of: Callable, monkeypatch: pytest.MonkeyPatch, dropout: float, has_tasks: bool, expected: float
) -> None:
    _, task = network_of(text={"dropout": dropout, "has_tasks": has_tasks})
    read, condition = [], FrozenXLBase.condition

    def kept(base: FrozenXLBase, captions: list[str], tasks: list[str], **options: object) -> object:
        read.extend(tasks)
        return condition(base, captions, tasks, **options)

    monkeypatch.setattr(FrozenXLBase, "condition", kept)
    labels = torch.zeros(100, len(list_degradations()))
    labels[:, list_degradations().index("haze")] = 0.4
    torch.manual_seed(0)
    task._conditioning({"gt": torch.rand(100, 3, 8, 8), "degradations": labels})
    assert set(read) <= {"", "remove the haze"}
    assert sum(map(bool, read)) / 100 == pytest.approx(expected, abs=0.12)


def test_low_rank_additions_are_exported_merged_into_a_base_s_unet(tmp_path: Path, config_of: Callable) -> None:
    """What a run exports predicts as the network that its checkpoint holds."""
    path = config_of(switch={"after_steps": 0, "unet": "lora", "lora_rank": 2}, validation=None)
    assert train_by_config(path, overrides=["ema=null", "optimizer.learning_rate=0.1"], resume=None)
    network = create_restorer(load_config(FusionTrainingConfig, path)).eval()
    network.load_state_dict(load_file(list_checkpoints(tmp_path / "run")[-1] / "model.safetensors"))
    again = create_restorer(
        load_config(FusionTrainingConfig, config_of(init_from=str(tmp_path / "run/export"), switch={"after_steps": 0}))
    ).eval()
    assert not any(".lora_" in key for key in again.state_dict())
    conditioning = network.base.condition(["a photo"], ["remove the rain"], size=(16, 16))
    inputs = (torch.randn(1, 4, 4, 4), torch.tensor([400]), torch.rand(1, 3, 16, 16), conditioning)
    with torch.no_grad():
        carried, merged = network(*inputs), again(*inputs)
    torch.testing.assert_close(merged, carried, rtol=1e-4, atol=1e-5)
    base = create_restorer(load_config(FusionTrainingConfig, config_of(init_from=None))).unet.state_dict()
    changed = {key for key, value in again.unet.state_dict().items() if not torch.equal(value, base[key])}
    assert changed and all(key.partition(".attn")[1] for key in changed)


def test_a_unet_of_other_widths_is_refused_with_what_to_give(tmp_path: Path, config_of: Callable, base: Path) -> None:
    network = create_restorer(load_config(FusionTrainingConfig, config_of()))
    network.lq_encoder.save_pretrained(tmp_path / "other/lq_encoder")
    network.fusion.save_pretrained(tmp_path / "other/daff")
    config = {key: value for key, value in network.unet.config.items() if not key.startswith("_")}
    type(network.unet)(**{**config, "block_out_channels": (8, 24)}).save_pretrained(tmp_path / "other/unet")
    with pytest.raises(ConfigError, match=r"has widths \[8, 24\], the base's \[8, 16\]; give the base that it was"):
        create_restorer(load_config(FusionTrainingConfig, config_of(init_from=str(tmp_path / "other"))))


def test_an_earlier_run_of_another_fusion_is_refused(tmp_path: Path, config_of: Callable) -> None:
    network = create_restorer(load_config(FusionTrainingConfig, config_of(fusion={**FUSION, "kind": "rsa"})))
    network.lq_encoder.save_pretrained(tmp_path / "rsa/lq_encoder")
    network.fusion.save_pretrained(tmp_path / "rsa/residual_alignment")
    with pytest.raises(
        WeightsUnavailableError, match=r"rsa has no daff; give the export of a run with fusion\.kind: daff"
    ):
        create_restorer(load_config(FusionTrainingConfig, config_of(init_from=str(tmp_path / "rsa"))))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"switch": {"plateau": 0}}, r"switch\.plateau must be at least 1 or null, got 0"),
        ({"switch": {"unet": "lora", "lora_rank": 0}}, r"lora_rank of at least 1, got None and 0"),
        ({"fusion": {"kind": "none"}, "switch": {"after_steps": 0, "unet": "frozen"}}, "got 0 and frozen"),
        ({"text": {"dropout": -0.1}}, r"text\.dropout must lie in \[0, 1\], got -0\.1"),
        ({"stages": []}, "stages is empty"),
    ],
)
def test_switches_that_make_no_sense_are_refused(config_of: Callable, changed: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(FusionTrainingConfig, config_of(**changed))
