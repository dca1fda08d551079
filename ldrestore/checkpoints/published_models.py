"""What the authors of systems and bases publish, fetched, checked, and made a model."""

import os
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from ldrestore.checkpoints.conversion import convert
from ldrestore.checkpoints.published_catalog import PUBLISHED_MODELS, PublishedFile, PublishedModel
from ldrestore.errors import InputError, WeightsError, WeightsUnavailableError
from ldrestore.weights.folders import find_folder
from ldrestore.weights.hashes import hash_of_file


def fetch_published(
    name: str, out_dir: str | Path | None = None, *, archives: Path | None = None, say: Callable[[str], None]
) -> Path:
    """Get what the authors of a system publish, check it, and make a model of it.

    Args:
        name: Of `PUBLISHED_MODELS`.
        out_dir: Folder of the model; None for one of the system's name here. A base takes none: it stays in the cache.
        archives: Folder where the files lie already; nothing is then downloaded.
        say: Is told what happens, a line at a time.

    Returns:
        The folder of the model, or of the base.

    Raises:
        InputError: the folder is not empty, or is given for a base.
        WeightsUnavailableError: a file cannot be had; the message says where it lies and what to do.
        WeightsError: a file is damaged, another one, or does not fit.
    """
    record = PUBLISHED_MODELS.get(name)
    say(f"{name}: licence of the weights: {record.licence}; {record.page}")
    if record.is_base:
        if out_dir is not None or archives is not None:
            raise InputError(f"{name} is a base, which stays in the cache of the Hub; leave --out and --archives out")
        return _fetch_base(record)
    folder = Path(name if out_dir is None else out_dir)
    if os.path.exists(folder) and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists already; name another folder with --out")
    checkpoint = _checkpoint_of(record, archives, say=say)
    head = None if record.head is None else _file_of(record, record.head, archives, say=say)
    made = convert(name, checkpoint, folder, head=head)
    if record.encoder is not None and archives is None:
        find_folder(record.encoder)  # so that instructions are understood without a network, too
    return made


def _checkpoint_of(record: PublishedModel, archives: Path | None, *, say: Callable[[str], None]) -> Path:
    """The one checkpoint of a system; of several the one that lies in the folder.

    Raises:
        InputError: several lie there.
        WeightsUnavailableError: none does, or it cannot be downloaded.
    """
    if archives is None or len(record.files) == 1:
        return _file_of(record, record.files[0], archives, say=say)
    found = [file for file in record.files if (archives / file.name).is_file()]
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise InputError(
            f"{archives} holds several checkpoints of {record.name}: {names}; convert one by its name: "
            f"ldrestore convert {record.name} {archives / found[0].name} OUT_DIR"
        )
    return _file_of(record, (found or record.files)[0], archives, say=say)


def _file_of(record: PublishedModel, file: PublishedFile, archives: Path | None, *, say: Callable[[str], None]) -> Path:
    """One file, its hash checked or told.

    Raises:
        WeightsUnavailableError: it cannot be had.
        WeightsError: it has another hash.
    """
    path = _downloaded(record, file, say=say) if archives is None else archives / file.name
    if not path.is_file():
        raise WeightsUnavailableError(f"no {file.name} in {archives}; download it from {record.page} into that folder")
    digest = hash_of_file(path)
    if file.sha256 is not None and digest != file.sha256:
        raise WeightsError(
            f"{path} is not the published {file.name}: its SHA-256 is {digest}, expected {file.sha256}; download it "
            f"again from {record.page}"
        )
    known = "as published" if file.sha256 is not None else "its authors publish none to hold it against"
    say(f"{file.name}: SHA-256 {digest}, {known}")
    return path


def _downloaded(record: PublishedModel, file: PublishedFile, *, say: Callable[[str], None]) -> Path:
    """A file of the Hub, in its cache, from the first repository that has it.

    Raises:
        WeightsUnavailableError: none has, or no connection.
    """
    again = f"ldrestore fetch {record.name} --archives FOLDER"
    if not record.repositories:
        names = " or ".join(one.name for one in (file, *(other for other in record.files if other != file)))
        raise WeightsUnavailableError(
            f"the authors of {record.name} publish {names} where only a browser gets it; open {record.page}, follow "
            f"its links to the models, put the file into a folder, and run: {again}"
        )
    reasons = []
    for repository in record.repositories:
        say(f"{file.name}: from {repository} on the Hub, or its cache; without a connection it is tried for a while")
        try:
            return Path(hf_hub_download(repository, file.name))
        except (OSError, HfHubHTTPError, HFValidationError) as error:
            reasons.append(f"{repository}: {(str(error).strip() or type(error).__name__).splitlines()[0]}")
    raise WeightsUnavailableError(
        f"{file.name} cannot be fetched from the Hub ({'; '.join(reasons)}); set HF_ENDPOINT to a mirror, or download "
        f"it from {record.page} on another machine, put it into a folder, and run: {again}"
    )


def _fetch_base(record: PublishedModel) -> Path:
    """The folder of a base in the cache of the Hub.

    Raises:
        WeightsUnavailableError: no repository can be had.
    """
    reasons = []
    for repository in record.repositories:
        try:
            return find_folder(repository)
        except WeightsUnavailableError as error:
            reasons.append(error)
    raise WeightsUnavailableError(f"{record.name}: {reasons[0]}") from reasons[0]
