"""All studies by name; listing them imports none."""

from dataclasses import dataclass

from ldrestore.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """One study."""

    name: str
    """As `ldrestore bench --study` takes it."""
    summary: str
    """What it asks, in one line."""
    takes: str
    """What --model and --with give it."""
    target: str
    """Its `Study` as "module:attribute"."""


STUDIES: Registry[StudyRecord] = Registry("study")

_HERE = "ldrestore.evaluation.studies"

for _record in (
    StudyRecord(
        name="stable-parts",
        summary="What sampling, refinement, autoencoder, solver and predictor of a Stable model are worth.",
        takes="one --model of the Stable track, --data-root; --with crop, severity, steps, solver_steps, severities",
        target=f"{_HERE}.stable_parts:STABLE_PARTS",
    ),
    StudyRecord(
        name="ablations",
        summary="The rows of MPerceiver's Table 9, as far as their models are named.",
        takes="--model ROW for folders that `ldrestore assemble` made; --data-root; --with crop, steps, strength",
        target=f"{_HERE}.ablations:ABLATIONS",
    ),
    StudyRecord(
        name="xl-parts",
        summary="What sampling, experts, their choice and the task prompt of an XL model are worth, on five tasks.",
        takes="one --model of the XL track, --data-root; --with suite, steps, counted, counted_steps",
        target=f"{_HERE}.xl_parts:XL_PARTS",
    ),
    StudyRecord(
        name="xl-ablations",
        summary="The rows of UniLDiff's Tables 4 and 5 over several seeds, as far as their models are named.",
        takes="--model ROW-SEED for folders of scripts/run_xl_ablations.py; --data-root; --with crop, steps, metrics",
        target=f"{_HERE}.xl_ablations:XL_ABLATIONS",
    ),
    StudyRecord(
        name="adaptation",
        summary="What few-shot adaptation gains and costs, and what models do under water, which they never saw.",
        takes="--model for each, before and after; --data-root; --with crop, steps",
        target=f"{_HERE}.adaptation:ADAPTATION",
    ),
    StudyRecord(
        name="stable-cost",
        summary="Time and memory of a Stable model beside its bare base; without --model, of full widths.",
        takes="at most one --model, --device; --with side, dtype, timed_steps, repeats",
        target=f"{_HERE}.sampled_cost:STABLE_COST",
    ),
    StudyRecord(
        name="xl-cost",
        summary="Time and memory of an XL model beside its bare base; without --model, of full widths.",
        takes="at most one --model, --device; --with side, dtype, timed_steps, repeats",
        target=f"{_HERE}.sampled_cost:XL_COST",
    ),
    StudyRecord(
        name="damage",
        summary="Real damaged pictures against what training shows: figures of both, and how many lie inside.",
        takes="--with clean=FOLDER and sets=[[NAME, RECIPE, PLACE], ..]; count",
        target=f"{_HERE}.damage:DAMAGE",
    ),
):
    STUDIES.register(_record)
