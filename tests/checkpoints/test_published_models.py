import pytest
import torch

from ldrestore.checkpoints.published_catalog import INSTRUCTION_HEAD, PUBLISHED_MODELS, PublishedFile, PublishedModel
from ldrestore.checkpoints.published_models import fetch_published
from ldrestore.errors import InputError, WeightsError, WeightsUnavailableError
from ldrestore.registry import Registry
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.regressors.factory import create_regressor


@pytest.fixture
def checkpoint(tmp_path):
    """A tiny NAFNet as its authors publish it."""
    torch.manual_seed(0)
    network = create_regressor("nafnet", width=4, enc_blk_nums=(1,), middle_blk_num=1, dec_blk_nums=(1,))
    (tmp_path / "files").mkdir()
    path = tmp_path / "files" / "tiny.pth"
    torch.save({"params": network.state_dict()}, path)
    return path


@pytest.fixture
def publish(monkeypatch):
    """Add a record until the end of the test."""
    registry = Registry("published model")
    monkeypatch.setattr("ldrestore.checkpoints.published_models.PUBLISHED_MODELS", registry)

    def add(**facts):
        known = {"name": "nafnet", "licence": "MIT", "page": "https://example.org/nafnet"}
        return registry.register(PublishedModel(**{**known, **facts}))

    return add


@pytest.fixture
def hub(monkeypatch, checkpoint):
    """A Hub that holds the tiny checkpoint in "good/nafnet"; what was asked of it."""
    requests = []

    def download(repository, name):
        requests.append((repository, name))
        if repository != "good/nafnet":
            raise OSError(f"no connection to {repository}\nand more")
        return str(checkpoint)

    monkeypatch.setattr("ldrestore.checkpoints.published_models.hf_hub_download", download)
    return requests


TINY = PublishedFile(name="tiny.pth")


def test_a_file_of_the_hub_becomes_a_model_from_the_first_mirror_that_has_it(publish, hub, tmp_path):
    publish(files=(TINY,), repositories=("gone/nafnet", "good/nafnet"))
    lines = []
    folder = fetch_published("nafnet", tmp_path / "out", say=lines.append)
    assert (folder / "model_index.json").is_file()
    assert hub == [("gone/nafnet", "tiny.pth"), ("good/nafnet", "tiny.pth")]
    assert "licence of the weights: MIT" in lines[0]
    assert "from gone/nafnet on the Hub" in lines[1] and "from good/nafnet on the Hub" in lines[2]
    assert "SHA-256" in lines[3] and "publish none" in lines[3]


def test_a_failed_download_is_one_message_with_the_way_out(publish, hub, tmp_path):
    publish(files=(TINY,), repositories=("gone/nafnet",))
    with pytest.raises(WeightsUnavailableError) as caught:
        fetch_published("nafnet", tmp_path / "out", say=lambda _: None)
    message = str(caught.value)
    assert "\n" not in message and "no connection to gone/nafnet" in message and "and more" not in message
    assert "HF_ENDPOINT" in message and "https://example.org/nafnet" in message
    assert "ldrestore fetch nafnet --archives FOLDER" in message
    assert not (tmp_path / "out").exists()


def test_what_a_browser_alone_gets_is_told_and_taken_from_a_folder(publish, hub, checkpoint, tmp_path):
    publish(files=(TINY, PublishedFile(name="other.pth")))
    with pytest.raises(WeightsUnavailableError, match=r"publish tiny\.pth or other\.pth where only a browser gets it"):
        fetch_published("nafnet", tmp_path / "out", say=lambda _: None)
    folder = fetch_published("nafnet", tmp_path / "out", archives=checkpoint.parent, say=lambda _: None)
    assert (folder / "model_index.json").is_file() and hub == []
    (checkpoint.parent / "other.pth").write_bytes(b"x")
    with pytest.raises(InputError, match=r"holds several checkpoints of nafnet: tiny\.pth, other\.pth"):
        fetch_published("nafnet", tmp_path / "out2", archives=checkpoint.parent, say=lambda _: None)
    with pytest.raises(WeightsUnavailableError, match=r"no tiny\.pth in"):
        fetch_published("nafnet", tmp_path / "out3", archives=tmp_path, say=lambda _: None)


def test_another_hash_than_the_published_one_is_refused(publish, hub, checkpoint, tmp_path):
    publish(files=(PublishedFile(name="tiny.pth", sha256="0" * 64),))
    with pytest.raises(WeightsError, match=r"is not the published tiny\.pth"):
        fetch_published("nafnet", tmp_path / "out", archives=checkpoint.parent, say=lambda _: None)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_in_it_is_left_alone(publish, hub, checkpoint):
    publish(files=(TINY,), repositories=("good/nafnet",))
    with pytest.raises(InputError, match="exists already; name another folder with --out"):
        fetch_published("nafnet", checkpoint.parent, say=lambda _: None)
    assert hub == []


def test_a_base_stays_in_the_cache(publish, monkeypatch, tmp_path):
    publish(name="base", repositories=("gone/base", "good/base"))

    def find_folder(repository):
        if repository != "good/base":
            raise WeightsUnavailableError("no connection")
        return tmp_path

    monkeypatch.setattr("ldrestore.checkpoints.published_models.find_folder", find_folder)
    assert fetch_published("base", say=lambda _: None) == tmp_path
    with pytest.raises(InputError, match="stays in the cache"):
        fetch_published("base", tmp_path / "out", say=lambda _: None)


def test_every_record_can_be_converted_and_has_the_licence_of_its_architecture():
    systems = [record for record in PUBLISHED_MODELS if not record.is_base]
    assert {record.name for record in systems} <= {*REGRESSORS.names(), INSTRUCTION_HEAD, "faithdiff"}
    for record in systems:
        assert record.page.startswith("https://")
        if record.name in REGRESSORS:
            assert record.licence == REGRESSORS.get(record.name).licence
