"""The first step: every contestant restores every picture, and each result is stored by what it depends on.

A result lies at outputs/CONTESTANT/DATASET/NAME-KEY.png, where KEY is a hash of the input's pixels, the model and the
options; beside it, under the same name and .json, how it was made. The untouched input lies among the pictures alone.
What lies there already is not made again, so that an interrupted run goes on, with any number of processes. A picture
that fails has a .json with its reason alone, and is tried again by the next run.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ldrestore.errors import LDRestoreError
from ldrestore.evaluation.cases import Case, CasePictures, SuiteCases
from ldrestore.evaluation.contestants import (
    Contestant,
    Restorer,
    call_options,
    contestant_identity,
    finished_results,
    open_contestant,
    takes_part,
)
from ldrestore.evaluation.environments import environment_of
from ldrestore.evaluation.picture_memory import PictureMemory
from ldrestore.evaluation.results import DATA_PREFIX, OutputRow, PictureRow
from ldrestore.evaluation.shards import Shard
from ldrestore.evaluation.stored_files import (
    folder_name,
    hash_of_photo,
    key_of,
    picture_name,
    read_json_or_none,
    store_photo,
    stored_form,
    write_document,
)
from ldrestore.weights.hashes import hash_of_file

OUTPUTS, PICTURES, TRUTHS = "outputs", "pictures", "gt"
"""Folders of results, of the pictures they are of, and below those of ground truths, which datasets may share."""
MOST_KEPT = 2**29
"""Bytes of pictures that stay in memory from one contestant to the next, so that they are made once."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreStep:
    """What the step works on."""

    suite: SuiteCases
    """The pictures."""
    contestants: Sequence[Contestant]
    """Who restores them."""
    out_dir: Path
    """The folder of the benchmark."""
    data_root: Path | None
    """The folder that sets lie in."""
    device: str
    """Where models compute."""
    shard: Shard
    """This process."""
    is_fresh: bool = False
    """Whether results are made again that are there."""
    memory: PictureMemory = field(default_factory=PictureMemory)
    """Takes what is stored, by the hash of its pixels, so that the second step need not read it."""


def restore_all(step: RestoreStep, *, say: Say) -> None:
    """Restore this process's share; failures are kept as well.

    Args:
        step: What to work on.
        say: Is told of each contestant, and of each picture that fails.
    """
    pictures = _Pictures(step)
    for contestant in step.contestants:
        runs = [(case, seed) for case in step.suite.cases if takes_part(contestant, case) for seed in contestant.seeds]
        ready = _Ready(contestant, step.device)
        for case, seed in step.shard.of(runs):
            row = _restore_case(step, ready, case, seed, pictures)
            if row.get("failure"):
                say(f"failed: {contestant.name}, {case.dataset}/{case.name}: {row['failure']}")


def collect_rows(step: RestoreStep) -> tuple[list[PictureRow], list[OutputRow], dict[str, Any]]:
    """What the step has made, by all processes, as rows; and the environments that results were made in."""
    pictures: list[PictureRow] = []
    outputs: list[OutputRow] = []
    environments: dict[str, Any] = {}
    for case in step.suite.cases:
        row = read_json_or_none(_picture_place(step, case))
        if row is not None and "lq_sha256" in row:
            pictures.append(PictureRow(**row))
        for contestant in step.contestants:
            if takes_part(contestant, case):
                outputs += [_output_row(step, contestant, case, seed, row, environments) for seed in contestant.seeds]
    return pictures, outputs, environments


class _Ready:
    """A contestant that is opened at its first picture, so that nothing is loaded where all is done."""

    def __init__(self, contestant: Contestant, device: str) -> None:
        self.contestant, self.device = contestant, device
        self._restorer: Restorer | None = None
        self._failure: LDRestoreError | None = None

    def restorer(self) -> Restorer:
        """The opened contestant.

        Raises:
            LDRestoreError: it cannot be opened; the same at each picture.
        """
        if self._failure is not None:
            raise self._failure
        if self._restorer is None:
            try:
                self._restorer = open_contestant(self.contestant, device=self.device)
            except LDRestoreError as error:
                self._failure = error
                raise
        return self._restorer


class _Pictures:
    """The pictures of cases with their rows, stored; kept for the next contestant as far as memory is given to them."""

    def __init__(self, step: RestoreStep) -> None:
        self.step = step
        self._kept: dict[tuple[str, str], tuple[CasePictures, dict[str, Any]]] = {}
        self._clean = PictureMemory()
        self._bytes = 0

    def of(self, case: Case) -> tuple[CasePictures, dict[str, Any]]:
        """Those of a case; whatever a decoder or a degradation raises is let through."""
        key = (case.dataset, case.name)
        if key in self._kept:
            return self._kept[key]
        pictures = case.pictures(self._clean)
        made = pictures, _store_pictures(self.step, case, pictures)
        size = sum(photo.pixels.nbytes for photo in (pictures.lq, pictures.gt) if photo is not None)
        if self._bytes + size <= MOST_KEPT:
            self._bytes += size
            self._kept[key] = made
        return made


def _restore_case(step: RestoreStep, ready: _Ready, case: Case, seed: int | None, kept: _Pictures) -> dict[str, Any]:
    """One picture by one contestant: its document, made now or before."""
    try:
        pictures, row = kept.of(case)
    except Exception as error:  # whatever a decoder or a degradation raises: the picture is named, the rest goes on
        reason = _reason(error)
        write_document(_picture_place(step, case), {"failure": reason})
        return {"failure": reason}
    if ready.contestant.kind == "input":
        return row
    place = _output_place(step, ready.contestant, case, seed, row["lq_sha256"])
    known = read_json_or_none(place.with_suffix(".json"))
    if not step.is_fresh and known is not None and "sha256" in known and place.is_file():
        return known
    try:
        document = _made(step, ready, case, seed, pictures, place)
    except Exception as error:  # one bad picture must not cost the rest of a long run
        document = {"failure": _reason(error)}
    write_document(place.with_suffix(".json"), document)
    return document


def _made(
    step: RestoreStep, ready: _Ready, case: Case, seed: int | None, pictures: CasePictures, place: Path
) -> dict[str, Any]:
    """Restore, store, and say how."""
    restorer = ready.restorer()
    start = _now(step.device)
    made = restorer(pictures.lq, case, seed)
    seconds = _now(step.device) - start
    if step.is_fresh:
        place.unlink(missing_ok=True)
    photo = stored_form(made.photo)
    store_photo(photo, place)
    digest = hash_of_photo(photo)
    step.memory.keep(digest, photo)
    is_timed = ready.contestant.kind in ("model", "peer")
    return {
        "sha256": digest,
        "seconds": seconds if is_timed else None,
        "record": made.record,
        "degradations": made.degradations,
        "environment": environment_of(step.device),
    }


def _store_pictures(step: RestoreStep, case: Case, pictures: CasePictures) -> dict[str, Any]:
    """Keep input and ground truth, or where they lie unchanged below the data root; their row."""
    lq, gt = pictures.lq, pictures.gt
    is_as_file = (case.dataset_config.recipe, case.dataset_config.noise_sigma_255) == (None, None)
    kept: dict[str, str | None] = {"gt": None, "gt_sha256": None}
    for part, photo, file in (("lq", lq, case.files.lq), ("gt", gt, case.files.gt)):
        if photo is None:
            continue
        is_whole = (
            case.dataset_config.crop is None and case.protocol.multiple == 1 and case.protocol.rounding == "uint8"
        )
        below = _below(file, step.data_root) if is_as_file and is_whole else None
        photo = photo if below is not None else stored_form(photo)
        digest = hash_of_photo(photo)
        step.memory.keep(digest, photo)
        if below is None:
            folder = step.out_dir / PICTURES / (TRUTHS if part == "gt" else folder_name(case.dataset))
            place = folder / picture_name(f"{case.name}.{part}", digest)
            store_photo(photo, place)
            below = place.relative_to(step.out_dir).as_posix()
        kept[part], kept[f"{part}_sha256"] = below, digest
    row = {
        "dataset": case.dataset,
        "name": case.name,
        "cluster": case.cluster,
        "width": lq.width,
        "height": lq.height,
        **kept,
    }
    place = _picture_place(step, case)
    if read_json_or_none(place) != row:
        write_document(place, row)
    return row


def _below(path: Path | None, data_root: Path | None) -> str | None:
    """A file as results name it below the data root; None for any other."""
    if path is None or data_root is None or not path.is_relative_to(data_root):
        return None
    return DATA_PREFIX + path.relative_to(data_root).as_posix()


def _output_row(
    step: RestoreStep,
    contestant: Contestant,
    case: Case,
    seed: int | None,
    picture: dict[str, Any] | None,
    environments: dict[str, Any],
) -> OutputRow:
    """The row of one result, or of why there is none."""
    row = partial(OutputRow, contestant=contestant.name, dataset=case.dataset, picture=case.name, seed=seed)
    if picture is None or "lq_sha256" not in picture:
        reason = "was not reached" if picture is None else str(picture.get("failure"))
        return row(failure=reason)
    if contestant.kind == "input":
        environment = environment_of(step.device)
        environments[key_of(environment)] = environment
        return row(path=picture["lq"], sha256=picture["lq_sha256"], environment=key_of(environment))
    place = _output_place(step, contestant, case, seed, picture["lq_sha256"])
    document = read_json_or_none(place.with_suffix(".json")) or {"failure": "was not reached"}
    if "sha256" not in document:
        return row(failure=str(document.get("failure")))
    environment = document["environment"]
    key = key_of(environment)
    environments[key] = environment
    return row(
        path=place.relative_to(step.out_dir).as_posix(),
        sha256=document["sha256"],
        seconds=document["seconds"],
        degradations=document["degradations"],
        environment=key,
    )


def _picture_place(step: RestoreStep, case: Case) -> Path:
    """Where the row of a picture is kept."""
    key = key_of({"name": case.name, "making": str(case.dataset_config), "protocol": case.protocol.name})
    return step.out_dir / PICTURES / folder_name(case.dataset) / picture_name(case.name, key, ".json")


def _output_place(step: RestoreStep, contestant: Contestant, case: Case, seed: int | None, lq_sha256: str) -> Path:
    """Where a result is kept: the key is of the input's pixels, the model and the options."""
    content: dict[str, Any] = {"input": lq_sha256, "identity": contestant_identity(contestant)}
    if contestant.kind == "model":
        content["options"] = call_options(contestant, case, seed)
        content |= {} if contestant.solver is None else {"solver": contestant.solver}
    if contestant.kind == "peer":
        content["sigma_255"] = case.sigma_255
    if contestant.kind == "results":
        content["file"] = _stamp_of_result(contestant, case)
    folder = step.out_dir / OUTPUTS / folder_name(contestant.name) / folder_name(case.dataset)
    return folder / picture_name(case.name, key_of(content))


def _stamp_of_result(contestant: Contestant, case: Case) -> str:
    """A hash of a finished picture's file; empty where there is none."""
    try:
        return hash_of_file(finished_results(contestant.source).path_of(case))
    except (LDRestoreError, OSError):
        return ""


def _now(device: str) -> float:
    """Seconds, after what a GPU still computes."""
    if device != "cpu" and torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def _reason(error: Exception) -> str:
    """What went wrong, on one line; the class of what nobody raised on purpose."""
    text = " ".join(str(error).split())
    return text if isinstance(error, LDRestoreError) else f"unexpected {type(error).__name__}: {text}"
