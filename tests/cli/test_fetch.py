import hashlib

import pytest

from ldrestore.checkpoints.published_catalog import PublishedFile, PublishedModel
from ldrestore.metrics.metric_weights import ARCHIVES
from ldrestore.registry import Registry


def test_what_can_be_fetched_is_listed(call):
    result = call("fetch")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("metrics") and any(line.startswith("instructir ") for line in lines)
    assert all(len(line) <= 80 for line in lines)


def test_an_unknown_name_is_a_wrong_call_with_the_closest_ones(call):
    result = call("fetch", "instructr")
    assert result.exit_code == 2 and "did you mean 'instructir'" in result.stderr


def test_a_folder_for_the_weights_of_metrics_is_a_wrong_call(call, tmp_path):
    assert call("fetch", "metrics", "--out", tmp_path).exit_code == 2


def test_what_only_a_browser_gets_ends_with_one_and_the_way_out(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call("fetch", "moce_ir")
    assert result.exit_code == 1
    assert "https://github.com/eduardzamfir/MoCE-IR" in result.stderr and "--archives FOLDER" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """A folder for files that somebody downloaded; the folder worked in is empty."""
    (tmp_path / "downloads").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "downloads"


def test_a_file_that_is_another_or_damaged_makes_no_model(call, downloads, tmp_path) -> None:
    for content in (b"", b"<html>please log in</html>", b"PK\x03\x04 cut", b"\x80\x02."):
        (downloads / "im_instructir-7d.pt").write_bytes(content)
        (downloads / "lm_instructir-7d.pt").write_bytes(content)
        result = call("fetch", "instructir", "--archives", downloads)
        assert result.exit_code == 1, content
        assert "error: " in result.stderr and "im_instructir-7d.pt" in result.stderr
        assert list((tmp_path / "work").iterdir()) == [] and result.stdout == ""


def test_another_hash_than_the_published_one_is_told_with_both(call, downloads, monkeypatch, tmp_path) -> None:
    registry = Registry("published model")
    file = PublishedFile(name="tiny.pth", sha256="0" * 64)
    registry.register(PublishedModel(name="nafnet", licence="MIT", page="https://example.org/nafnet", files=(file,)))
    for place in ("published_models", "published_catalog"):
        monkeypatch.setattr(f"ldrestore.checkpoints.{place}.PUBLISHED_MODELS", registry)
    (downloads / "tiny.pth").write_bytes(b"another")
    result = call("fetch", "nafnet", "--archives", downloads, "--out", tmp_path / "model")
    assert result.exit_code == 1
    assert hashlib.sha256(b"another").hexdigest() in result.stderr and "0" * 64 in result.stderr
    assert "download it again from https://example.org/nafnet" in result.stderr
    assert not (tmp_path / "model").exists()


def test_missing_files_are_named_with_their_page(call, downloads) -> None:
    result = call("fetch", "instructir", "--archives", downloads)
    assert result.exit_code == 1
    assert "no im_instructir-7d.pt in" in result.stderr and "download it from https://" in result.stderr
    nowhere = call("fetch", "instructir", "--archives", downloads / "gone")
    assert nowhere.exit_code == 1 and "no im_instructir-7d.pt in" in nowhere.stderr


def test_a_folder_that_holds_something_is_not_written_into(call, downloads, tmp_path) -> None:
    (tmp_path / "work" / "instructir").mkdir()
    (tmp_path / "work" / "instructir" / "mine.txt").write_text("mine")
    for words in ((), ("--out", tmp_path / "work"), ("--out", downloads / "file")):
        (downloads / "file").write_text("x")
        result = call("fetch", "instructir", "--archives", downloads, *words)
        assert result.exit_code == 2 and "exists already; name another folder with --out" in result.stderr
    assert [path.name for path in (tmp_path / "work" / "instructir").iterdir()] == ["mine.txt"]


def test_without_a_connection_the_mirror_and_the_other_way_are_named(call, downloads, monkeypatch, tmp_path) -> None:
    def download(repository, name):
        raise OSError("no connection")

    monkeypatch.setattr("ldrestore.checkpoints.published_models.hf_hub_download", download)
    result = call("fetch", "instructir")
    assert result.exit_code == 1
    last = result.stderr.splitlines()[-1]
    for words in ("no connection", "HF_ENDPOINT to a mirror", "ldrestore fetch instructir --archives FOLDER"):
        assert words in last
    assert list((tmp_path / "work").iterdir()) == []


def test_a_base_takes_no_folder(call, downloads) -> None:
    result = call("fetch", "stable-diffusion-2-1-base", "--out", downloads)
    assert result.exit_code == 2 and "leave --out and --archives out" in result.stderr


def test_weights_of_metrics_that_cannot_be_had_are_named_and_the_exit_code_is_1(
    call, downloads, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    result = call("fetch", "metrics", "--archives", downloads)
    assert result.exit_code == 1
    failed = [line for line in result.stderr.splitlines() if line.startswith("failed: ")]
    assert len(failed) == len(ARCHIVES)
    assert not list(tmp_path.rglob("*.safetensors"))
