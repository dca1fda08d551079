import json
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from skimage import data, io

from ldrestore.config import build
from ldrestore.degradations.recipes import list_degradations
from ldrestore.errors import ConfigError, UnknownNameError, WeightsError, WeightsUnavailableError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from ldrestore.structures import FIRST_SET
from ldrestore.training.__main__ import main
from ldrestore.training.tasks.regressor import RegressorTask, freeze_all_but, load_initial_weights
from ldrestore.training.tasks.regressor_config import RegressorTrainingConfig
from ldrestore.training.trainers import train_by_config

TINY = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1]}


@pytest.fixture
def config_file(tmp_path):
    """A YAML file of a run of four steps on two small pictures."""
    (tmp_path / "pictures").mkdir()
    io.imsave(tmp_path / "pictures/cat.png", data.chelsea()[:96, :128])
    io.imsave(tmp_path / "pictures/coffee.png", data.coffee()[:96, :128])
    values = {
        "run": {"output_dir": str(tmp_path / "run"), "device": "cpu", "num_workers": 0, "log_every": 2},
        "network": {"name": "nafnet", "options": TINY},
        "data": {
            "folders": [str(tmp_path / "pictures")],
            "mixture": [{"recipe": "gaussian_noise", "weight": 1}],
        },
        "stages": [{"patch_size": 16, "batch_size": 2, "steps": 2}, {"patch_size": 24, "batch_size": 1, "steps": 2}],
        "validation": {
            "folder": str(tmp_path / "pictures"),
            "recipes": ["gaussian_noise(sigma_255=25)"],
            "num_pictures": 1,
            "crop_size": 32,
        },
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_run_ends_with_a_pipeline(config_file, tmp_path):
    assert train_by_config(config_file, overrides=[], resume=None)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert {"loss", "l1", "fourier_l1"} <= lines[0].keys()
    assert "validation/psnr/gaussian_noise(sigma_255=25)" in lines[-1]
    restorer = FastRestorePipeline.from_pretrained(tmp_path / "run/export")
    averaged = load_file(tmp_path / "run/checkpoints/step_00000004/ema.safetensors")
    assert all(torch.equal(weight, averaged[name]) for name, weight in restorer.regressor.state_dict().items())


def test_a_finished_run_is_the_start_of_another(config_file, tmp_path):
    train_by_config(config_file, overrides=[], resume=None)
    overrides = [f"run.output_dir={tmp_path / 'second'}", f"init_from={tmp_path / 'run/export'}"]
    assert train_by_config(config_file, overrides=overrides, resume="auto")
    shutil.rmtree(tmp_path / "run")
    assert train_by_config(config_file, overrides=overrides, resume="auto")  # its checkpoint has all weights
    missing = [*overrides, f"run.output_dir={tmp_path / 'third'}"]
    with pytest.raises(WeightsUnavailableError, match="check init_from"):
        train_by_config(config_file, overrides=missing, resume="auto")


def test_pairs_of_pictures_train_too(config_file, tmp_path):
    folder = tmp_path / "pictures"
    assert train_by_config(config_file, overrides=[f"data={{lq_folder: {folder}, gt_folder: {folder}}}"], resume=None)


def test_the_loss_is_the_weighted_sum_of_its_parts(config_file):
    values = yaml.safe_load(config_file.read_text()) | {"loss": {"l1_weight": 2.0, "fourier_weight": 0.5}}
    task = RegressorTask(build(RegressorTrainingConfig, values))
    batch = {"lq": torch.rand(1, 3, 8, 8), "gt": torch.rand(1, 3, 8, 8)}
    loss, parts = task.loss(torch.nn.Identity(), batch)
    torch.testing.assert_close(loss, 2 * parts["l1"] + 0.5 * parts["fourier_l1"])


@pytest.mark.parametrize("inner", ["weights.safetensors", "diffusion_pytorch_model.safetensors"])
def test_initial_weights_come_from_a_file_or_a_folder(tmp_path, inner):
    source, target = (create_regressor("nafnet", **TINY) for _ in range(2))
    save_file(source.state_dict(), tmp_path / inner)
    load_initial_weights(target, tmp_path if inner.startswith("diffusion") else tmp_path / inner)
    assert all(torch.equal(weight, source.state_dict()[name]) for name, weight in target.state_dict().items())


def test_initial_weights_that_do_not_fit_are_refused(tmp_path):
    network = create_regressor("nafnet", **TINY)
    with pytest.raises(WeightsUnavailableError, match=r"no weights at .*check init_from"):
        load_initial_weights(network, tmp_path)
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"does not fit NAFNet: .*missing"):
        load_initial_weights(network, tmp_path / "other.safetensors")


def test_a_config_without_stages_is_refused(config_file):
    with pytest.raises(ConfigError, match="stages is empty"):
        train_by_config(config_file, overrides=["stages=[]"], resume=None)


def test_the_command_gives_exit_codes(config_file):
    assert main([str(config_file), "run.log_every=1"]) == 0
    assert main([str(config_file), "--resume", "auto"]) == 0
    assert main([str(config_file)]) == 2
    assert main([str(config_file), "run.sead=1", "--resume", "auto"]) == 2
    assert main([str(config_file), "init_from=nowhere", "run.output_dir=nowhere"]) == 1


def test_relative_losses_are_logarithms_with_a_floor_each(config_file):
    loss = {"l1_weight": 1.0, "fourier_weight": 0.0, "squared_weight": 0.5, "reduction": "relative"}
    task = RegressorTask(build(RegressorTrainingConfig, yaml.safe_load(config_file.read_text()) | {"loss": loss}))
    batch = {"lq": torch.rand(2, 3, 8, 8), "gt": torch.rand(2, 3, 8, 8)}
    value, _ = task.loss(torch.nn.Identity(), batch)
    error = batch["lq"] - batch["gt"]
    l1, squared = error.abs().mean(dim=(1, 2, 3)), error.square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(value, ((l1 + 0.02).log() + 0.5 * (squared + 0.0004).log()).mean())


def test_a_network_that_says_what_it_sees_is_trained_and_exported(config_file, tmp_path):
    small = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1], "num_prompts": 4}
    overrides = [f"network={{name: prompted_nafnet, options: {small}}}", "loss={estimate_weight: 0.1}"]
    assert train_by_config(config_file, overrides=overrides, resume=None)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert lines[0]["estimate"] > 0
    restorer = FastRestorePipeline.from_pretrained(tmp_path / "run/export")
    assert set(restorer(data.chelsea()[:40, :40]).degradations[0].names) == set(FIRST_SET)


def test_domains_are_trained_side_by_side(config_file, tmp_path):
    natural, raw = (
        f"{{folders: [{tmp_path / 'pictures'}], mixture: [{{recipe: {recipe}, weight: 1}}]}}"
        for recipe in ("rain", "demosaic")
    )
    overrides = [f"data={{domains: [{{data: {natural}}}, {{data: {raw}, repeat: 2}}]}}"]
    assert train_by_config(config_file, overrides=overrides, resume=None)
    assert (tmp_path / "run/export").is_dir()


def test_the_estimate_learns(config_file, tmp_path):
    small = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1], "num_prompts": 4}
    overrides = [
        f"network={{name: prompted_nafnet, options: {small}}}",
        "loss={estimate_weight: 1.0}",
        "stages=[{patch_size: 16, batch_size: 4, steps: 40}]",
        "optimizer={learning_rate: 0.02}",
        "validation=null",
    ]
    assert train_by_config(config_file, overrides=overrides, resume=None)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["estimate"] < 0.7 * lines[0]["estimate"]


def test_weights_of_a_body_start_a_prompted_network(config_file, tmp_path):
    small = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1]}
    body = create_regressor("squeezed_nafnet", **small)
    with torch.no_grad():
        body.intro.weight.normal_()
    body.save_pretrained(tmp_path / "body")
    network = create_regressor("prompted_nafnet", **small)
    load_initial_weights(network, tmp_path / "body")
    assert all(torch.equal(weight, network.body.state_dict()[name]) for name, weight in body.state_dict().items())


def test_an_estimate_that_is_not_trained_stays_as_it_is(config_file, tmp_path):
    small = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1]}
    assert train_by_config(config_file, overrides=[f"network={{name: prompted_nafnet, options: {small}}}"], resume=None)
    torch.manual_seed(0)
    untouched = create_regressor("prompted_nafnet", **small).estimator.weight
    exported = FastRestorePipeline.from_pretrained(tmp_path / "run/export").regressor
    assert torch.equal(exported.estimator.weight, untouched)
    assert not torch.equal(exported.body.intro.weight, create_regressor("prompted_nafnet", **small).body.intro.weight)


def test_only_the_named_parts_are_trained(config_file, tmp_path):
    small = {**TINY, "num_prompts": 3, "prompt_dim": 8}
    options = ", ".join(f"{key}: {value}" for key, value in small.items())
    network = f"network={{name: prompted_nafnet, options: {{{options}}}, train_only: [estimator]}}"
    assert train_by_config(config_file, overrides=[network, "loss.estimate_weight=1.0"], resume=None)
    torch.manual_seed(0)
    untouched = create_regressor("prompted_nafnet", **small).state_dict()
    exported = FastRestorePipeline.from_pretrained(tmp_path / "run/export").regressor.state_dict()
    changed = {key for key in untouched if not torch.equal(exported[key], untouched[key])}
    assert changed == {"estimator.weight", "estimator.bias"}


def test_an_estimate_alone_that_nothing_trains_is_refused(config_file):
    with pytest.raises(ConfigError, match=r"set loss\.estimate_weight above 0 to train"):
        train_by_config(
            config_file, overrides=["network={name: prompted_nafnet, train_only: [estimator]}"], resume=None
        )


def test_a_part_that_is_not_there_is_refused(config_file):
    network = f"network={{name: nafnet, options: {json.dumps(TINY)}, train_only: [endng]}}"
    with pytest.raises(UnknownNameError, match="part of the network 'endng'; did you mean 'ending'"):
        train_by_config(config_file, overrides=[network], resume=None)


def test_labels_are_those_of_the_networks_names(config_file):
    values = yaml.safe_load(config_file.read_text())
    options = {**TINY, "degradations": ["jpeg", "rain"]}
    values |= {"network": {"name": "prompted_nafnet", "options": options}, "loss": {"estimate_weight": 1.0}}
    task = RegressorTask(build(RegressorTrainingConfig, values))
    labels = torch.zeros(1, len(list_degradations()))
    labels[0, list_degradations().index("jpeg")] = 1
    batch = {"lq": torch.rand(1, 3, 8, 8), "gt": torch.rand(1, 3, 8, 8), "degradations": labels}
    sure = torch.tensor([[9.0, -9.0]])  # jpeg, and no rain
    _, parts = task.loss(lambda lq, return_estimate: (lq, sure), batch)
    assert parts["estimate"] < 1e-3
    values["network"]["options"]["degradations"] = ["jpg"]
    with pytest.raises(UnknownNameError, match="did you mean 'jpeg'"):
        build(RegressorTrainingConfig, values)


def test_an_estimate_needs_a_network_and_labels(config_file, tmp_path):
    with pytest.raises(ConfigError, match="nafnet gives no degradation estimate"):
        train_by_config(config_file, overrides=["loss={estimate_weight: 0.1}"], resume=None)
    folder = tmp_path / "pictures"
    overrides = ["network={name: prompted_nafnet}", "loss={estimate_weight: 0.1}"]
    pairs = f"data={{lq_folder: {folder}, gt_folder: {folder}}}"
    with pytest.raises(ConfigError, match=r"pairs without data\.degradations have no labels"):
        train_by_config(config_file, overrides=[*overrides, pairs], resume=None)


def test_pairs_that_say_what_they_suffer_from_train_an_estimate(config_file, tmp_path):
    small = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1], "num_prompts": 4}
    folder = tmp_path / "pictures"
    overrides = [
        f"network={{name: prompted_nafnet, options: {small}}}",
        "loss={estimate_weight: 0.1}",
        f"data={{lq_folder: {folder}, gt_folder: {folder}, degradations: [rain]}}",
    ]
    assert train_by_config(config_file, overrides=overrides, resume=None)


def test_losses_of_the_networks_own_are_weighted_and_added(config_file):
    loss = {"l1_weight": 1.0, "fourier_weight": 0.0, "auxiliary": {"guidance_matching": 0.5}}
    values = yaml.safe_load(config_file.read_text()) | {"loss": loss, "network": {"name": "mmfe_ir"}}
    task = RegressorTask(build(RegressorTrainingConfig, values))
    batch = {"lq": torch.rand(2, 3, 8, 8), "gt": torch.rand(2, 3, 8, 8)}
    own = {"guidance_matching": torch.tensor(3.0), "unread": torch.tensor(9.0)}
    value, parts = task.loss(lambda lq, return_auxiliary: (lq, own), batch)
    torch.testing.assert_close(value, parts["l1"] + 1.5)
    assert parts.keys() == {"l1", "guidance_matching"}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("loss.auxiliary={balance: 0.1}", "unknown loss of nafnet 'balance'"),
        ("loss.auxiliary={balance: 0}", "must be a positive number, got 0; leave it out"),
        ("loss.relative_floor=0", "relative_floor must be positive"),
        ("instructions={}", "instructions: nafnet takes none"),
        ("embeddings={cache: a.safetensors}", "embeddings: nafnet takes none"),
    ],
)
def test_what_a_network_does_not_know_is_refused(config_file, override, message):
    with pytest.raises((ConfigError, UnknownNameError), match=message):
        train_by_config(config_file, overrides=[override], resume=None)


@pytest.mark.parametrize(
    ("network", "override", "message"),
    [
        ("mmfe_ir", "ema=null", "mmfe_ir with these options is steered by an embedding: give instructions"),
        ("instructir", "ema=null", "is steered by an embedding"),
        ("mmfe_ir", "instructions={}", r"takes the embeddings of a guide, \(3, 2048\), not instructions"),
        ("datprl_ir", "loss.auxiliary.alignment=1", "nothing to align to without embeddings"),
        ("moce_ir", "loss.auxiliary={balance: yes}", "must be a positive number, got True"),
    ],
)
def test_a_network_is_told_what_it_needs_and_no_more(config_file, network, override, message):
    overrides = [f"network={{name: {network}, options: {{num_blocks: [1, 1, 1, 1]}}}}", override]
    if network == "instructir":
        overrides[0] = f"network={{name: {network}}}"
    with pytest.raises(ConfigError, match=message):
        train_by_config(config_file, overrides=overrides, resume=None)


def test_instructions_and_losses_of_the_networks_own_exclude_each_other(config_file):
    overrides = ["network={name: datprl_ir_text}", "instructions={}", "loss.auxiliary={diversity: 1}"]
    with pytest.raises(ConfigError, match="own losses are not computed beside them"):
        train_by_config(config_file, overrides=overrides, resume=None)


def test_null_takes_a_loss_of_the_networks_own_away(config_file):
    values = yaml.safe_load(config_file.read_text()) | {"network": {"name": "moce_ir"}}
    config = build(RegressorTrainingConfig, values | {"loss": {"auxiliary": {"balance": None}}})
    assert config.loss.auxiliary == {}


def test_the_floor_of_relative_losses_is_the_configs(config_file):
    loss = {"l1_weight": 0.0, "fourier_weight": 0.0, "squared_weight": 1.0, "reduction": "relative"}
    values = yaml.safe_load(config_file.read_text()) | {"loss": {**loss, "relative_floor": 1e-4}}
    task = RegressorTask(build(RegressorTrainingConfig, values))
    gt = torch.rand(2, 3, 8, 8)
    value, _ = task.loss(torch.nn.Identity(), {"lq": gt, "gt": gt})
    torch.testing.assert_close(value, torch.tensor(1e-8).log())


PROMPTED = {**TINY, "num_prompts": 3, "prompt_dim": 8}


def marked(network: torch.nn.Module) -> torch.nn.Module:
    """With weights that no fresh network has."""
    with torch.no_grad():
        for number, weight in enumerate(network.parameters()):
            weight.fill_(0.01 * (number + 1))
    return network


@pytest.mark.parametrize("kind", ["pipeline", "regressor", "safetensors", "pickle", "wrapped", "prefixed"])
def test_a_run_begins_with_weights_of_any_kind(config_file: Path, tmp_path: Path, kind: str) -> None:
    source = marked(create_regressor("nafnet", **TINY)).eval()
    state, path = source.state_dict(), tmp_path / "start.pth"
    if kind == "pipeline":
        path = tmp_path / "pipeline"
        FastRestorePipeline(regressor=source).save_pretrained(path)
    elif kind == "regressor":
        path = tmp_path / "folder"
        source.save_pretrained(path)
    elif kind == "safetensors":
        save_file(state, path)  # whatever its suffix says
    else:
        prefix = "module." if kind == "prefixed" else ""
        named = {f"{prefix}{key}": value for key, value in state.items()}
        torch.save({"params": named} if kind == "wrapped" else named, path)
    overrides = [f"init_from={path}", "optimizer={learning_rate: 1e-12, min_learning_rate: 0}", "validation=null"]
    assert train_by_config(
        config_file, overrides=[*overrides, "stages=[{patch_size: 16, batch_size: 1, steps: 1}]"], resume=None
    )
    exported = FastRestorePipeline.from_pretrained(tmp_path / "run/export").regressor.state_dict()
    for key, value in state.items():
        torch.testing.assert_close(exported[key], value, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_run_does_not_begin_with_weights_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    network = create_regressor("nafnet", **TINY)
    state = {key: weight.clone() for key, weight in network.state_dict().items()}
    state["ending.bias"][0] = value
    torch.save(state, tmp_path / "broken.pth")
    with pytest.raises(WeightsError, match=r"ending\.bias"):
        load_initial_weights(network, tmp_path / "broken.pth")


def test_a_grid_network_begins_as_the_prompted_one_whose_weights_it_takes() -> None:
    torch.manual_seed(0)
    prompted = create_regressor("prompted_nafnet", **PROMPTED).eval()
    grid = create_regressor("grid_nafnet", **PROMPTED, code_dim=6).eval()
    with torch.no_grad():
        for weight in prompted.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    lq = torch.rand(1, 3, 16, 16)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        prompted.save_pretrained(folder)
        load_initial_weights(grid, Path(folder))
        torch.testing.assert_close(grid(lq), prompted(lq), rtol=1e-4, atol=1e-5)


def test_parts_within_parts_are_trained_by_their_dotted_names() -> None:
    network = create_regressor("prompted_nafnet", **PROMPTED)
    freeze_all_but(network, ("body.ending", "pool"))
    trained = {name for name, weight in network.named_parameters() if weight.requires_grad}
    expected = {name for name, _ in network.named_parameters() if name.startswith(("body.ending.", "pool."))}
    assert trained == expected and len(expected) > 2


@pytest.mark.parametrize(("part", "close"), [("poll", "pool"), ("body.endng", "body.ending"), ("", None)])
def test_parts_that_are_not_there_are_named_with_the_closest(part: str, close: str | None) -> None:
    network = create_regressor("prompted_nafnet", **PROMPTED)
    with pytest.raises(UnknownNameError, match=f"did you mean '{close}'" if close else "part of the network"):
        freeze_all_but(network, (part,))


def test_what_is_frozen_does_not_decay(config_file: Path, tmp_path: Path) -> None:
    network = f"network={{name: prompted_nafnet, options: {json.dumps(PROMPTED)}, train_only: [body.ending]}}"
    overrides = [network, "optimizer.weight_decay=0.9", "optimizer.learning_rate=0.1", "validation=null"]
    assert train_by_config(config_file, overrides=overrides, resume=None)
    torch.manual_seed(0)
    untouched = create_regressor("prompted_nafnet", **PROMPTED).state_dict()
    exported = FastRestorePipeline.from_pretrained(tmp_path / "run/export").regressor.state_dict()
    assert {key for key in untouched if not torch.equal(exported[key], untouched[key])} == {
        "body.ending.weight",
        "body.ending.bias",
    }


@pytest.mark.parametrize(
    ("loss", "parts"),
    [
        ({"l1_weight": 0, "fourier_weight": 0.5}, {"l1", "fourier_l1"}),
        ({"l1_weight": 0, "fourier_weight": 0, "squared_weight": 3.0}, {"l1", "squared"}),
        ({"l1_weight": 0.5, "fourier_weight": 0.25, "squared_weight": 2.0}, {"l1", "fourier_l1", "squared"}),
    ],
)
def test_a_loss_without_weight_gives_no_gradient(config_file: Path, loss: dict[str, float], parts: set[str]) -> None:
    config = build(RegressorTrainingConfig, yaml.safe_load(config_file.read_text()) | {"loss": loss})
    lq = torch.rand(2, 3, 6, 8).requires_grad_()
    gt = torch.rand(2, 3, 6, 8)
    value, found = RegressorTask(config).loss(torch.nn.Identity(), {"lq": lq, "gt": gt})
    assert found.keys() == parts
    difference = lq - gt
    spectrum = torch.view_as_real(torch.fft.rfft2(difference)).abs().mean()
    weights = {"fourier_weight": 0.1, "squared_weight": 0.0, **loss}
    expected = weights["l1_weight"] * difference.abs().mean() + weights["fourier_weight"] * spectrum
    expected = expected + weights["squared_weight"] * difference.square().mean()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(*(torch.autograd.grad(one, lq, retain_graph=True)[0] for one in (value, expected)))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"l1_weight": 0, "fourier_weight": 0}, "one of the pictures' positive"),
        ({"l1_weight": -1}, "weights must not be negative"),
        ({"estimate_weight": -0.1}, r"estimate -0\.1"),
        ({"relative_floor": 0}, r"relative_floor must be positive, got 0"),
        ({"auxiliary": {"balance": "much"}}, "balance must be a positive number, got 'much'; leave it out for 0"),
    ],
)
def test_weights_that_make_no_loss_are_refused(config_file: Path, loss: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(RegressorTrainingConfig, yaml.safe_load(config_file.read_text()) | {"loss": loss})
