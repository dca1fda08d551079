"""A regressor that takes hints: its data, its losses, and the order of its runs."""

import math

import pytest
import torch
import yaml
from skimage import data, io

from ldrestore.config import build
from ldrestore.degradations.recipes import list_degradations
from ldrestore.errors import ConfigError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.structures import FIRST_SET
from ldrestore.training.tasks.regressor import RegressorTask, prepare_regressor
from ldrestore.training.tasks.regressor_config import RegressorTrainingConfig
from ldrestore.training.trainers import train_by_config

TINY = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1], "prompt_dim": 8, "code_dim": 6}


@pytest.fixture
def values(tmp_path):
    """Of a run of two steps on one small picture."""
    (tmp_path / "pictures").mkdir()
    io.imsave(tmp_path / "pictures/cat.png", data.chelsea()[:96, :128])
    pictures = {"folders": [str(tmp_path / "pictures")], "mixture": [{"recipe": "haze", "weight": 1}]}
    return {
        "run": {"output_dir": str(tmp_path / "run"), "device": "cpu", "num_workers": 0, "log_every": 1},
        "network": {"name": "grid_nafnet", "options": TINY},
        "data": {"pictures": pictures, "whole_size": 32, "reduced_size": 16},
        "stages": [{"patch_size": 16, "batch_size": 2, "steps": 2}],
        "loss": {"l1_weight": 0, "fourier_weight": 0, "squared_weight": 1, "relit_weight": 0.1, "estimate_weight": 0.1},
    }


def only_light(values):
    losses = {**values["loss"], "squared_weight": 0, "relit_weight": 1, "estimate_weight": 0}
    return {**values, "loss": losses, "network": {**values["network"], "train_only": ["picture_look"]}}


def batch_of(task, stage):
    items = [task.dataset(stage)[index] for index in (0, 0)]
    return {key: torch.stack([item[key] for item in items]) for key in items[0] if key != "name"}


def test_a_run_ends_with_a_pipeline(values, tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(values))
    assert train_by_config(path, overrides=[], resume=None)
    restorer = FastRestorePipeline.from_pretrained(tmp_path / "run/export")
    assert restorer.regressor.config["code_dim"] == 6


def test_the_loss_is_of_the_result_its_light_and_the_estimate(values):
    config = build(RegressorTrainingConfig, values)
    prepared = prepare_regressor(config)
    network, task = prepared.network, prepared.task
    loss, parts = task.loss(network, batch_of(task, config.stages[0]))
    assert parts.keys() == {"l1", "squared", "relit", "estimate"}
    loss.backward()
    without = [name for name, parameter in network.named_parameters() if parameter.grad is None]
    assert without == []


def test_light_alone_is_trained_without_the_rest(values):
    config = build(RegressorTrainingConfig, only_light(values))
    prepared = prepare_regressor(config)
    network, task = prepared.network, prepared.task
    loss, parts = task.loss(network, batch_of(task, config.stages[0]))
    assert parts.keys() == {"relit"}
    loss.backward()
    trained = {name.partition(".")[0] for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert trained == {"picture_look"}


def test_hints_reach_the_network_by_name(values):
    config = build(RegressorTrainingConfig, values)
    task = RegressorTask(config)
    batch = batch_of(task, config.stages[0])
    taken = {}

    def network(lq, *, hints, whole, window, return_light):
        taken["hints"] = hints
        return lq, torch.zeros(len(lq), 14), lq

    batch["hints"] = torch.zeros_like(batch["hints"])
    haze = list_degradations().index("haze")
    batch["hints"][0, haze] = 1.0
    batch["hints"][0, batch["hints"].shape[1] // 2 + haze] = 0.7
    task.loss(network, batch)
    own = FIRST_SET
    assert taken["hints"].shape == (2, 2 * len(own))
    assert taken["hints"][0, own.index("haze")] == 1
    assert taken["hints"][0, len(own) + own.index("haze")] == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": {"name": "nafnet"}}, "nafnet takes no hints: give data without hints"),
        ({"data": "plain"}, "grid_nafnet takes hints: give data.pictures and data.hints"),
    ],
)
def test_hints_and_networks_go_together(values, change, message):
    if change.get("data") == "plain":
        change = {"data": values["data"]["pictures"]}
    losses = {"l1_weight": 1.0}
    with pytest.raises(ConfigError, match=message):
        build(RegressorTrainingConfig, {**values, "loss": losses, **change})


def test_light_is_a_loss_of_networks_that_take_hints(values):
    plain = {**values, "network": {"name": "nafnet"}, "data": values["data"]["pictures"]}
    with pytest.raises(ConfigError, match=r"loss.relit_weight: nafnet does not change light alone"):
        build(RegressorTrainingConfig, {**plain, "loss": {"relit_weight": 0.1}})


def test_every_loss_that_has_a_weight_is_in_the_sum(values: dict) -> None:
    """The spectra of what is restored count too, and an estimate beside the light."""
    losses = {
        "l1_weight": 0.5,
        "fourier_weight": 0.3,
        "squared_weight": 2.0,
        "relit_weight": 0.7,
        "estimate_weight": 0.2,
        "reduction": "relative",
        "relative_floor": 0.1,
    }
    config = build(RegressorTrainingConfig, {**values, "loss": losses})
    task = RegressorTask(config)
    batch = batch_of(task, config.stages[0])
    restored, relit = batch["gt"] + 0.2, batch["gt"] - 0.1
    logits = torch.linspace(-2, 2, 2 * (len(FIRST_SET) + 1)).view(2, -1)
    loss, parts = task.loss(lambda lq, **_: (restored, logits, relit), batch)
    labels = batch["degradations"][:, [list_degradations().index(name) for name in FIRST_SET]]
    labels = torch.cat([labels, 1 - labels.max(dim=1, keepdim=True).values], dim=1)
    cross = torch.nn.functional.binary_cross_entropy(logits.sigmoid(), labels)
    fourier = 16 * 16 * 0.2 / (16 * 9 * 2)  # a constant difference lies in one of 16 x 9 frequencies
    expected = math.log(0.5 * 0.2 + 0.3 * fourier + 0.1) + 2 * math.log(0.04 + 0.01) + 0.7 * math.log(0.01 + 0.01)
    assert loss.item() == pytest.approx(expected + 0.2 * cross.item(), rel=1e-4)
    assert parts["fourier_l1"].item() == pytest.approx(fourier, rel=1e-4)


def test_an_estimate_beside_the_light_is_trained_too(values: dict) -> None:
    losses = {"l1_weight": 0, "fourier_weight": 0, "squared_weight": 0, "relit_weight": 1, "estimate_weight": 0.5}
    config = build(RegressorTrainingConfig, {**values, "loss": losses})
    prepared = prepare_regressor(config)
    loss, parts = prepared.task.loss(prepared.network, batch_of(prepared.task, config.stages[0]))
    loss.backward()
    assert parts["estimate"] > 0
    assert prepared.network.estimator.weight.grad.abs().sum() > 0
    assert prepared.network.body.ending.weight.grad is None or prepared.network.body.ending.weight.grad.abs().sum() == 0


def test_a_clean_picture_is_labelled_as_such(values: dict) -> None:
    values["data"]["pictures"]["mixture"] = [{"recipe": "haze", "weight": 1e-9}]
    values["data"]["pictures"]["clean_weight"] = 1.0
    config = build(RegressorTrainingConfig, values)
    task = RegressorTask(config)
    batch = batch_of(task, config.stages[0])
    sure = torch.full((2, len(FIRST_SET) + 1), -30.0)
    sure[:, -1] = 30.0
    _, parts = task.loss(lambda lq, **_: (batch["gt"], sure, batch["gt"]), batch)
    assert parts["estimate"] < 1e-6


def test_an_estimator_among_the_trained_parts_needs_its_loss(values: dict) -> None:
    network = {**values["network"], "train_only": ["body", "estimator"]}
    assert build(RegressorTrainingConfig, {**values, "network": network}).network.train_only == ("body", "estimator")
    with pytest.raises(ConfigError, match=r"names the estimator: set loss\.estimate_weight above 0 .*or leave it out"):
        build(RegressorTrainingConfig, {**values, "network": network, "loss": {**values["loss"], "estimate_weight": 0}})
