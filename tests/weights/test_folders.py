import pytest

from ldrestore.errors import WeightsError, WeightsUnavailableError
from ldrestore.weights.folders import find_folder, find_model_folder, read_json


def test_the_hub_is_asked_once_for_a_repository(tmp_path, monkeypatch):
    calls = []

    def fetch(name, **options):
        calls.append((name, options["allow_patterns"]))
        return str(tmp_path)

    monkeypatch.setattr("ldrestore.weights.folders.snapshot_download", fetch)
    monkeypatch.setattr("ldrestore.weights.folders._fetched", {})
    assert [find_folder("owner/name") for _ in range(3)] == [tmp_path] * 3
    find_folder("owner/name", revision="other")
    assert [name for name, _ in calls] == ["owner/name"] * 2
    assert "*.txt" in calls[0][1]  # a tokenizer's merges


def test_a_folder_that_is_not_there_names_the_ways_out(tmp_path):
    for name in (tmp_path / "absent", "nobody/nothing"):
        with pytest.raises(WeightsUnavailableError, match=r"local folder.*HF_ENDPOINT.*HF_HUB_OFFLINE"):
            find_model_folder(name)
    with pytest.raises(WeightsUnavailableError, match=r"no model_index\.json"):
        find_model_folder(tmp_path)


def test_a_name_too_long_for_the_file_system_is_no_folder():
    with pytest.raises(WeightsUnavailableError, match=r"no folder 'nnn.*local folder"):
        find_folder("n" * 300)


def test_a_failure_without_words_is_told_by_its_kind(monkeypatch):
    def fetch(name, **options):
        raise TimeoutError

    monkeypatch.setattr("ldrestore.weights.folders.snapshot_download", fetch)
    with pytest.raises(WeightsUnavailableError, match=r"cannot be fetched from the Hub \(TimeoutError\)"):
        find_folder("nobody/slow")


@pytest.mark.parametrize("text", ["{", "[]", "\xff", "[" * 100_000])
def test_damaged_json_is_refused(text, tmp_path):
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match=r"config\.json"):
        read_json(tmp_path / "config.json")
