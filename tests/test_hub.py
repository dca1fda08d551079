import json
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub.errors import HFValidationError

from ldrestore import __version__
from ldrestore.errors import InputError, UploadError, WeightsError, WeightsUnavailableError
from ldrestore.hub import model_card, push_to_hub
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from ldrestore.weights.file_names import ORIGIN_FILE
from ldrestore.weights.hashes import hash_of_file


@pytest.fixture
def folder(tmp_path):
    """Folder of a tiny model, with a file that is nobody's business."""
    torch.manual_seed(0)
    network = create_regressor("nafnet", width=4, enc_blk_nums=(1,), middle_blk_num=1, dec_blk_nums=(1,))
    FastRestorePipeline(regressor=network.eval()).save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "secret.py").write_text("token = 1")
    (tmp_path / "model" / "old.pth").write_bytes(b"x")
    return tmp_path / "model"


@pytest.fixture
def api(monkeypatch):
    """A Hub that takes everything; what it was given."""
    given = {}

    class Api:
        def create_repo(self, repository, *, private, exist_ok):
            given["repository"] = (repository, private, exist_ok)

        def upload_folder(self, *, repo_id, folder_path, commit_message):
            root = Path(folder_path)
            given["files"] = {
                path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
            }
            given["message"] = commit_message
            return f"https://huggingface.co/{repo_id}/commit/1"

    monkeypatch.setattr("ldrestore.hub.HfApi", Api)
    return given


def test_configs_weights_and_a_card_are_uploaded_and_nothing_else(folder, api):
    address = push_to_hub(folder, "somebody/tiny", licence="MIT", private=True)
    assert address == "https://huggingface.co/somebody/tiny/commit/1"
    assert api["repository"] == ("somebody/tiny", True, True)
    assert api["files"].keys() == {
        "README.md",
        "model_index.json",
        "regressor/config.json",
        "regressor/diffusion_pytorch_model.safetensors",
    }
    assert not (folder / "README.md").exists()


def test_the_card_says_what_it_is_and_claims_nothing(folder):
    card = model_card(folder, "somebody/tiny", licence="Academic Public License")
    head = yaml.safe_load(card.split("---")[1])
    assert head["license"] == "other" and head["license_name"] == "Academic Public License"
    assert head["pipeline_tag"] == "image-to-image" and "fast" in head["tags"]
    assert "--model somebody/tiny" in card and "nafnet" in card and "No figures are claimed" in card
    assert "regressor/diffusion_pytorch_model.safetensors" in card


def test_a_card_of_ones_own_is_kept_unless_a_new_one_is_wanted(folder, api):
    (folder / "README.md").write_text("mine")
    push_to_hub(folder, "somebody/tiny")
    assert api["files"]["README.md"] == b"mine"
    push_to_hub(folder, "somebody/tiny", licence="MIT", new_card=True)
    assert b"No figures are claimed" in api["files"]["README.md"]


@pytest.mark.parametrize("licence", ["Apache-2.0", "apache-2.0"])
def test_a_licence_of_the_hub_is_named_as_the_hub_does(folder, licence):
    head = yaml.safe_load(model_card(folder, "somebody/tiny", licence=licence).split("---")[1])
    assert head["license"] == "apache-2.0" and "license_name" not in head


def test_a_licence_that_nobody_states_is_asked_for(folder, api):
    with pytest.raises(InputError, match="say it with licence"):
        push_to_hub(folder, "somebody/tiny")
    assert api == {}


def test_a_damaged_model_is_not_published(folder, api):
    (folder / "regressor" / "diffusion_pytorch_model.safetensors").write_bytes(b"x")
    for options in ({"licence": "MIT"}, {}):
        with pytest.raises(WeightsError):
            push_to_hub(folder, "somebody/tiny", **options)
        (folder / "README.md").write_text("mine")
    assert api == {}
    with pytest.raises(WeightsUnavailableError, match="no folder of a model"):
        push_to_hub(folder / "nowhere", "somebody/tiny")


def test_a_refusal_is_one_message_with_what_to_do(folder, api, monkeypatch):
    def refuse(*_, **__):
        raise OSError("401 Client Error\nmany lines")

    monkeypatch.setattr("ldrestore.hub.HfApi.create_repo", refuse)
    with pytest.raises(UploadError) as caught:
        push_to_hub(folder, "somebody/tiny", licence="MIT")
    assert "401 Client Error" in str(caught.value) and "HF_TOKEN" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_prints_the_address(folder, api):
    from typer.testing import CliRunner

    from ldrestore.cli.main import make_app

    result = CliRunner().invoke(make_app(), ["push", str(folder), "somebody/tiny", "--licence", "MIT"])
    assert result.exit_code == 0 and result.stdout == "https://huggingface.co/somebody/tiny/commit/1\n"


def test_what_a_folder_says_of_its_weights_breaks_no_table_and_gives_the_licence(folder) -> None:
    origin = {"weights_licence": "MIT", "source": "a | b\n## Figures\n| c", "paper": "https://example.org/x?y=1"}
    (folder / ORIGIN_FILE).write_text(json.dumps(origin))
    card = model_card(folder, "somebody/tiny")
    assert yaml.safe_load(card.split("---")[1])["license"] == "mit"
    assert "| source | a \\| b ## Figures \\| c |" in card
    headings = [line for line in card.splitlines() if line.startswith("## ")]
    assert headings == ["## What it is", "## Where its weights come from", "## Limits", "## Files"]


def test_the_card_lists_each_file_of_weights_with_its_hash(folder) -> None:
    path = folder / "regressor" / "diffusion_pytorch_model.safetensors"
    card = model_card(folder, "somebody/tiny", licence="MIT")
    assert f"| regressor/{path.name} | {hash_of_file(path)} |" in card
    assert "old.pth" not in card and "secret" not in card


@pytest.mark.parametrize(
    "error",
    [HFValidationError("Repo id must use alphanumeric chars"), ValueError("no"), OSError(), RuntimeError("bug")],
)
def test_every_refusal_of_the_hub_is_typed_and_a_fault_of_ours_is_not_hidden(folder, api, monkeypatch, error) -> None:
    def refuse(*words, **options):
        raise error

    monkeypatch.setattr("ldrestore.hub.HfApi.upload_folder", refuse)
    kind = RuntimeError if isinstance(error, RuntimeError) else UploadError
    with pytest.raises(kind) as refusal:
        push_to_hub(folder, "no such name", licence="MIT")
    if kind is UploadError:
        assert "no such name cannot be written (" in str(refusal.value) and "()" not in str(refusal.value)


def test_a_commit_says_what_it_is_unless_told(folder, api) -> None:
    push_to_hub(folder, "somebody/tiny", licence="MIT")
    assert api["message"] == f"Upload a model of ldrestore {__version__}" and api["repository"][1] is False
    push_to_hub(folder, "somebody/tiny", licence="MIT", message="second")
    assert api["message"] == "second"
