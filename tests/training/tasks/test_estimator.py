import json
from pathlib import Path

import pytest
import torch
from run_files import assert_equal_to_the_bit, final_state
from stable_runs import NAMES, estimator_config, last_metrics, save_base, save_pictures

from ldrestore.config import load_config
from ldrestore.degradations.recipes import list_degradations
from ldrestore.errors import ConfigError, UnknownNameError, WeightsUnavailableError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.estimators.predictor_losses import focal_loss, soft_cross_entropy
from ldrestore.guides.clip_tower import ClipTower
from ldrestore.training.tasks.estimator import EstimatorTask, labelled_pairs, load_predictor, top1_accuracies
from ldrestore.training.tasks.estimator_config import EstimatorTrainingConfig
from ldrestore.training.trainers import train_by_config
from ldrestore.weights.hashes import hash_of_weights


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("data") / "pictures")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("base"))


def test_a_run_trains_the_predictor_alone(tmp_path, pictures, base):
    before = hash_of_weights(ClipTower.from_pretrained(base / "image_encoder"))
    assert train_by_config(estimator_config(tmp_path, pictures, base), overrides=[], resume=None)
    metrics = last_metrics(tmp_path)
    accuracies = {"validation/top1", "validation/top1/haze", "validation/top1/rain", "validation/top1@0.5"}
    assert {"loss", "top1", "validation/top1@1"} | accuracies <= metrics.keys()
    predictor = load_predictor(tmp_path / "run/export")
    assert predictor.names == NAMES
    assert final_state(tmp_path / "run")["model"].keys() == predictor.state_dict().keys()
    assert hash_of_weights(ClipTower.from_pretrained(base / "image_encoder")) == before


def test_mixtures_share_their_label(tmp_path, pictures, base):
    torch.manual_seed(0)
    tower, predictor = ClipTower.from_pretrained(base / "image_encoder"), DegradationPredictor(NAMES, 6, 8)
    known = list_degradations()
    degradations = torch.zeros(2, len(known))
    degradations[0, [known.index("rain"), known.index("haze")]] = 1.0
    degradations[1, known.index("rain")] = 0.2
    batch = {"lq": torch.rand(2, 3, 16, 16), "degradations": degradations}
    labels = torch.tensor([[0.5, 0.5], [0.0, 1.0]])
    path = estimator_config(tmp_path, pictures, base)
    for override, loss in (("loss={}", focal_loss), ("loss={kind: cross_entropy}", soft_cross_entropy)):
        config = load_config(EstimatorTrainingConfig, path, [override])
        value, parts = EstimatorTask(config, tower=tower, predictor=predictor).loss(predictor, batch)
        torch.testing.assert_close(value, loss(predictor(tower(batch["lq"])), labels))
        assert 0 <= parts["top1"] <= 1


def test_accuracies_count_hits(tmp_path, pictures, base):
    config = load_config(EstimatorTrainingConfig, estimator_config(tmp_path, pictures, base))
    pairs = labelled_pairs(config.validation, NAMES)
    assert [(severity, pair.recipe) for severity, pair in pairs] == [
        (severity, name) for severity in (0.5, 1.0) for name in NAMES
    ]
    assert top1_accuracies(lambda lq: torch.tensor([[1.0, 0.0]]), pairs, names=NAMES) == {
        "top1": 0.5,
        "top1/haze": 1.0,
        "top1/rain": 0.0,
        "top1@0.5": 0.5,
        "top1@1": 0.5,
    }


def test_new_outputs_leave_the_old_ones_to_the_bit(tmp_path, pictures, base):
    torch.manual_seed(0)
    old = DegradationPredictor(NAMES, embedding_dim=6, hidden_dim=8)
    old.save_pretrained(tmp_path / "old")
    extra = {
        "init_from": str(tmp_path / "old"),
        "train_shared": False,
        "data": {"folders": [str(pictures)], "mixture": [{"recipe": "jpeg", "weight": 1}]},
    }
    path = estimator_config(tmp_path, pictures, base, **extra)
    train_by_config(path, overrides=[f"predictor.degradations={json.dumps([*NAMES, 'jpeg'])}"], resume=None)
    new = load_predictor(tmp_path / "run/export")
    assert new.names == (*NAMES, "jpeg")
    assert_equal_to_the_bit(new.fc1.state_dict(), old.fc1.state_dict())
    assert torch.equal(new.fc2.weight[:2], old.fc2.weight) and torch.equal(new.fc2.bias[:2], old.fc2.bias)


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["data.clean_weight=1"], ConfigError, "clean_weight must be 0"),
        (["predictor.degradations=[haze]"], ConfigError, "data shows rain, which predictor.degradations does not name"),
        (["predictor.degradations=[haze, rian]"], UnknownNameError, "did you mean 'rain'"),
        (["train_shared=false"], ConfigError, "needs init_from"),
        (["loss.gamma=-1"], ConfigError, "gamma must be at least 0"),
        (["validation.severities=[0]"], ConfigError, r"severities must lie in \(0, 1\]"),
        (["init_from=nowhere"], WeightsUnavailableError, "no predictor in nowhere"),
    ],
)
def test_configs_that_make_no_sense_are_refused(tmp_path, pictures, base, overrides, error, message):
    with pytest.raises(error, match=message):
        train_by_config(estimator_config(tmp_path, pictures, base), overrides=overrides, resume=None)


def test_a_predictor_of_another_view_is_refused(tmp_path, pictures, base):
    DegradationPredictor(NAMES, 6, 8, "released").save_pretrained(tmp_path / "old")
    path = estimator_config(tmp_path, pictures, base, init_from=str(tmp_path / "old"))
    with pytest.raises(ConfigError, match=r"the view released, got predictor\.view: native; set it to released"):
        train_by_config(path, overrides=[], resume=None)


def test_a_predictor_that_does_not_begin_alike_is_refused(tmp_path, pictures, base):
    DegradationPredictor(("rain", "haze"), embedding_dim=6, hidden_dim=8).save_pretrained(tmp_path / "old")
    path = estimator_config(tmp_path, pictures, base, init_from=str(tmp_path / "old"))
    with pytest.raises(ConfigError, match="knows rain, haze"):
        train_by_config(path, overrides=[], resume=None)


@pytest.mark.parametrize("kind", ["focal", "cross_entropy"])
def test_the_loss_is_written_out_and_reaches_the_predictor_alone(
    tmp_path: Path, pictures: Path, base: Path, kind: str
) -> None:
    torch.manual_seed(0)
    tower, predictor = ClipTower.from_pretrained(base / "image_encoder"), DegradationPredictor(NAMES, 6, 8)
    path = estimator_config(tmp_path, pictures, base, loss={"kind": kind, "gamma": 1.5})
    task = EstimatorTask(load_config(EstimatorTrainingConfig, path), tower=tower, predictor=predictor)
    known = list_degradations()
    degradations = torch.zeros(3, len(known))
    for row, named in enumerate(({"haze": 1.0}, {"rain": 0.3}, {"haze": 0.2, "rain": 0.6})):
        for name, value in named.items():
            degradations[row, known.index(name)] = value
    lq = torch.rand(3, 3, 16, 16)
    loss, parts = task.loss(predictor, {"lq": lq, "degradations": degradations})
    p = predictor(tower(lq)).softmax(dim=1)
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.25, 0.75]])
    weights = (1 - p) ** 1.5 if kind == "focal" else torch.ones_like(p)
    torch.testing.assert_close(loss, -(labels * weights * p.log()).sum(dim=1).mean())
    hits = [labels[row, int(p[row].argmax())] > 0 for row in range(3)]
    assert parts["top1"].item() == pytest.approx(sum(map(float, hits)) / 3)
    loss.backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in predictor.parameters())
    assert all(weight.grad is None for weight in tower.parameters())


def test_columns_are_those_of_the_predictor_s_names_in_their_order(tmp_path: Path, pictures: Path, base: Path) -> None:
    tower = ClipTower.from_pretrained(base / "image_encoder")
    path = estimator_config(tmp_path, pictures, base, validation=None)
    losses = []
    for names in (NAMES, NAMES[::-1]):
        task = EstimatorTask(
            load_config(EstimatorTrainingConfig, path), tower=tower, predictor=DegradationPredictor(names, 6, 8)
        )
        labels = torch.zeros(1, len(list_degradations()))
        labels[0, list_degradations().index("rain")] = 1.0
        sure = torch.tensor([[9.0 if name == "rain" else -9.0 for name in names]])
        losses.append(
            task.loss(lambda _, logits=sure: logits, {"lq": torch.rand(1, 3, 16, 16), "degradations": labels})
        )
    assert all(loss < 1e-3 and parts["top1"] == 1 for loss, parts in losses)


def test_an_accuracy_over_nothing_is_not_told(tmp_path: Path, pictures: Path, base: Path) -> None:
    path = estimator_config(tmp_path, pictures, base, validation=None)
    config = load_config(EstimatorTrainingConfig, path)
    tower, predictor = ClipTower.from_pretrained(base / "image_encoder"), DegradationPredictor(NAMES, 6, 8)
    assert labelled_pairs(None, NAMES) == []
    assert EstimatorTask(config, tower=tower, predictor=predictor).validate(predictor) == {}


def test_names_that_domains_show_are_asked_for_too(tmp_path: Path, pictures: Path, base: Path) -> None:
    """Labels of pictures that a network cannot name would be none."""
    mixture = [{"recipe": "snow", "weight": 1}]
    extra = {"data": {"domains": [{"data": {"folders": [str(pictures)], "mixture": mixture}}]}}
    with pytest.raises(
        ConfigError, match=r"data shows snow, which predictor\.degradations does not name; add or leave out"
    ):
        load_config(EstimatorTrainingConfig, estimator_config(tmp_path, pictures, base, **extra))
    extra["data"]["domains"][0]["data"]["clean_weight"] = 0.5
    with pytest.raises(ConfigError, match="clean_weight must be 0: among the predictor's outputs none is for intact"):
        load_config(EstimatorTrainingConfig, estimator_config(tmp_path, pictures, base, **extra))
    extra = {"data": {"lq_folder": str(pictures), "gt_folder": str(pictures)}}
    with pytest.raises(ConfigError, match="none is for intact pictures"):
        load_config(EstimatorTrainingConfig, estimator_config(tmp_path, pictures, base, **extra))
