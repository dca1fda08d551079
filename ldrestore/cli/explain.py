"""`ldrestore explain`: what a model does with a picture, or uses over a folder, and how instructions lie."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ldrestore.cli.console import print_json, say
from ldrestore.cli.explain_stable import STABLE_PIPELINE, explain_stably
from ldrestore.cli.findings import Finding, look_at_all
from ldrestore.cli.jobs import Job, Plan, plan_pictures
from ldrestore.cli.options import BaseOption, JsonOption, QuietOption, RecursiveOption
from ldrestore.cli.restore import DeviceOption, EmbeddingsOption, InstructionOption, embedding_of
from ldrestore.cli.sampling_options import (
    FLAGS,
    DegradationOption,
    SamplingOptions,
    SeedOption,
    StepsOption,
    check_sampling,
    check_taken,
)
from ldrestore.errors import InputError

if TYPE_CHECKING:
    from ldrestore.explanations.explanation import Usage
    from ldrestore.images.photo import Photo

EXPLAIN_EXAMPLES = """\b
Examples:
  ldrestore explain photo.jpg --out why/
  ldrestore explain rainy.png --gt clean.png --model moce_ir --out why/
  ldrestore explain photos/ --recursive --model moce_ir --out routing/
  ldrestore explain rainy.png --model ldrestore-tiny-stable --steps 20 --seed 1 --out sampling/
  ldrestore explain --instructions --out sentences/
"""
"""Shown below the help; the first character keeps the lines as they are."""

DEFAULT_MODEL = "default"


def explain_command(  # each parameter is an option
    source: Annotated[
        str | None, typer.Argument(metavar="[IN]", help="A picture, or a folder of pictures.", show_default=False)
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="A name that `ldrestore models` lists, or the folder of a model; without it the default, and with "
            "--instructions the packaged encoder and head.",
        ),
    ] = None,
    base: BaseOption = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for the explanation; without it explained-NAME where you are."),
    ] = None,
    gt: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What the picture should look like, of its size: for maps of the errors."),
    ] = None,
    instruction: InstructionOption = None,
    embeddings: EmbeddingsOption = None,
    degradation: DegradationOption = None,
    steps: StepsOption = None,
    seed: SeedOption = None,
    instructions: Annotated[
        bool,
        typer.Option("--instructions", help="Explain no picture, but how instructions lie before and after the head."),
    ] = False,
    device: DeviceOption = "auto",
    recursive: RecursiveOption = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier explanation in DIR.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Show what a model does with a picture, in figures and numbers.

    Of a picture: the degradations that the model sees, which prompts or experts it uses and how strongly, where each
    expert works, and what is changed. Of a folder: what is used over all pictures, for models that route the share of
    the pictures that each expert gets. Of models of the stable track also the way through the sampling, and t-SNE of
    their prompts. DIR receives figures, explanation.md, which shows them, and explanation.json.
    """
    sampling = SamplingOptions(degradation=degradation, steps=steps, seed=seed).given()
    steering = {"instruction": instruction, "embedding": embeddings}
    given = [*sampling, *(name for name, value in steering.items() if value is not None)]
    _check_call(source, gt=gt, is_about_instructions=instructions, has_options=bool(given) or base is not None)
    folder = out or Path(f"explained-{'instructions' if source is None else Path(source).resolve().stem}")
    _check_place(folder, may_overwrite=overwrite, is_about_instructions=instructions)
    if source is None:
        finding = _explain_instructions(model, device=device)
    else:
        plan = plan_pictures(source, str(folder), is_recursive=recursive)
        pipeline = _load(model or DEFAULT_MODEL, base=base, device=device)
        is_folder = Path(source).is_dir()
        check_taken(pipeline, given)
        _check_folder(sampling, is_folder=is_folder)
        if type(pipeline).__name__ == STABLE_PIPELINE:
            check_sampling(pipeline, sampling)
            finding = explain_stably(pipeline, plan, gt=gt, options=sampling, is_folder=is_folder, is_quiet=quiet)
        else:
            embed = None if embeddings is None else embedding_of(pipeline, embeddings)
            steered: dict[str, Any] = {"instruction": instruction, "embed": embed}
            finding = _explain_fast(pipeline, plan, steered, gt=gt, is_folder=is_folder, is_quiet=quiet)
    _write(finding, folder, may_overwrite=overwrite, as_json=as_json, is_quiet=quiet)
    raise typer.Exit(1 if finding.failed else 0)


def _check_call(source: str | None, *, gt: Path | None, is_about_instructions: bool, has_options: bool) -> None:
    """Refuse words that do not go together.

    Raises:
        InputError: a picture and --instructions, or neither; options of a picture without one; no file at --gt.
    """
    if is_about_instructions == (source is not None):
        raise InputError("give a picture or a folder to explain, or --instructions without one")
    if is_about_instructions and (gt is not None or has_options):
        raise InputError(
            "--gt, --base, --instruction, --embeddings, --degradation, --steps and --seed are about pictures; leave "
            "them out with --instructions"
        )
    if gt is not None and source is not None and Path(source).is_dir():
        raise InputError("--gt goes with one picture, and IN is a folder; name the picture")
    if gt is not None and not gt.is_file():
        raise InputError(f"no picture at {gt}; --gt takes what the picture should look like")


def _check_folder(sampling: dict[str, Any], *, is_folder: bool) -> None:
    """Refuse options of the sampling where nothing is sampled.

    Raises:
        InputError: one was given for a folder.
    """
    if sampling and is_folder:
        named = ", ".join(FLAGS[name] for name in sampling)
        raise InputError(f"{named}: of a folder nothing is restored; name one picture, or leave it out")


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


def _load(model: str, *, base: str | None, device: str) -> Any:
    """The pipeline of a model, without progress bars."""
    from diffusers.utils import logging

    from ldrestore.restorers import load_restorer

    logging.disable_progress_bar()
    pipeline = load_restorer(model, base=base, device=device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _explain_fast(
    pipeline: Any, plan: Plan, steering: dict[str, Any], *, gt: Path | None, is_folder: bool, is_quiet: bool
) -> Finding:
    """One picture, or all of a folder, with a model of the fast track.

    Raises:
        InputError: as for either.
        ImageFileError: the one picture cannot be read.
    """
    if is_folder:
        return _explain_folder(pipeline, plan, is_quiet=is_quiet, **steering)
    return _explain_picture(pipeline, plan.jobs[0], gt=gt, **steering)


def _explain_picture(
    pipeline: Any, job: Job, *, gt: Path | None, instruction: str | None, embed: "Callable[[Photo], Any] | None"
) -> Finding:
    """One picture: restored, and looked at on the way.

    Raises:
        InputError: an instruction that the model does not take, or a ground truth of another size.
        ImageFileError: a picture cannot be read.
    """
    from ldrestore.explanations.explanation import explain
    from ldrestore.explanations.figures import figures_of_explanation
    from ldrestore.explanations.pages import document_of_explanation, page_of_explanation
    from ldrestore.images.files import read_photo

    photo = read_photo(job.source)
    found = explain(pipeline, photo, gt=gt, instruction=instruction, embedding=embed and embed(photo))
    return Finding(
        document=document_of_explanation(found, name=job.name),
        page=page_of_explanation(found, name=job.name),
        figures=figures_of_explanation(found),
    )


def _explain_folder(
    pipeline: Any,
    plan: Plan,
    *,
    instruction: str | None,
    embed: "Callable[[Photo], Any] | None",
    is_quiet: bool,
) -> Finding:
    """All pictures of a folder: what is used, and nothing is restored.

    Raises:
        InputError: the model has neither prompts nor experts, takes no instructions, or there are no pictures.
        Exit: no picture could be looked at; each has been named with its reason.
    """
    from ldrestore.explanations.explanation import check_usage, describe_model, seen_part, usage_of
    from ldrestore.explanations.figures import figures_of_report
    from ldrestore.explanations.pages import document_of_report, page_of_report
    from ldrestore.explanations.usage_report import report_usage
    from ldrestore.images.files import read_photo

    check_usage(pipeline.regressor)
    understood = None if instruction is None else pipeline.understand(instruction)
    usages: dict[str, Usage] = {}
    cut: list[str] = []

    def look_at(job: Job) -> None:
        photo = read_photo(job.source)
        usages[job.name] = usage_of(pipeline, photo, instruction=understood, embedding=embed and embed(photo))
        if not seen_part(photo).is_whole:
            cut.append(job.name)

    failed = look_at_all(plan, look_at, is_quiet=is_quiet)
    report = report_usage(describe_model(pipeline.regressor), usages, num_cut=len(cut))
    return Finding(
        document=document_of_report(report),
        page=page_of_report(report),
        figures=figures_of_report(report),
        failed=failed,
    )


def _explain_instructions(model: str | None, *, device: str) -> Finding:
    """The held-out instructions, before and after a head.

    Raises:
        InputError: the model takes no instructions, or there is no such device.
        WeightsError: the encoder cannot be had, or is another one.
        MissingExtraError: it comes with a package that is not installed.
    """
    from ldrestore.assets.sentences import HELD_OUT_FILE, read_sentences
    from ldrestore.explanations.figures import figures_of_sentences
    from ldrestore.explanations.pages import document_of_sentences, page_of_sentences
    from ldrestore.explanations.sentence_map import map_sentences
    from ldrestore.pipelines.steering import why_no_instruction
    from ldrestore.regressors.instruction_encoder import load_encoder_of, load_packaged_instructions
    from ldrestore.restorers import device_of

    if model is None:
        packaged = load_packaged_instructions()
        encoder, head = packaged.encoder, packaged.head.to(device_of(device))
    else:
        pipeline = _load(model, base=None, device=device)
        head = pipeline.instruction_head
        if head is None:
            raise InputError(why_no_instruction(pipeline.regressor))
        encoder = load_encoder_of(head)
    found = map_sentences(encoder, head, read_sentences(HELD_OUT_FILE))
    return Finding(
        document=document_of_sentences(found), page=page_of_sentences(found), figures=figures_of_sentences(found)
    )


def _write(finding: Finding, folder: Path, *, may_overwrite: bool, as_json: bool, is_quiet: bool) -> None:
    """Write the explanation and tell where it lies.

    Raises:
        ImageFileError: it cannot be written.
    """
    from ldrestore.explanations.saved_explanation import PAGE, write_explanation

    files = write_explanation(
        folder, document=finding.document, page=finding.page, figures=finding.figures, overwrite=may_overwrite
    )
    if as_json:
        failed = [{"input": str(outcome.job.source), "reason": outcome.reason} for outcome in finding.failed]
        written = {"folder": str(folder), "files": files, "failed": failed}
        print_json({"command": "explain", **written, "explanation": finding.document})
    elif not is_quiet:
        say(f"wrote {', '.join(files)}")
        print(folder / PAGE)
