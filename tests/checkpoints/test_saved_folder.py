"""Saved pipelines whose config, index or weights were changed by hand, or by an accident: refused with a word."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ldrestore.checkpoints.saved_folder import check_recorded_weights, check_saved_networks, find_saved_pipeline
from ldrestore.errors import WeightsError, WeightsUnavailableError
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.regressors.factory import create_regressor
from ldrestore.weights.hashes import hash_of_weights
from tests.regressors.test_contract import TINY

WEIGHTS = "regressor/diffusion_pytorch_model.safetensors"


def saved(folder: Path, name: str) -> Path:
    """A tiny network of an architecture as a pipeline saves it."""
    target = REGRESSORS.get(name).target
    torch.manual_seed(0)
    create_regressor(name, **TINY[target]).save_pretrained(folder / "regressor")
    index = {"_class_name": "FastRestorePipeline", "regressor": target.split(":")}
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def check(folder: Path, name: str) -> None:
    targets = {"regressor": [REGRESSORS.get(name).target]}
    check_saved_networks(folder, networks=targets, optional=(), pipeline_name="FastRestorePipeline")


def change(path: Path, changes: dict[str, Any]) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("name", ["nafnet", "restormer", "promptir", "instructir", "moce_ir", "datprl_ir", "mmfe_ir"])
def test_a_folder_as_it_was_saved_passes(name: str, tmp_path: Path) -> None:
    check(saved(tmp_path, name), name)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("nafnet", {"width": "x"}, "its config builds no NAFNet"),
        ("nafnet", {"width": -1}, "its config builds no NAFNet"),
        ("nafnet", {"enc_blk_nums": None}, "its config builds no NAFNet"),
        ("nafnet", {"enc_blk_nums": ["a"]}, "its config builds no NAFNet"),
        ("nafnet", {"width": 8}, "does not fit NAFNet"),
        ("nafnet", {"depth": 3}, "NAFNet takes no depth; upgrade ldrestore"),
        ("moce_ir", {"rank": 0}, r"its config builds no \w+ \("),
        ("datprl_ir", {"prompt_dim": 0}, r"its config builds no \w+ \("),
    ],
)
@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_config_that_builds_no_such_network_is_refused(
    name: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = saved(tmp_path, name)
    change(folder / "regressor/config.json", changes)
    with pytest.raises(WeightsError, match=message):
        check(folder, name)


INDEXES: list[tuple[Any, str]] = [
    ({"_class_name": "XLRestorePipeline"}, "holds a XLRestorePipeline, expected a FastRestorePipeline"),
    ({"_class_name": None}, "holds a None, expected a FastRestorePipeline"),
    ({"regressor": ["os", "system"]}, "needs the network os:system, unknown to this version"),
    ({"regressor": ["builtins", "eval"]}, "needs the network builtins:eval, unknown to this version"),
    ({"regressor": "ldrestore.regressors.nafnet"}, "needs the network ldrestore.regressors.nafnet, unknown"),
    ({"regressor": None}, "needs the network None, unknown"),
    ({"regressor": [3, 4, 5]}, "needs the network 3:4:5, unknown"),
    ({"regressor": {}}, r"needs the network \{\}, unknown"),
]


@pytest.mark.parametrize(("changes", "message"), INDEXES)
def test_an_index_that_names_something_else_loads_none_of_it(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = saved(tmp_path, "nafnet")
    change(folder / "model_index.json", changes)
    with pytest.raises(WeightsError, match=message):
        check(folder, "nafnet")


def without_one(weights: dict[str, torch.Tensor]) -> None:
    del weights["intro.weight"]


def with_one_more(weights: dict[str, torch.Tensor]) -> None:
    weights["outro.weight"] = torch.ones(2)


def of_another_shape(weights: dict[str, torch.Tensor]) -> None:
    weights["intro.bias"] = torch.ones(7)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_one, r"missing intro\.weight"),
        (with_one_more, r"unexpected outro\.weight"),
        (of_another_shape, r"intro\.bias is \(7,\), expected \(\d+,\)"),
    ],
)
def test_weights_that_are_not_the_networks_are_named(
    damage: Callable[[dict[str, torch.Tensor]], None], message: str, tmp_path: Path
) -> None:
    folder = saved(tmp_path, "nafnet")
    weights = load_file(folder / WEIGHTS)
    damage(weights)
    save_file(weights, folder / WEIGHTS)
    with pytest.raises(WeightsError, match=message):
        check(folder, "nafnet")


def test_weights_that_are_cut_off_or_a_pickle_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path, "nafnet")
    path = folder / WEIGHTS
    content = path.read_bytes()
    for length in (0, 9, 200, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(WeightsError, match="is no intact safetensors file"):
            check(folder, "nafnet")
    torch.save({}, path.with_suffix(".bin"))
    path.unlink()
    with pytest.raises(WeightsUnavailableError, match=r"has no safetensors weights; make them with ldrestore\.conv"):
        check(folder, "nafnet")


def test_the_recorded_hash_holds_for_full_precision_and_any_record_may_be_left_out(tmp_path: Path) -> None:
    network = create_regressor("nafnet", **TINY[REGRESSORS.get("nafnet").target])
    check_recorded_weights(tmp_path, network)
    record = tmp_path / "ldrestore.json"
    for content in ({}, {"weights_sha256": None}, {"weights_sha256": hash_of_weights(network)}):
        record.write_text(json.dumps(content))
        check_recorded_weights(tmp_path, network)
    record.write_text(json.dumps({"weights_sha256": "0" * 64}))
    with pytest.raises(
        WeightsError, match=r"not those that were converted, as ldrestore\.json says; convert again, or"
    ):
        check_recorded_weights(tmp_path, network)
    check_recorded_weights(tmp_path, network.half())  # rounded weights have no hash of their own


def test_the_name_of_a_folder_tells_nothing_of_the_disk(tmp_path: Path) -> None:
    folder = saved(tmp_path / "my_model", "nafnet")
    for place in (folder, str(folder), folder / "regressor/.."):
        assert find_saved_pipeline(place, revision=None, local_files_only=True)[1] == "my_model"
