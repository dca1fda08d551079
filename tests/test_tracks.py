"""The records of the tracks; and a toy third track, which the rest of the library serves without knowing it."""

import ast
import inspect
import json
import re
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, get_type_hints

import numpy as np
import pytest
from syntax_trees import imports_of, read_modules
from typer.testing import CliRunner

from ldrestore.cli.main import make_app
from ldrestore.errors import InputError, UnknownNameError, WeightsError, WeightsUnavailableError
from ldrestore.options import (
    Flag,
    RestoreOptions,
    StableRestoreOptions,
    StepsOption,
    declared_options,
    given_options,
    recorded_options,
)
from ldrestore.registry import ModelRecord, TrackRecord, resolve
from ldrestore.restorers import list_models, load_restorer, restore
from ldrestore.structures import DegradationEstimate
from ldrestore.tracks import (
    TRACKS,
    options_class_of,
    options_of_all,
    track_of,
    track_of_adapters,
    track_of_class,
    track_of_exports,
)

NOT_OPTIONS = {"self", "image", "return_dict"}


@dataclass(frozen=True, kw_only=True)
class ToyRestoreOptions(RestoreOptions):
    """What models of the toy track take."""

    patience: Annotated[
        int, Flag(name="--patience", kind=int, minimum=1, metavar="N", help="Steps of each of the two stages.")
    ] = 2
    num_inference_steps: StepsOption = 9
    """Shared with other tracks, where the model says how many."""
    memory_gb: get_type_hints(RestoreOptions, include_extras=True)["memory_gb"] = 2.0
    """Shared with other tracks, which leave it out differently."""


class ToySystem:
    """Samples in two stages: the first finds the mean brightness, the second draws every pixel towards it."""

    def __init__(self, pull):
        self.pull = pull

    def condition(self, values):
        return DegradationEstimate(("flatness",), (float(1 - values.std()),))

    def predict(self, values, steps):
        mean = 0.0
        for _ in range(steps):
            mean += (values.mean() - mean) / 2
        for _ in range(steps):
            values = values + self.pull * (mean - values)
        return values


class ToyRestorePipeline:
    """A pipeline that needs no torch."""

    def __init__(self, pull, name):
        self.system, self.name = ToySystem(pull), name

    @classmethod
    def from_pretrained(cls, name_or_path, *, dtype=None, local_files_only=False):
        from ldrestore.assets.catalog import embedded_folder

        folder = embedded_folder(name_or_path) or Path(name_or_path)
        return cls(json.loads((folder / "toy.json").read_text())["pull"], str(name_or_path))

    @classmethod
    def from_exports(cls, base, *exports, prediction_type=None):
        return cls(json.loads((exports[0] / "pull/config.json").read_text())["pull"], base)

    def save_pretrained(self, folder):
        folder.mkdir()
        (folder / "model_index.json").write_text(json.dumps({"_class_name": "ToyRestorePipeline"}))
        (folder / "toy.json").write_text(json.dumps({"pull": self.system.pull}))

    def to(self, device):
        return self

    def set_progress_bar_config(self, disable=None):
        pass

    def restore(self, image, options):
        from ldrestore.images.inputs import to_photos
        from ldrestore.pipelines.pipeline_output import RestoreOutput, as_output_type

        photos, estimates, records = [], [], []
        for photo in to_photos(image, clip=options.clip):
            values = photo.pixels / photo.max_value
            estimates.append(self.system.condition(values))
            pixels = np.rint(self.system.predict(values, options.patience) * 255).astype(np.uint8)
            photos.append(photo.replace(pixels=pixels, alpha=photo.alpha))
            kept = recorded_options(options, {"protect": None})
            records.append({"ldrestore": "toy", "options": kept, "degradations": dict(estimates[-1])})
        return RestoreOutput(
            images=[as_output_type(photo, options.output_type) for photo in photos],
            photos=photos,
            degradations=estimates,
            records=records,
            advice=[("quite flat; --patience 9 flattens it further",)] * len(photos),
        )


class ToyExplainer:
    """Tells how flat pictures are."""

    def __init__(self, pipeline, options):
        self.pipeline, self.options, self.names = pipeline, options, []

    def explain(self, photo, *, gt, name):
        self.look_at(photo, name=name)
        return self.report()

    def check_folder(self):
        pass

    def look_at(self, photo, *, name):
        self.names.append(name)

    def report(self):
        from ldrestore.explanations.explainer import Finding

        document = {"pictures": self.names, "patience": self.options.patience}
        return Finding(document=document, page="![flatness](flatness.png)", figures={"flatness.png": b"figure"})


def checked_toy_options(pipeline, options):
    """Refuse what the model would refuse at each picture."""
    if options.patience > 99:
        raise InputError(f"--patience takes at most 99 steps, got {options.patience}")
    return options


def facts_of_toy(pipeline):
    """Plain values for `info`."""
    return {"pull": pipeline.system.pull, "stages": 2}


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """Registers the toy track with one record, and one model of it by name."""
    module = SimpleNamespace(
        ToyRestorePipeline=ToyRestorePipeline,
        ToyRestoreOptions=ToyRestoreOptions,
        ToyExplainer=ToyExplainer,
        facts_of_toy=facts_of_toy,
        checked_toy_options=checked_toy_options,
        TOY_PARTS=SimpleNamespace(trained={"pull": "toy_track:ToySystem"}, towers={}),
    )
    monkeypatch.setitem(sys.modules, "toy_track", module)
    monkeypatch.setattr(ToyRestorePipeline, "__module__", "toy_track")
    monkeypatch.setattr(TRACKS, "_records", dict(TRACKS._records))
    TRACKS.register(
        TrackRecord(
            name="toy",
            pipeline="toy_track:ToyRestorePipeline",
            options="toy_track:ToyRestoreOptions",
            facts="toy_track:facts_of_toy",
            explainer="toy_track:ToyExplainer",
            explained_options=("patience",),
            checks="toy_track:checked_toy_options",
            parts="toy_track:TOY_PARTS",
            figures=("flatness.png",),
        )
    )
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "ToyRestorePipeline"}))
    (folder / "toy.json").write_text(json.dumps({"pull": 0.25}))
    from ldrestore.assets import catalog

    monkeypatch.setattr(catalog.MODELS, "_records", dict(catalog.MODELS._records))
    catalog.MODELS.register(
        ModelRecord(
            name="toy-model",
            track="toy",
            location=str(folder),
            tasks=("contrast",),
            licence="CC0-1.0",
            parameters=1,
            summary="flattens",
        )
    )
    return folder


@pytest.fixture
def command():
    """Run the command line with the tracks that are registered by now."""

    def run(*words):
        return CliRunner().invoke(make_app(), [str(word) for word in words], catch_exceptions=False)

    return run


@pytest.fixture
def photo_file(tmp_path):
    """A small picture on the disk."""
    from PIL import Image

    path = tmp_path / "in.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize("track", list(TRACKS), ids=lambda track: track.name)
def test_a_call_takes_what_its_track_declares(track):
    call = inspect.signature(resolve(track.pipeline).__call__).parameters
    defaults = {name: parameter.default for name, parameter in call.items() if name not in NOT_OPTIONS}
    assert {field.name: field.default for field in fields(options_class_of(track))} == defaults


@pytest.mark.parametrize("track", list(TRACKS), ids=lambda track: track.name)
def test_what_a_record_names_is_there(track):
    for target in (track.pipeline, track.options, track.facts, track.explainer, track.checks):
        assert target is None or callable(resolve(target))
    if track.parts is not None:
        assert resolve(track.parts).pipeline == track.pipeline.rpartition(":")[2]
        assert callable(resolve(track.pipeline).from_base) and callable(resolve(track.pipeline).from_exports)
    if track.instruction_reader is not None:
        assert callable(resolve(track.instruction_reader))
    names = {option.name for option in declared_options(options_class_of(track)) if option.flag}
    assert set(track.explained_options) <= names


def test_tracks_are_told_by_their_pipelines():
    assert track_of_class("StableRestorePipeline", source="x").name == "stable"
    assert track_of_adapters({}, source="x").name == "stable"
    assert track_of_adapters({"pipeline": "StableRestorePipeline"}, source="x").name == "stable"
    with pytest.raises(WeightsError, match="x holds a OtherPipeline, which restores nothing here; known: Fast"):
        track_of_class("OtherPipeline", source="x")
    with pytest.raises(InputError, match="int is the pipeline of no track"):
        track_of(1)


def test_nothing_outside_the_records_asks_for_a_track_or_its_pipeline_class():
    names = {track.name for track in TRACKS} | {track.pipeline.rpartition(":")[2] for track in TRACKS}
    asking = []
    for module in read_modules():
        for node in ast.walk(module.tree):
            strings = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
            classes = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            is_check = isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass")
            if (isinstance(node, ast.Compare) and names & strings) or (is_check and names & classes):
                asking.append(f"{module.name}:{node.lineno}")
    assert asking == []


@pytest.mark.parametrize("room", ["ldrestore.jobs", "ldrestore.cli", "ldrestore.restorers"])
def test_what_serves_all_tracks_imports_no_pipeline_and_no_system(room):
    edges = [edge for module in read_modules() if module.name.startswith(room) for edge in imports_of(module)]
    assert len(edges) > 5
    pattern = re.compile(
        r"ldrestore\.(pipelines|systems)\.(?!pipeline_output|progress)"
    )  # what pipelines give and tell, not pipelines
    assert [edge.target for edge in edges if pattern.match(edge.target)] == []


def test_options_at_their_defaults_are_not_given():
    options = ToyRestoreOptions(patience=2, scale=2, protect=np.zeros(1))
    assert sorted(given_options(options)) == ["protect", "scale"]


def test_records_keep_what_options_declare():
    options = StableRestoreOptions(tile=256, seed=3, output_type="np", protect=np.zeros(1), degradations="rain")
    kept = recorded_options(options, {"protect": "a hash", "degradations": {"rain": 1.0}})
    assert kept == {
        "scale": 1,
        "fidelity": 0.0,
        "protect_sha256": "a hash",
        "keep_grain": 0.0,
        "self_ensemble": False,
        "degradations": {"rain": 1.0},
        "num_inference_steps": None,
        "strength": 1.0,
        "seed": 3,
        "refine": True,
        "colour_fix": "off",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": 9}, r"scale must be a whole number in \[1, 8\], got 9"),
        ({"fidelity": 1.5}, r"fidelity must lie in \[0, 1\], got 1.5"),
        ({"keep_grain": -1}, r"keep_grain must lie in \[0, 1\], got -1"),
        ({"output_type": "jpg"}, "unknown output_type 'jpg'"),
        ({"colour_fix": "wave"}, "unknown colour_fix 'wave'; did you mean 'wavelet'"),
    ],
)
def test_options_out_of_range_are_refused_where_they_are_declared(options, message):
    with pytest.raises(InputError, match=message):
        StableRestoreOptions(**options)


def test_an_option_of_two_tracks_shows_both_defaults(toy, command):
    assert options_of_all()["memory_gb"].shown_default == "4; 2 for models of the toy track"
    assert options_of_all()["num_inference_steps"].shown_default == "as many as the model says"


def test_two_declarations_of_one_option_are_refused(toy, monkeypatch):
    @dataclass(frozen=True, kw_only=True)
    class OtherOptions(RestoreOptions):
        seed: Annotated[int, Flag(name="--seed", kind=int, help="Another seed.")] = 0

    monkeypatch.setattr(sys.modules["toy_track"], "ToyRestoreOptions", OtherOptions)
    with pytest.raises(InputError, match="the option seed of the toy track differs"):
        options_of_all()


def test_restore_serves_a_third_track(toy, photo_file):
    output = restore(photo_file, model=toy, patience=3, output_type="photo")
    expected = ToyRestorePipeline(0.25, "x").restore(photo_file, ToyRestoreOptions(patience=3))
    assert np.array_equal(output.images[0].pixels, expected.photos[0].pixels)
    assert output.records == expected.records
    assert output.degradations[0].ranked()[0][0] == "flatness" and output.degradations[0]["flatness"] > 0.5
    with pytest.raises(UnknownNameError, match=r"unknown option of ToyRestorePipeline 'pacience'; did you mean"):
        restore(photo_file, model=toy, pacience=3)
    with pytest.raises(InputError, match="only models of the fast track go through onnx"):
        load_restorer(toy, engine="onnx")


def test_the_command_serves_a_third_track(toy, command, photo_file, tmp_path):
    assert "--patience N" in command("restore", "--help").stdout
    result = command("restore", photo_file, tmp_path / "out.png", "--model", "toy-model", "--patience", 4)
    assert result.exit_code == 0, result.stderr
    assert "the model saw flatness 0.7" in result.stderr
    assert "quite flat; --patience 9 flattens it further" in result.stderr
    assert json.loads((tmp_path / "out.png.json").read_text())["options"]["patience"] == 4
    document = json.loads(command("restore", photo_file, tmp_path / "out2.png", "--model", toy, "--json").stdout)
    assert document["results"][0]["record"]["options"] == {
        "scale": 1,
        "fidelity": 0.0,
        "protect_sha256": None,
        "keep_grain": 0.0,
        "self_ensemble": False,
        "patience": 2,
        "num_inference_steps": 9,
    }
    assert document["results"][0]["advice"] == ["quite flat; --patience 9 flattens it further"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--patience", "100"], "--patience takes at most 99 steps, got 100"),
        (["--patience", "0"], "--patience"),
        (["--strength", "0.3"], "--strength is for models of the stable or xl track, this one is of the toy track"),
    ],
)
def test_wrong_options_of_a_third_track_are_wrong_calls(toy, command, photo_file, tmp_path, words, message):
    result = command("restore", photo_file, tmp_path / "out.png", "--model", toy, *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out.png").exists()


def test_another_track_refuses_its_option(toy, command, photo_file, tmp_path):
    result = command("restore", photo_file, tmp_path / "out.png", "--patience", 3)
    assert result.exit_code == 2
    assert "--patience is for models of the toy track, this one is of the fast track" in result.stderr


def test_models_and_info_serve_a_third_track(toy, command):
    assert "toy-model" in [record.name for record in list_models()]
    assert re.search(r"^toy-model +toy ", command("models").stdout, re.MULTILINE)
    facts = json.loads(command("info", "toy-model", "--json").stdout)
    assert {"track": "toy", "pull": 0.25, "stages": 2, "licence": "CC0-1.0"}.items() <= facts.items()


def test_explain_serves_a_third_track(toy, command, photo_file, tmp_path):
    result = command("explain", photo_file, "--model", toy, "--patience", 5, "--out", tmp_path / "why")
    assert result.exit_code == 0, result.stderr
    document = json.loads((tmp_path / "why" / "explanation.json").read_text())
    assert document == {"pictures": ["in.png"], "patience": 5}
    assert (tmp_path / "why" / "flatness.png").read_bytes() == b"figure"
    again = command("explain", photo_file, "--model", toy, "--out", tmp_path / "why", "--overwrite")
    assert again.exit_code == 0, again.stderr
    (tmp_path / "why/explanation.json").unlink()
    (tmp_path / "why/explanation.md").unlink()
    refused = command("explain", photo_file, "--model", toy, "--out", tmp_path / "why")
    assert refused.exit_code == 1 and "flatness.png" in refused.stderr


def test_instructions_of_a_third_track_that_takes_none_are_a_wrong_call(toy, command, tmp_path):
    result = command("explain", "--instructions", "--model", toy, "--out", tmp_path / "why")
    assert result.exit_code == 2
    assert "models of the toy track take no instructions; name another --model" in result.stderr


@pytest.fixture
def exported(tmp_path):
    """What a run of the toy track exported."""
    (tmp_path / "run/pull").mkdir(parents=True)
    (tmp_path / "run/pull/config.json").write_text(json.dumps({"_class_name": "ToySystem", "pull": 0.5}))
    return tmp_path / "run"


def test_assemble_serves_a_third_track(toy, exported, command, photo_file, tmp_path):
    result = command("assemble", "base", exported, "--out", tmp_path / "model")
    assert result.exit_code == 0, result.stderr
    assert restore(photo_file, model=tmp_path / "model").records[0]["options"]["patience"] == 2
    result = command("assemble", "base", exported, "--out", tmp_path / "other", "--image-encoder", "x")
    assert result.exit_code == 2 and "models of the toy track have no tower" in result.stderr


def test_exports_of_no_track_are_named(toy, tmp_path):
    with pytest.raises(WeightsUnavailableError, match=r"holds none of predictor, .*, pull; give the export of a run"):
        track_of_exports([tmp_path])
