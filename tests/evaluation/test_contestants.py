"""Who is compared: how models, results and peers are named, told apart, and found."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ldrestore.errors import DatasetError, ImageFileError, InputError, UnknownNameError, WeightsUnavailableError
from ldrestore.evaluation.cases import Case, cases_of_suite
from ldrestore.evaluation.contestants import (
    Contestant,
    FinishedResults,
    call_options,
    check_results_are_of_one_input,
    contestant_identity,
    forget_contestants,
    hash_of_model,
    licence_of,
    model_contestant,
    open_contestant,
    peer_contestant,
    results_contestant,
    takes_part,
)
from ldrestore.evaluation.peer_catalog import PEERS
from ldrestore.evaluation.suites import SuiteConfig, SuiteDataset
from ldrestore.images.files import read_photo
from ldrestore.images.inputs import to_photo


def cases_of(*datasets: SuiteDataset) -> tuple[Case, ...]:
    return cases_of_suite(SuiteConfig(name="x", summary="", datasets=datasets)).cases


def case_of(recipe: str, **facts: Any) -> Case:
    return cases_of(SuiteDataset(name="one", set="builtin", recipe=recipe, crop=32, **facts))[0]


def test_a_model_is_named_by_its_folder_and_what_it_is_told() -> None:
    plain = model_contestant("default")
    assert (plain.name, plain.source, plain.options, plain.seeds) == ("default", "default", {}, (None,))
    instructed = model_contestant("ldrestore-tiny-stable,num_inference_steps=4,solver=euler", num_seeds=3)
    assert instructed.name == "ldrestore-tiny-stable,num_inference_steps=4,solver=euler"
    assert (instructed.options, instructed.solver, instructed.seeds) == ({"num_inference_steps": 4}, "euler", (0, 1, 2))
    assert instructed.settings == {"num_inference_steps": 4, "solver": "euler"}


def test_seeds_are_for_models_that_draw() -> None:
    assert model_contestant("default", num_seeds=5).num_seeds == 1


def test_options_are_read_as_yaml() -> None:
    contestant = model_contestant("default,degradations=[rain],tile=256")
    assert contestant.options == {"degradations": ["rain"], "tile": 256}
    several = model_contestant("default,degradations=[rain, haze,jpeg],fidelity=0.5")
    assert several.options == {"degradations": ["rain", "haze", "jpeg"], "fidelity": 0.5}
    strengths = model_contestant("default,degradations={rain: 0.5, haze: 1}")
    assert strengths.options == {"degradations": {"rain": 0.5, "haze": 1}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("default,", "expected MODEL or MODEL,option=value,.. got 'default,'"),
        ("default,=3", "expected MODEL or MODEL,option=value"),
        ("default,degradations=[rain,haze", r"the value of degradations is no valid YAML, got '\[rain'"),
        ("default,degradations={rain", r"the value of degradations is no valid YAML, got '\{rain'"),
        ("default,instruction='sharp", "the value of instruction is no valid YAML, got"),
        ("default,fidelty=0.5", "did you mean 'fidelity'"),
        ("default,num_inference_steps=4", "is for models of the stable or xl track, this one is of the fast track"),
    ],
)
def test_an_option_that_a_model_does_not_take_is_refused_before_anything_is_loaded(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model_contestant(text)


def test_a_model_that_is_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailableError, match="nowhere"):
        model_contestant(str(tmp_path / "nowhere"))
    with pytest.raises(UnknownNameError, match="did you mean 'opencv_nlm'"):
        peer_contestant("opencv-nlm")


def test_the_dataset_s_options_yield_to_the_contestant_s_and_both_to_the_seed() -> None:
    case = case_of("rain", options={"strength": 0.5, "overlap": 16})
    contestant = Contestant(name="a", kind="model", options={"strength": 0.9})
    assert call_options(contestant, case, None) == {"strength": 0.9, "overlap": 16}
    assert call_options(contestant, case, 7) == {"strength": 0.9, "overlap": 16, "seed": 7}


@pytest.mark.parametrize(
    ("peer", "recipe", "is_for_it"),
    [
        ("opencv_nlm", "gaussian_noise(sigma_255=25)", True),
        ("opencv_nlm", "gaussian_noise", False),  # whose strength nobody can tell it
        ("opencv_nlm", "rain", False),
        ("dark_channel", "haze", True),
        ("dark_channel", "haze+rain", False),
        ("clahe", "low_light", True),
        ("clahe", "clean", False),
    ],
)
def test_peers_restore_what_they_are_made_for(peer: str, recipe: str, is_for_it: bool) -> None:
    assert takes_part(peer_contestant(peer), case_of(recipe)) is is_for_it
    assert takes_part(Contestant(name="input", kind="input"), case_of(recipe))


def test_every_peer_says_paper_licence_and_what_it_is_for() -> None:
    for record in PEERS:
        assert record.source and record.licence and record.tasks
    assert [record.name for record in PEERS if "non-commercial" in record.licence] == ["bm3d"]
    assert "non-commercial" in str(licence_of(peer_contestant("bm3d")))
    assert licence_of(Contestant(name="them", kind="results", source="x")) is None
    assert licence_of(model_contestant("default")) == "Apache-2.0"


@pytest.mark.parametrize("name", [record.name for record in PEERS if record.name != "bm3d"])
def test_every_peer_gives_a_picture_of_eight_bits_of_grey_and_deep_ones_too(name: str) -> None:
    case = case_of("gaussian_noise(sigma_255=25)")
    restore = open_contestant(peer_contestant(name), device="cpu")
    pixels = case.pictures().lq.pixels
    for given in (pixels, pixels[..., :1].copy(), pixels.astype(np.uint16) * np.uint16(257)):
        photo = restore(to_photo(given), case, None).photo
        assert photo.pixels.shape == (32, 32, 3) and photo.pixels.dtype == np.uint8
    deep = restore(to_photo(pixels.astype(np.uint16) * np.uint16(257)), case, None).photo
    assert np.array_equal(deep.pixels, restore(to_photo(pixels), case, None).photo.pixels)


def test_the_untouched_input_is_given_back() -> None:
    case = case_of("rain")
    photo = case.pictures().lq
    made = open_contestant(Contestant(name="input", kind="input"), device="cpu")(photo, case, None)
    assert made.photo is photo and made.record is None and made.degradations is None


def test_finished_pictures_are_looked_for_by_dataset_then_by_name(tmp_path: Path, write: Any) -> None:
    (case,) = cases_of(SuiteDataset(name="noise", set="builtin", recipe="rain", crop=32, limit=1))
    finished = tmp_path / "done"
    with pytest.raises(DatasetError, match=r"no result for noise/astronaut in .*done; name it like its input"):
        FinishedResults(finished).path_of(case)
    write(finished / "astronaut.png")
    assert FinishedResults(finished).path_of(case) == finished / "astronaut.png"
    write(finished / "noise" / "astronaut.jpg")
    assert FinishedResults(finished).path_of(case) == finished / "noise" / "astronaut.jpg"
    write(finished / "noise" / "astronaut.png")
    with pytest.raises(DatasetError, match=r"has astronaut\.jpg and astronaut\.png for noise/astronaut; leave one"):
        FinishedResults(finished).path_of(case)


def test_finished_pictures_of_whole_scenes_are_cut_as_the_case_is(tmp_path: Path, write: Any) -> None:
    (case,) = cases_of(SuiteDataset(name="noise", set="builtin", recipe="rain", crop=16, limit=1))
    whole = read_photo(write(tmp_path / "done" / "astronaut.png", size=(40, 60))).pixels
    made = FinishedResults(tmp_path / "done")(case.pictures().lq, case, None)
    assert np.array_equal(made.photo.pixels, whole[12:28, 22:38])


def test_a_broken_finished_picture_is_named(tmp_path: Path) -> None:
    case = case_of("rain")
    (tmp_path / "astronaut.png").write_bytes(b"no picture")
    with pytest.raises(ImageFileError, match=r"astronaut\.png"):
        FinishedResults(tmp_path)(case.pictures().lq, case, None)


def test_one_finished_picture_may_serve_the_same_input_twice_and_no_two(tmp_path: Path, write: Any) -> None:
    write(tmp_path / "astronaut.png")
    forget_contestants()
    facts: dict[str, Any] = {"set": "builtin", "crop": 32, "limit": 1}
    done = results_contestant("done", tmp_path)
    same = cases_of(*(SuiteDataset(name=name, recipe="rain", **facts) for name in ("one", "two")))
    check_results_are_of_one_input(done, same)
    for changed in ({"recipe": "haze"}, {"recipe": "rain", "severity": 0.9}, {"recipe": "rain", "crop": 16}):
        other = SuiteDataset(**{**facts, "name": "two", **changed})
        cases = cases_of(SuiteDataset(name="one", recipe="rain", **facts), other)
        with pytest.raises(InputError, match="would be the result of both one/astronaut and two/astronaut"):
            check_results_are_of_one_input(done, cases)


def test_a_model_s_hash_is_of_its_weights_and_configs_and_of_nothing_else(tiny_fast: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny_fast, tmp_path / "copy"))
    digest = hash_of_model(str(model))
    assert digest == hash_of_model(str(tiny_fast)) and len(digest) == 64
    (model / "README.md").write_text("about")
    assert hash_of_model(str(model)) == digest
    config = next(model.rglob("config.json"))
    config.write_text(config.read_text() + "\n")
    assert hash_of_model(str(model)) != digest


def test_a_file_renamed_within_a_model_is_another_model(tiny_fast: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny_fast, tmp_path / "copy"))
    weights = next(model.rglob("*.safetensors"))
    weights.rename(weights.with_name("other.safetensors"))
    assert hash_of_model(str(model)) != hash_of_model(str(tiny_fast))


def test_an_identity_is_remembered_until_contestants_are_forgotten(tiny_fast: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny_fast, tmp_path / "copy"))
    contestant = model_contestant(str(model))
    before = contestant_identity(contestant)
    next(model.rglob("config.json")).write_text("{}")
    assert contestant_identity(contestant) == before
    forget_contestants()
    assert contestant_identity(contestant) != before


def test_what_has_no_weights_is_told_apart_by_kind_or_package() -> None:
    assert contestant_identity(Contestant(name="input", kind="input")) == "input"
    assert contestant_identity(Contestant(name="x", kind="results", source="y")) == "results"
    assert contestant_identity(peer_contestant("clahe")).startswith("opencv-python-headless ")
    assert contestant_identity(peer_contestant("bm3d")).split()[0] == "bm3d"
