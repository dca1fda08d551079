"""A benchmark from end to end: restore, score, report; each step goes on where it stopped."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ldrestore import __version__
from ldrestore.config import as_plain
from ldrestore.errors import InputError
from ldrestore.evaluation.benchmark_files import own_pairs
from ldrestore.evaluation.cases import SuiteCases, cases_of_suite
from ldrestore.evaluation.contestants import (
    INPUT,
    Contestant,
    check_results_are_of_one_input,
    contestant_identity,
    forget_contestants,
    licence_of,
    model_contestant,
    takes_part,
)
from ldrestore.evaluation.cost import measure_costs
from ldrestore.evaluation.leaks import find_leaks
from ldrestore.evaluation.picture_memory import PictureMemory
from ldrestore.evaluation.reliability import reliability_diagram, reliability_of
from ldrestore.evaluation.report_page import write_page
from ldrestore.evaluation.restore_step import RestoreStep, collect_rows, restore_all
from ldrestore.evaluation.results import (
    RESULTS_FILE,
    ContestantRow,
    CostRow,
    DatasetRow,
    OutputRow,
    Results,
    read_results,
    write_results,
)
from ldrestore.evaluation.score_step import ScoreStep, score_all
from ldrestore.evaluation.shards import Shard, current_shard
from ldrestore.evaluation.stored_files import folder_name, write_text
from ldrestore.evaluation.suites import SuiteConfig, load_suite
from ldrestore.evaluation.summaries import summarised
from ldrestore.evaluation.tables import csv_report, markdown_report
from ldrestore.metrics.protocols import Protocol, find_protocol
from ldrestore.metrics.scoring import find_metrics
from ldrestore.restorers import device_of

TABLE_FILE, CSV_FILE = "table.md", "results.csv"
"""Beside `results.json`."""

RELIABILITY_FOLDER = "reliability"
"""There too; a diagram for each model that says what it sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchOptions:
    """How a benchmark is run; what is compared, and on what, is given apart."""

    data_root: Path | None = None
    """The folder that sets lie in."""
    train_root: Path | None = None
    """Pictures that models were trained on: those of the suite that lie there are named."""
    metrics: tuple[str, ...] | None = None
    """In place of the suite's."""
    protocol: str | None = None
    """In place of the suite's."""
    weights: Mapping[str, Path] = field(default_factory=dict)
    """Metric to a file of its weights."""
    device: str = "auto"
    """Where models and metrics compute."""
    limit: int | None = None
    """The most pictures of each dataset."""
    has_input: bool = True
    """Whether the untouched input is a contestant."""
    has_costs: bool = False
    """Whether time and memory are measured."""
    is_fresh: bool = False
    """Whether results and scores are made again that are there."""


def evaluate(
    suite: str | Path | SuiteConfig,
    models: Sequence[str | Contestant],
    out_dir: str | Path,
    *,
    data_root: str | Path | None = None,
    pairs: tuple[str | Path, str | Path] | None = None,
    options: BenchOptions | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> Results:
    """Compare models on a suite, and write results.json, results.csv, table.md and report.html.

    Args:
        suite: Name, YAML file, or what such a file holds.
        models: As `--model` takes them, or contestants of any kind, see `ldrestore.evaluation.contestants`.
        out_dir: Where results, scores and tables go; what lies there of an earlier run is used.
        data_root: The folder that sets lie in; suites of the library's own pictures need none.
        pairs: Folders of degraded and clean pictures of one's own, as one more dataset.
        options: Everything else.
        say: Is told of failures, notes and licences as they come.

    Returns:
        What `results.json` holds. In a run of several processes only the first one's is whole.

    Raises:
        InputError: a name is unknown, two contestants have one name, one finished result serves two pictures, or
            nothing is to be compared.
        MissingSetError: sets of the suite are not there.
    """
    forget_contestants()
    options = options or BenchOptions()
    options = replace(options, device=_device(options.device))
    if data_root is not None:
        options = replace(options, data_root=Path(data_root))
    config = _with_protocol(suite if isinstance(suite, SuiteConfig) else load_suite(suite), options)
    find_metrics(config.scored_metrics, weights=options.weights)
    contestants = _contestants(models, options)
    own = None if pairs is None else own_pairs(Path(pairs[0]), Path(pairs[1]))
    cases = cases_of_suite(config, data_root=options.data_root, pairs=own, limit=options.limit)
    for contestant in contestants:
        if contestant.kind == "results":
            check_results_are_of_one_input(contestant, cases.cases)
    step = RestoreStep(
        suite=cases,
        contestants=contestants,
        out_dir=Path(out_dir),
        data_root=options.data_root,
        device=options.device,
        shard=current_shard(device=options.device),
        is_fresh=options.is_fresh,
        memory=PictureMemory(),
    )
    notes = _notes(cases, contestants, options)
    for note in notes:
        say(f"note: {note}")
    restore_all(step, say=say)
    step.shard.wait()
    results = _restored(step, notes)
    scoring = replace(_score_step(step.out_dir, config, options, step.shard), memory=step.memory)
    scored = score_all(scoring, results, say=say)
    if not step.shard.is_first:
        return scored
    scored = replace(scored, costs=costs_so_far(step.out_dir, scored))
    report = write_report(scored, step.out_dir, data_root=options.data_root)
    if not options.has_costs:
        return report
    costs = tuple(measure_costs(contestants, device=options.device, say=say))
    return write_report(replace(scored, costs=costs), step.out_dir, data_root=options.data_root)


def rescore(
    out_dir: str | Path,
    *,
    options: BenchOptions | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> Results:
    """Score the stored results of a benchmark again, without running a model; with other metrics or another protocol.

    Scores that are kept of the same pictures by the same metric are taken, unless a file was written since, or the
    options ask for fresh ones: then the pictures are read, and held against their hashes.

    Args:
        out_dir: The folder of a benchmark.
        options: Metrics, protocol, weights, device and data root; those of the run where they are not given.
        say: Is told of metrics that cannot be had.

    Raises:
        InputError: there are no results, or the protocol needs pictures of another size or depth than were stored.
    """
    options = options or BenchOptions()
    options = replace(options, device=_device(options.device))
    results = read_results(Path(out_dir))
    protocol = find_protocol(options.protocol or str(results.protocol["name"]))
    _check_stored_by(find_protocol(str(results.protocol["name"])), protocol)
    metrics = options.metrics or tuple(row.name for row in results.metrics)
    config = SuiteConfig(name=results.suite, summary="", protocol=protocol.name, metrics=metrics, datasets=())
    shard = current_shard(device=options.device)
    results = replace(results, outputs=tuple(_unscored(row) for row in results.outputs))
    scored = score_all(_score_step(Path(out_dir), config, options, shard), results, say=say)
    return write_report(scored, Path(out_dir), data_root=options.data_root) if shard.is_first else scored


def _check_stored_by(stored: Protocol, protocol: Protocol) -> None:
    """Refuse to score results by a protocol that would have stored others.

    Raises:
        InputError: it cuts pictures to another size, or does not round what is stored rounded.
    """
    if stored.multiple == protocol.multiple and (stored.rounding == protocol.rounding or protocol.rounding == "uint8"):
        return
    raise InputError(
        f"the results were made by the protocol {stored.name}, and {protocol.name} needs pictures of another size or "
        f"depth than were stored: run bench with --protocol {protocol.name} into another folder"
    )


def write_report(results: Results, out_dir: Path, *, data_root: Path | None = None) -> Results:
    """The third step: means and comparisons, and the files that show them.

    Args:
        results: With scores.
        out_dir: The folder of the benchmark.
        data_root: The folder that sets lie in; without it `report.html` does not show pictures that lie there.

    Returns:
        The results with means and comparisons.
    """
    results = summarised(results)
    write_results(results, out_dir / RESULTS_FILE)
    write_text(out_dir / TABLE_FILE, markdown_report(results))
    write_text(out_dir / CSV_FILE, csv_report(results))
    for contestant in results.contestants:
        bins = reliability_of(results, contestant.name)
        if bins:
            path = out_dir / RELIABILITY_FOLDER / f"{folder_name(contestant.name)}.svg"
            write_text(path, reliability_diagram(bins, title=f"What {contestant.name} sees"))
    write_page(results, out_dir, data_root=data_root)
    return results


def _device(name: str) -> str:
    """The device that is meant."""
    return str(device_of(name))


def _with_protocol(config: SuiteConfig, options: BenchOptions) -> SuiteConfig:
    """The suite under the options' protocol and metrics."""
    if options.protocol is not None:
        config = replace(config, protocol=options.protocol)
    return config if options.metrics is None else replace(config, metrics=options.metrics)


def _contestants(models: Sequence[str | Contestant], options: BenchOptions) -> list[Contestant]:
    """All contestants, the untouched input first.

    Raises:
        InputError: none, or two of one name.
    """
    found = [model if isinstance(model, Contestant) else model_contestant(model) for model in models]
    if options.has_input:
        found = [Contestant(name=INPUT, kind="input"), *found]
    names = [contestant.name for contestant in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"several contestants are called {', '.join(twice)}; name each model once")
    if not found:
        raise InputError("nothing is to be compared; give a --model, --results, --peer, or keep the input")
    return found


def _notes(cases: SuiteCases, contestants: Sequence[Contestant], options: BenchOptions) -> tuple[str, ...]:
    """What a reader of the figures must know."""
    notes = list(cases.notes)
    for contestant in contestants:
        licence = licence_of(contestant)
        if licence is not None and "non-commercial" in licence:
            notes.append(f"{contestant.name}: licence of {licence}")
        if not any(takes_part(contestant, case) for case in cases.cases):
            notes.append(f"{contestant.name}: none of the datasets is of what it is for; it restores nothing")
    if options.train_root is not None:
        truths = {(case.dataset, case.name): case.files.gt or case.files.lq for case in cases.cases}
        files = [(f"{dataset}/{name}", path) for (dataset, name), path in truths.items() if path is not None]
        notes += map(str, find_leaks(files, options.train_root))
    return tuple(notes)


def _restored(step: RestoreStep, notes: tuple[str, ...]) -> Results:
    """Results of the first step, without scores."""
    pictures, outputs, environments = collect_rows(step)
    suite = step.suite.suite
    return Results(
        suite=suite.name,
        summary=suite.summary,
        ldrestore=__version__,
        protocol=as_plain(find_protocol(suite.protocol)),
        environments=environments,
        averages={name: list(parts) for name, parts in suite.averages.items() if set(parts) <= step.suite.sets.keys()},
        published=suite.published,
        datasets=tuple(_dataset_rows(step)),
        contestants=tuple(
            ContestantRow(
                name=contestant.name,
                kind=contestant.kind,
                options=contestant.settings,
                identity=contestant_identity(contestant),
                num_seeds=contestant.num_seeds,
                licence=licence_of(contestant),
            )
            for contestant in step.contestants
        ),
        pictures=tuple(pictures),
        outputs=tuple(outputs),
        notes=notes,
    )


def costs_so_far(out_dir: Path, results: Results) -> tuple[CostRow, ...]:
    """What an earlier run into the folder measured of contestants that are the same today; nothing of none.

    Args:
        out_dir: The folder of the benchmark.
        results: Of today.
    """
    try:
        earlier = read_results(out_dir)
    except InputError:  # none yet, or those of another version, which today's replace
        return ()
    known, today = ({row.name: (row.identity, row.options) for row in each.contestants} for each in (earlier, results))
    return tuple(row for row in earlier.costs if known.get(row.contestant) == today.get(row.contestant, ()))


def _dataset_rows(step: RestoreStep) -> list[DatasetRow]:
    """What is known of each dataset."""
    rows = []
    for name, found in step.suite.sets.items():
        cases = [case for case in step.suite.cases if case.dataset == name]
        config = cases[0].dataset_config
        if config.recipe is not None:
            making = f"{config.recipe} at severity {config.severity:g}"
        elif config.noise_sigma_255 is not None:
            making = f"noise of sigma {config.noise_sigma_255:g} as papers draw it"
        else:
            making = "pairs" if found.files[0].gt is not None else "no ground truth"
        rows.append(
            DatasetRow(
                name=name,
                set=found.record.name,
                title=found.record.title,
                task=cases[0].task,
                making=making,
                layout=found.layout_source,
                num_pictures=len(cases),
                num_left_out=len(found.problems),
                num_published=found.record.num_pictures,
                terms=found.record.terms,
                notes=found.record.leaks,
            )
        )
    return rows


def _score_step(out_dir: Path, config: SuiteConfig, options: BenchOptions, shard: Shard) -> ScoreStep:
    """The second step of a suite."""
    return ScoreStep(
        out_dir=out_dir,
        data_root=options.data_root,
        protocol=find_protocol(config.protocol),
        metrics=config.scored_metrics,
        weights=options.weights,
        device=options.device,
        shard=shard,
        is_fresh=options.is_fresh,
    )


def _unscored(row: OutputRow) -> OutputRow:
    """An output whose failures of scoring are forgotten; one that was never made keeps its reason."""
    return row if row.path is None else replace(row, scores={}, failure=None)
