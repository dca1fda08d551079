"""`ldrestore explain`: what a model does with a picture, or uses over a folder, and how instructions lie."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ldrestore.cli.completion import complete_models
from ldrestore.cli.console import print_json, say
from ldrestore.cli.rendering import show_run
from ldrestore.cli.shared_options import (
    BaseOption,
    ClipOption,
    DeviceOption,
    JsonOption,
    MaxPixelsOption,
    QuietOption,
    RecursiveOption,
)
from ldrestore.cli.track_options import given_to
from ldrestore.errors import InputError, ShapeError, printable
from ldrestore.jobs.outcome import Job, Outcome, Result, Status
from ldrestore.jobs.plan import Plan, plan_pictures
from ldrestore.tracks import TRACKS, options_of_all

if TYPE_CHECKING:
    from ldrestore.explanations.explainer import Explainer, Finding
    from ldrestore.images.photo import Photo

    Read = Callable[[Path], Photo]

EXPLAIN_EXAMPLES = """\b
Examples:
  ldrestore explain photo.jpg --out why/
  ldrestore explain rainy.png --gt clean.png --model moce_ir --out why/
  ldrestore explain dim.png --degradation haze=0,low_light --out why/
  ldrestore explain photos/ --recursive --model moce_ir --out routing/
  ldrestore explain rainy.png --model ldrestore-tiny-stable --steps 20 --seed 1 --out sampling/
  ldrestore explain rainy.png --model ldrestore-tiny-xl --instruction "remove the rain" --out experts/
  ldrestore explain --instructions --out sentences/
"""
"""Shown below the help; the first character keeps the lines as they are."""

DEFAULT_MODEL = "default"


def explained_options() -> dict[str, tuple[str, ...]]:
    """Name of each track to those of its options that an explanation takes."""
    return {track.name: track.explained_options for track in TRACKS}


@dataclass(kw_only=True)
class ExplainCall:
    """Show what a model does with a picture, in figures and numbers.

    Of a picture: the degradations that the model sees, which prompts or experts it uses and how strongly, where each
    expert works, and what is changed. Of a folder: what is used over all pictures, for models that route the share of
    the pictures that each expert gets. Of models that sample also the way through the sampling, and t-SNE of their
    prompts. DIR receives figures, explanation.md, which shows them, and explanation.json.
    """

    source: Annotated[
        str | None, typer.Argument(metavar="[IN]", help="A picture, or a folder of pictures.", show_default=False)
    ] = None
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A name that `ldrestore models` lists, or the folder of a model; without it the default, and with "
            "--instructions the packaged encoder and head.",
            autocompletion=complete_models,
        ),
    ] = None
    base: BaseOption = None
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for the explanation; without it explained-NAME where you are."),
    ] = None
    gt: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What the picture should look like, of its size: for maps of the errors."),
    ] = None
    instructions: Annotated[
        bool,
        typer.Option("--instructions", help="Explain no picture, but how instructions lie before and after the head."),
    ] = False
    device: DeviceOption = "auto"
    max_pixels: MaxPixelsOption = None
    clip: ClipOption = False
    recursive: RecursiveOption = False
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier explanation in DIR.")] = False
    as_json: JsonOption = False
    quiet: QuietOption = False

    def run(self) -> None:
        """Do what was asked.

        Raises:
            Exit: with the exit code.
            LDRestoreError: nothing could be explained.
        """
        from ldrestore.images.files import read_photo

        given = given_to(self, explained_options())
        has_options = bool(given) or self.base is not None
        _check_call(self.source, gt=self.gt, is_about_instructions=self.instructions, has_options=has_options)
        subject = "instructions" if self.source is None else Path(self.source).resolve().stem
        folder = self.out or Path(f"explained-{subject}")
        _check_place(folder, may_overwrite=self.overwrite, is_about_instructions=self.instructions)
        failed: tuple[Outcome, ...] = ()
        if self.source is None:
            finding = _explain_instructions(self.model, device=self.device)
        else:
            plan = plan_pictures(self.source, str(folder), is_recursive=self.recursive)
            read = partial(read_photo, max_pixels=self.max_pixels, clip=self.clip)
            if not Path(self.source).is_dir():
                _check_sizes(Path(self.source), gt=self.gt, max_pixels=self.max_pixels)
            explainer = _load_explainer(self.model or DEFAULT_MODEL, given, base=self.base, device=self.device)
            if Path(self.source).is_dir():
                failed = _look_at_all(plan, explainer, read=read, is_quiet=self.quiet)
                finding = explainer.report()
            else:
                finding = _explain_picture(plan.jobs[0], explainer, read=read, gt=self.gt)
        _write(finding, folder, failed, may_overwrite=self.overwrite, as_json=self.as_json, is_quiet=self.quiet)
        raise typer.Exit(1 if failed else 0)


def _check_call(source: str | None, *, gt: Path | None, is_about_instructions: bool, has_options: bool) -> None:
    """Refuse words that do not go together.

    Raises:
        InputError: a picture and --instructions, or neither; options of a picture without one; no file at --gt.
    """
    if is_about_instructions == (source is not None):
        raise InputError("give a picture or a folder to explain, or --instructions without one")
    if is_about_instructions and (gt is not None or has_options):
        flags = [option.flag.name for option in options_of_all(explained_options()).values() if option.flag]
        raise InputError(f"--gt, --base, {', '.join(flags)} are about pictures; leave them out with --instructions")
    if gt is not None and source is not None and Path(source).is_dir():
        raise InputError("--gt goes with one picture, and IN is a folder; name the picture")
    if gt is not None and not gt.is_file():
        raise InputError(f"no picture at {gt}; --gt takes what the picture should look like")


def _check_place(folder: Path, *, may_overwrite: bool, is_about_instructions: bool) -> None:
    """Refuse, before a model is loaded, what would fail after it.

    Raises:
        InputError: DIR is a file.
        OutputExistsError: an explanation lies there.
        MissingExtraError: a package that draws is not installed.
    """
    from ldrestore.explanations.drawing import check_drawing
    from ldrestore.explanations.point_map import check_mapping
    from ldrestore.explanations.saved_explanation import check_folder

    check_folder(folder, overwrite=may_overwrite)
    check_drawing()
    if is_about_instructions:
        check_mapping()


def _check_sizes(source: Path, *, gt: Path | None, max_pixels: int | None) -> None:
    """Refuse by the headers, before a model is loaded, a picture that is too large or not of its ground truth's size.

    Raises:
        ImageFileError: a picture is none, damaged or too large.
        ShapeError: the sizes differ.
    """
    from ldrestore.images.files import DEFAULT_MAX_PIXELS
    from ldrestore.images.headers import read_size
    from ldrestore.images.photo_making import size_check

    size = read_size(source)
    size_check(source, max_pixels=DEFAULT_MAX_PIXELS if max_pixels is None else max_pixels)(*size)
    if gt is not None and (gt_size := read_size(gt)) != size:
        raise ShapeError(
            f"the ground truth must have the picture's size, {size[0]} x {size[1]} pixels, got "
            f"{gt_size[0]} x {gt_size[1]}"
        )


def _load(model: str, *, base: str | None, device: str) -> Any:
    """The pipeline of a model, without progress bars."""
    from ldrestore.restorers import load_restorer

    pipeline = load_restorer(model, base=base, device=device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _load_explainer(model: str, given: Mapping[str, Any], *, base: str | None, device: str) -> "Explainer":
    """What explains a model, which is loaded for it.

    Raises:
        InputError: its track explains nothing, or an option that it does not take.
        WeightsError: the model is missing or damaged.
    """
    from ldrestore.jobs.request import options_for
    from ldrestore.registry import resolve
    from ldrestore.tracks import checked_options, track_of

    options = options_for(model, given, base=base)
    pipeline = _load(model, base=base, device=device)
    track = track_of(pipeline)
    if track.explainer is None:
        raise InputError(f"models of the {track.name} track cannot be explained; name another --model")
    explainer: Explainer = resolve(track.explainer)(pipeline, checked_options(pipeline, options))
    return explainer


def _explain_picture(job: Job, explainer: "Explainer", *, read: "Read", gt: Path | None) -> "Finding":
    """One picture: restored, and looked at on the way.

    Raises:
        InputError: a ground truth of another size.
        ImageFileError: a picture cannot be read.
    """
    truth = None if gt is None else read(gt)
    return explainer.explain(read(job.source), gt=truth, name=job.name)


def _look_at_all(plan: Plan, explainer: "Explainer", *, read: "Read", is_quiet: bool) -> tuple[Outcome, ...]:
    """Look at all pictures of a folder; what failed has been named with its reason.

    Raises:
        InputError: there are no pictures, or the model has nothing to tell of many.
        Exit: no picture could be looked at.
    """
    if not plan.jobs and not plan.settled:
        hint = "; look into its sub-folders with --recursive" if plan.ignored_folders else ""
        raise InputError(f"no pictures found in IN{hint}")
    explainer.check_folder()

    def look_at(job: Job) -> Result:
        explainer.look_at(read(job.source), name=job.name)
        return Result()

    report = show_run(plan, look_at, command="explain", label="explaining", is_quiet=is_quiet)
    if not report.count(Status.DONE):
        say("nothing is written: no picture could be looked at")
        raise typer.Exit(1)
    return tuple(outcome for outcome in report.outcomes if outcome.status is Status.FAILED)


def _explain_instructions(model: str | None, *, device: str) -> "Finding":
    """The held-out instructions, before and after a head.

    Raises:
        InputError: the model takes no instructions, or there is no such device.
        WeightsError: the encoder cannot be had, or is another one.
        MissingExtraError: it comes with a package that is not installed.
    """
    from ldrestore.assets.sentences import HELD_OUT_FILE, read_sentences
    from ldrestore.explanations.sentence_map import map_sentences
    from ldrestore.explanations.sentence_page import finding_of_sentences
    from ldrestore.regressors.instruction_encoder import load_packaged_instructions
    from ldrestore.restorers import device_of

    if model is None:
        packaged = load_packaged_instructions()
        encoder, head = packaged.encoder, packaged.head.to(device_of(device))
    else:
        encoder, head = _instruction_reader(model, device=device)
    return finding_of_sentences(map_sentences(encoder, head, read_sentences(HELD_OUT_FILE)))


def _instruction_reader(model: str, *, device: str) -> Any:
    """Sentence encoder and head of a model.

    Raises:
        InputError: the model, or all of its track, takes no instructions.
        WeightsError: the encoder cannot be had, or is another one.
    """
    from ldrestore.registry import resolve
    from ldrestore.restorers import find_track

    track = find_track(model)
    if track.instruction_reader is None:
        raise InputError(f"models of the {track.name} track take no instructions; name another --model")
    return resolve(track.instruction_reader)(_load(model, base=None, device=device))


def _write(
    finding: "Finding",
    folder: Path,
    failures: tuple[Outcome, ...],
    *,
    may_overwrite: bool,
    as_json: bool,
    is_quiet: bool,
) -> None:
    """Write the explanation and tell where it lies.

    Raises:
        ImageFileError: it cannot be written.
    """
    from ldrestore.explanations.saved_explanation import PAGE, write_explanation

    files = write_explanation(
        folder, document=finding.document, page=finding.page, figures=finding.figures, overwrite=may_overwrite
    )
    if as_json:
        failed = [{"input": str(outcome.job.source), "reason": outcome.reason} for outcome in failures]
        written = {"folder": str(folder), "files": files, "failed": failed}
        print_json({"command": "explain", **written, "explanation": finding.document})
    elif not is_quiet:
        say(f"wrote {', '.join(files)}")
        print(printable(folder / PAGE))
