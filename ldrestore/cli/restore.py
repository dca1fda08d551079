"""`ldrestore restore`: restore pictures, or all pictures of folders."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ldrestore.cli.completion import complete_engines
from ldrestore.cli.console import say
from ldrestore.cli.file_plan import plan_call
from ldrestore.cli.rendering import show_plan, show_report, show_run
from ldrestore.cli.shared_options import (
    BaseOption,
    DeviceOption,
    DryRunOption,
    DtypeOption,
    FormatOption,
    InsArgument,
    JsonOption,
    MaxPixelsOption,
    ModelOption,
    NumberFormat,
    OutArgument,
    OverwriteOption,
    QualityOption,
    QuietOption,
    RecursiveOption,
    VerboseOption,
)
from ldrestore.cli.track_options import given_to
from ldrestore.errors import InputError, UnknownNameError
from ldrestore.jobs.contact_sheet import check_sheet_place, sheet_path, write_contact_sheet
from ldrestore.jobs.plan import Plan
from ldrestore.serving.remote_files import is_elsewhere, is_url
from ldrestore.tracks import list_engines

if TYPE_CHECKING:
    from ldrestore.cli.rendering import Run
    from ldrestore.jobs.request import RestoreRequest
    from ldrestore.jobs.restoring import RestoreWorker

RESTORE_EXAMPLES = """\b
Examples:
  ldrestore restore photo.jpg better.jpg
  ldrestore restore holiday/ restored/ --recursive
  ldrestore restore *.png restored/
  ldrestore restore scan.tif clean.tif --fidelity 0.3
  ldrestore restore small.png big.png --scale 2
  ldrestore restore huge.png out.png --memory 2
  ldrestore restore photo.jpg better.jpg --protect face_mask.png
  ldrestore restore photo.jpg better.jpg --model instructir --instruction "remove the rain"
  ldrestore restore photo.jpg better.jpg --model ldrestore-tiny-stable --steps 20 --seed 1
  ldrestore restore photo.jpg better.jpg --model ldrestore-tiny-xl --instruction "remove the rain"
  ldrestore restore photo.jpg better.jpg --model ldrestore-tiny-stable --degradation "rain=0.7,gaussian_noise=0.3"
  ldrestore restore scans/ clean/ --keep-grain 0.7 --changes --report
  ldrestore restore raw/ out/ --format png --json > report.json
  ldrestore restore photos/ restored/ --recursive --engine accelerate
  ldrestore restore s3://bucket/photos.parquet s3://bucket/restored --engine ray
"""
"""Shown below the help; the first character keeps the lines as they are."""

ACCELERATE, RAY = "accelerate", "ray"
"""The engines that are a pool of workers: on the devices of this machine, and on many machines."""

EngineOption = Annotated[
    str,
    typer.Option(
        metavar="ENGINE",
        autocompletion=complete_engines,
        help=f"What computes, one of {', '.join((*list_engines(), ACCELERATE, RAY))}: `local` computes with torch, "
        "`onnx` with onnxruntime on the CPU, exporting a model at its first use; `accelerate` hands the pictures to "
        "workers on all devices of this machine, `ray` to workers on the machines of a Ray cluster.",
    ),
]

WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="With `--engine accelerate` or `ray`: so many workers; without it one a GPU, or a processor.",
    ),
]

ThreadsOption = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="With `--engine accelerate` or `ray`: threads of each worker, which pixels hang on.",
    ),
]

RecordOption = Annotated[
    bool,
    typer.Option(
        "--record/--no-record", help="Write how each result was made to a file OUT.json beside it; no time stamps."
    ),
]


ChangesOption = Annotated[
    bool,
    typer.Option(
        "--changes",
        help="Write a map of what was changed, with its scale, to a file OUT.changes.png beside each result.",
    ),
]

ReportOption = Annotated[
    bool,
    typer.Option(
        "--report",
        help="Write a page of the run, before and after: report.html in a folder OUT, OUT.report.html beside a file.",
    ),
]


@dataclass(kw_only=True)
class RestoreCall:
    """Restore pictures, or all pictures of folders.

    IN and OUT are two files, files and a folder, or folders. Of a folder, names and formats are mirrored (HEIF
    becomes PNG), what already lies in OUT is skipped, other files are ignored, and a broken picture is named with its
    reason while the others are done. Orientation, colour profile, metadata, transparency and 16 bits are kept. Several
    calls may share one OUT: each picture is done by one of them.
    """

    sources: InsArgument
    target: OutArgument
    model: ModelOption = "default"
    base: BaseOption = None
    device: DeviceOption = "auto"
    dtype: DtypeOption = NumberFormat.FLOAT32
    engine: EngineOption = "local"
    workers: WorkersOption = None
    threads: ThreadsOption = 1
    picture_format: FormatOption = None
    quality: QualityOption = 95
    max_pixels: MaxPixelsOption = None
    record: RecordOption = True
    changes: ChangesOption = False
    report: ReportOption = False
    recursive: RecursiveOption = False
    overwrite: OverwriteOption = False
    dry_run: DryRunOption = False
    as_json: JsonOption = False
    verbose: VerboseOption = False
    quiet: QuietOption = False

    def run(self) -> None:
        """Do what was asked.

        Raises:
            Exit: with the exit code.
            LDRestoreError: nothing could be begun.
        """
        self._check_pool()
        given = given_to(self)
        plan = self._plan(scale=given.get("scale", 1))
        sheet = self._sheet() if self.report and not self.dry_run else None
        if self.dry_run or not plan.jobs:
            report = show_plan(plan, command="restore")
        else:
            request = self._request(given)
            run = self._pool_of_workers(request)
            report = show_run(
                plan,
                None if run is not None else self._worker(plan, request, is_quiet=self.quiet),
                command="restore",
                label="restoring",
                is_quiet=self.quiet,
                is_verbose=self.verbose,
                run=run,
            )
        if sheet is not None:
            write_contact_sheet(report, sheet)
            if not self.quiet:
                say(f"report: {sheet}")
        raise typer.Exit(show_report(report, as_json=self.as_json, is_quiet=self.quiet, is_verbose=self.verbose))

    def _plan(self, *, scale: int) -> Plan:
        """Which picture goes where.

        Args:
            scale: How many times each side is enlarged.

        Raises:
            InputError: a URL or a manifest, and no engine that reads them; or a URL that workers cannot reach.
            LDRestoreError: as `plan_call` and `plan_elsewhere`.
        """
        if not is_elsewhere(self.sources, self.target):
            plan = plan_call(
                self.sources,
                self.target,
                picture_format=self.picture_format,
                is_recursive=self.recursive,
                may_overwrite=self.overwrite,
                max_pixels=self.max_pixels,
                scale=scale,
            )
            return self._with_maps(plan) if self.changes else plan
        if self.engine not in (ACCELERATE, RAY):
            raise InputError(
                f"URLs and Parquet manifests are read with --engine {ACCELERATE} or {RAY}; name one of them"
            )
        if self.report and is_url(self.target):
            raise InputError("the page of --report goes into a folder of this machine; leave it out, or use --json")
        if any(place.startswith("memory://") for place in (*self.sources, self.target)):
            raise InputError("memory:// lies within one process, and workers are others; name a folder or a bucket")
        from ldrestore.serving.remote_plan import plan_elsewhere

        return plan_elsewhere(
            self.sources,
            self.target,
            picture_format=self.picture_format,
            is_recursive=self.recursive,
            may_overwrite=self.overwrite,
        )

    def _with_maps(self, plan: Plan) -> Plan:
        """The plan, where each picture gets a map of what was changed beside it."""
        from ldrestore.jobs.restoring import plan_maps

        return plan_maps(plan, may_overwrite=self.overwrite)

    def _sheet(self) -> Path:
        """Where the report goes.

        Raises:
            OutputExistsError: something else lies there.
        """
        is_file = len(self.sources) == 1 and not os.path.isdir(self.sources[0])
        is_named = is_file and not self.target.endswith(("/", os.sep)) and not os.path.isdir(self.target)
        path = sheet_path(self.target, is_file=is_named)
        if not self.overwrite:
            check_sheet_place(path)
        return path

    def _request(self, given: dict[str, object]) -> "RestoreRequest":
        """What is asked of all pictures."""
        from ldrestore.jobs.request import RestoreRequest, options_for

        return RestoreRequest(
            model=self.model,
            base=self.base,
            device=self.device,
            dtype=self.dtype.value,
            engine=self.engine,
            options=options_for(self.model, given, base=self.base),
            quality=self.quality,
            max_pixels=self.max_pixels,
            has_record=self.record,
            has_changes=self.changes,
            has_thumbnails=self.report,
            may_overwrite=self.overwrite,
        )

    @staticmethod
    def _worker(plan: Plan, request: "RestoreRequest", *, is_quiet: bool) -> "RestoreWorker":
        """The loaded model, its own bar over steps or tiles shown for a single picture."""
        from ldrestore.jobs.restoring import RestoreWorker

        return RestoreWorker(request, shows_progress=len(plan.jobs) == 1 and not is_quiet)

    def _check_pool(self) -> None:
        """Refuse an engine that there is not, and what only a pool of workers heeds.

        Raises:
            UnknownNameError: no such engine.
            InputError: a number of workers or of threads, and no pool.
        """
        if self.engine not in (known := (*list_engines(), ACCELERATE, RAY)):
            raise UnknownNameError("engine", self.engine, known)
        if self.engine not in (ACCELERATE, RAY) and (self.workers is not None or self.threads != 1):
            raise InputError(
                f"--workers and --threads are for --engine {ACCELERATE} and {RAY}; leave them out, or name one of "
                "these (the threads of this process are those of the variable OMP_NUM_THREADS)"
            )

    def _pool_of_workers(self, request: "RestoreRequest") -> "Run | None":
        """How the pictures are done by a pool of workers; None where this process does them."""
        from ldrestore.serving.worker_pool import WorkerPool

        pool = WorkerPool(workers=self.workers, threads=self.threads)
        if self.engine == ACCELERATE:
            from ldrestore.serving.accelerate_batch import run_on_devices

            return lambda jobs: run_on_devices(jobs, request, pool)
        if self.engine == RAY:
            from ldrestore.serving.ray_batch import check_ray, run_on_ray

            check_ray()
            return lambda jobs: run_on_ray(jobs, request, pool)
        return None
