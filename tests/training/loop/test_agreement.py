"""Failures that all processes of a run learn of; here one process, and others that are pretended."""

import pytest
import torch

from ldrestore.errors import ConfigError, OtherProcessError
from ldrestore.training.loop import agreement
from ldrestore.training.loop.agreement import agreed


def pretend(monkeypatch, flags, *, index):
    """Several processes, of which each fails or not."""

    class Processes:
        num_processes, process_index, device = len(flags), index, torch.device("cpu")

    own = []

    def gather(flag):
        own.append(int(flag))
        return torch.tensor(flags)

    monkeypatch.setattr(agreement, "PartialState", Processes)
    monkeypatch.setattr(agreement, "gather", gather)
    return own


def test_alone_an_error_passes_as_it_is_and_nothing_changes_without_one():
    with agreed():
        pass
    with pytest.raises(ConfigError, match="mine"), agreed():
        raise ConfigError("mine")


def test_the_first_process_that_failed_says_why(monkeypatch):
    own = pretend(monkeypatch, [0, 1, 1], index=1)
    with pytest.raises(ConfigError, match="mine"), agreed():
        raise ConfigError("mine")
    assert own == [1]


def test_those_that_failed_after_it_learn_which_one_it_was(monkeypatch):
    own = pretend(monkeypatch, [0, 1, 1], index=2)
    with pytest.raises(OtherProcessError, match="process 1 of the run failed"), agreed():
        raise ConfigError("mine too")
    assert own == [1]


def test_those_that_did_not_fail_learn_it_too(monkeypatch):
    own = pretend(monkeypatch, [0, 1, 1], index=0)
    with pytest.raises(OtherProcessError, match="process 1 of the run failed"), agreed():
        pass
    assert own == [0]


def test_faults_of_the_code_are_not_agreed_upon(monkeypatch):
    own = pretend(monkeypatch, [0, 0], index=0)
    with pytest.raises(ZeroDivisionError), agreed():
        raise ZeroDivisionError
    assert own == []


def test_without_a_failure_all_go_on(monkeypatch):
    own = pretend(monkeypatch, [0, 0], index=1)
    with agreed():
        pass
    assert own == [0]
