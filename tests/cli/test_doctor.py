import json
import re

import pytest

from ldrestore.cli import doctor_checks
from ldrestore.cli.doctor_checks import USER_EXTRAS, State, look_at_everything, requirements, versions_of_tests


@pytest.fixture
def versions(monkeypatch):
    """Change what is installed: package to version, or None for missing; all others are the tested ones."""
    changed = {}
    tested = versions_of_tests()
    monkeypatch.setattr(doctor_checks, "_version", lambda name: changed.get(name, tested.get(name, ("9",))[0]))
    return changed


def findings():
    return {finding.topic: finding for finding in look_at_everything()}


def test_a_whole_installation_is_ready(call, versions):
    result = call("doctor")
    assert result.exit_code == 0
    assert "ready: ldrestore restore" in result.stdout and "FAIL" not in result.stdout
    document = json.loads(call("doctor", "--json").stdout)
    assert document["healthy"] is True
    assert {"python", "torch", "cpu", "memory", "disk", "hub", "models"} <= {
        one["topic"] for one in document["findings"]
    }


@pytest.mark.parametrize(
    ("present", "text", "remedy"),
    [
        (None, "not installed", "pip install 'diffusers>="),
        ("0.1", "0.1, older than", "pip install --upgrade 'diffusers>="),
    ],
)
def test_what_every_installation_needs_is_a_problem_where_it_is_missing(call, versions, present, text, remedy):
    versions["diffusers"] = present
    result = call("doctor")
    assert result.exit_code == 1
    assert text in result.stdout and remedy in result.stdout and "1 problems" in result.stdout


def test_other_versions_than_the_tested_ones_are_a_note(versions):
    versions["torch"] = "99.0"
    found = findings()["torch"]
    assert found.state is State.NOTE and re.match(r"99\.0, tested with 2\.", found.text)
    assert "pip install torch==" in found.remedy


def test_a_local_build_of_the_tested_version_is_the_tested_one(versions):
    versions["torch"] = f"{versions_of_tests()['torch'][0]}+cu130"
    assert findings()["torch"].state is State.GOOD


def test_a_missing_extra_is_a_note_that_says_how_to_get_it(versions):
    versions["spandrel"] = None
    found = findings()["extra spandrel"]
    assert (found.state, found.text) == (State.NOTE, "without spandrel")
    assert found.remedy == "pip install 'ldrestore[spandrel]'"


def test_every_extra_for_users_is_one_of_the_project():
    assert set(USER_EXTRAS) <= requirements().keys()


def test_the_offline_switch_is_told(versions, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "offline, by HF_HUB_OFFLINE" in findings()["hub"].text
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example")
    assert findings()["hub"].text.startswith("https://mirror.example is asked")


def test_little_memory_is_told_with_what_to_do(versions, monkeypatch):
    monkeypatch.setattr(doctor_checks, "free_memory", lambda: 3 * 10**9)
    found = findings()["memory"]
    assert (found.state, found.text, found.remedy) == (State.NOTE, "3.0 GB free", "give restore --memory 1.5")


def test_the_tested_set_names_every_package_that_is_needed():
    assert requirements()[None].keys() <= versions_of_tests().keys()
