"""`ldrestore bench`: models, finished results and classical peers compared on a suite."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ldrestore.cli.completion import complete_models
from ldrestore.cli.console import print_table, say
from ldrestore.cli.score import named_files
from ldrestore.errors import InputError, printable

if TYPE_CHECKING:
    from ldrestore.evaluation.benchmarking import BenchOptions
    from ldrestore.evaluation.contestants import Contestant
    from ldrestore.evaluation.results import Results

BENCH_EXAMPLES = """\b
Examples:
  ldrestore bench builtin --model default --model ldrestore-tiny-stable --out out/
  ldrestore bench builtin --model default --peer opencv_nlm --peer dark_channel --peer clahe --cost --out out/
  ldrestore bench aio3 --model my_model/ --data-root data/ --train-root train/ --out out/
  ldrestore bench aio5 --results OTHER=their_pictures/ --data-root data/ --out out/
  ldrestore bench --pairs noisy/ clean/ --model default --out out/
  ldrestore bench builtin --model ldrestore-tiny-stable,num_inference_steps=20 --seeds 3 --out out/
  ldrestore bench --rescore out/ --metric psnr --metric lpips
  ldrestore bench --compare old/ new/
  ldrestore bench --merge a/results.json --merge b/results.json --out both/
  ldrestore bench --list --data-root data/
  ldrestore bench --network restormer --network nafnet_sidd_w32
  ldrestore bench --study stable-parts --model ldrestore-tiny-stable --data-root data/ --limit 8 --out out/
  ldrestore bench --study xl-parts --model ldrestore-tiny-xl --data-root data/ --limit 8 --out out/
  ldrestore bench --study stable-cost --with side=256 --with repeats=3 --out out/
  accelerate launch --num_processes 2 -m ldrestore bench builtin --model default --out out/
"""
"""Shown below the help; the first character keeps the lines as they are."""


@dataclass(kw_only=True)
class BenchCall:
    """Compare models, finished results and classical peers on a suite, by a named protocol.

    Writes results.json, results.csv, table.md and report.html, a page to look at, and keeps all pictures. What is
    there is not made again: an interrupted run goes on, with any number of processes. Exit code 1: some pictures
    failed or had no partner, or --compare found a regression.
    """

    suite: Annotated[
        str | None, typer.Argument(metavar="SUITE", help="Name of a suite, or a YAML file; `--list` names all.")
    ] = None
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL[,option=value..]",
            help="Model of any track, may be given again.",
            autocompletion=complete_models,
        ),
    ] = None
    results: Annotated[
        list[str] | None,
        typer.Option("--results", metavar="NAME=DIR", help="Finished pictures, named like their inputs, in DATASET/."),
    ] = None
    peer: Annotated[
        list[str] | None, typer.Option("--peer", metavar="NAME", help="Classical restorer, such as opencv_nlm; or all.")
    ] = None
    pairs: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--pairs", metavar="LQ GT", help="Folders of degraded and clean pictures of equal stems."),
    ] = None
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Where results and tables go.")] = None
    data_root: Annotated[Path | None, typer.Option(metavar="DIR", help="The folder that sets lie in.")] = None
    train_root: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Training pictures: those that the suite holds too are named.")
    ] = None
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", metavar="M", help="Metric, may be given again; those of the suite if none."),
    ] = None
    protocol: Annotated[
        str | None, typer.Option(metavar="P", help="In place of the suite's; see `ldrestore score --list`.")
    ] = None
    weights: Annotated[
        list[str] | None,
        typer.Option("--weights", metavar="NAME=FILE", help="Weights of a metric, may be given again."),
    ] = None
    device: Annotated[str, typer.Option(metavar="D", help="Where models and metrics compute.")] = "auto"
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Runs of models that draw; mean and spread.")] = 1
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="The most pictures of each dataset.")] = None
    cost: Annotated[bool, typer.Option("--cost", help="Measure time, memory, parameters and multiplications.")] = False
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Make results again that are there; with --rescore: scores.")
    ] = False
    no_input: Annotated[bool, typer.Option("--no-input", help="Leave the untouched input out.")] = False
    rescore: Annotated[
        Path | None, typer.Option("--rescore", metavar="DIR", help="Score stored results again, without a model.")
    ] = None
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--compare", metavar="OLD NEW", help="Two results: gains and regressions per picture."),
    ] = None
    merge: Annotated[
        list[Path] | None,
        typer.Option("--merge", metavar="FILE", help="Results to put side by side into --out, given again for each."),
    ] = None
    network: Annotated[
        list[str] | None,
        typer.Option("--network", metavar="NAME", help="Time a network of random weights, may be given again; or all."),
    ] = None
    study: Annotated[
        str | None, typer.Option("--study", metavar="NAME", help="A study in place of a suite; `--list` names all.")
    ] = None
    options: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="KEY=VALUE", help="An option of the study, may be given again."),
    ] = None
    tolerance: Annotated[
        list[str] | None,
        typer.Option("--tolerance", metavar="METRIC=X", help="With --compare: how much worse is no regression."),
    ] = None
    list_sets: Annotated[bool, typer.Option("--list", help="List suites, studies, sets and what was found.")] = False

    def run(self) -> None:
        """Do what was asked.

        Raises:
            Exit: with the exit code.
            LDRestoreError: nothing could be begun.
        """
        if self.list_sets:
            _print_suites()
            _print_studies()
            _print_sets(self.data_root)
            raise typer.Exit()
        if self.compare is not None:
            raise typer.Exit(_print_changes(*self.compare, tolerances=_tolerances(self.tolerance or [])))
        if self.network:
            _time_networks(self.network, self.out, device="cpu" if self.device == "auto" else self.device)
            raise typer.Exit()
        if self.merge:
            raise typer.Exit(_merge(self.merge, self.out))
        if self.study is not None:
            print(self._studied(self.study))
            print(f"everything lies in {printable(self.out)}")
            raise typer.Exit()
        results = self._rescored() if self.rescore is not None else self._evaluated()
        if results is not None:
            _print_results(results, self.rescore or self.out)
            raise typer.Exit(0 if results.is_whole else 1)

    def _studied(self, name: str) -> str:
        """Run a study; its report.

        Raises:
            InputError: no folder for the results, or a suite as well.
        """
        from ldrestore.evaluation.studies.study import StudyCall, run_study
        from ldrestore.restorers import device_of

        if self.out is None:
            raise InputError("results need a folder; give --out DIR")
        if self.suite is not None or self.pairs is not None:
            raise InputError("a study chooses its pictures itself; leave out SUITE and --pairs")
        call = StudyCall(
            out_dir=self.out,
            models=tuple(self.model or ()),
            data_root=self.data_root,
            device=str(device_of(self.device)),
            limit=self.limit,
            is_fresh=self.fresh,
            say=say,
        )
        return run_study(name, self.options or [], call)

    def _rescored(self) -> "Results":
        """The second and third steps alone."""
        from ldrestore.evaluation.benchmarking import rescore

        assert self.rescore is not None
        return rescore(self.rescore, options=self._options(), say=say)

    def _evaluated(self) -> "Results":
        """All three steps.

        Raises:
            InputError: no suite and no pairs, or no folder for the results.
        """
        from ldrestore.evaluation.benchmarking import evaluate
        from ldrestore.evaluation.suites import SuiteConfig

        if self.out is None:
            raise InputError("results need a folder; give --out DIR")
        if self.suite is None and self.pairs is None:
            raise InputError("give a SUITE or --pairs LQ GT; `ldrestore bench --list` names all suites")
        alone = SuiteConfig(name="pairs", summary="Pairs of one's own.", datasets=())
        return evaluate(
            alone if self.suite is None else self.suite,
            self._contestants(),
            self.out,
            data_root=self.data_root,
            pairs=self.pairs,
            options=self._options(),
            say=say,
        )

    def _contestants(self) -> "list[Contestant]":
        """Models, finished results and peers, in this order."""
        from ldrestore.evaluation.contestants import model_contestant, peer_contestant, results_contestant
        from ldrestore.evaluation.peer_catalog import PEERS

        peers = PEERS.names() if self.peer == ["all"] else self.peer or []
        return [
            *(model_contestant(text, num_seeds=self.seeds) for text in self.model or []),
            *(results_contestant(name, folder) for name, folder in _named_folders(self.results or []).items()),
            *map(peer_contestant, peers),
        ]

    def _options(self) -> "BenchOptions":
        """How it is run."""
        from ldrestore.evaluation.benchmarking import BenchOptions

        return BenchOptions(
            data_root=self.data_root,
            train_root=self.train_root,
            metrics=tuple(self.metric) if self.metric else None,
            protocol=self.protocol,
            weights=named_files(self.weights or []),
            device=self.device,
            limit=self.limit,
            has_input=not self.no_input,
            has_costs=self.cost,
            is_fresh=self.fresh,
        )


def _named_folders(words: list[str]) -> dict[str, Path]:
    """NAME=DIR words as a mapping.

    Raises:
        InputError: a word has no "=", or two have one name.
    """
    folders: dict[str, Path] = {}
    for word in words:
        name, separator, place = word.partition("=")
        if not separator or not name or not place:
            raise InputError(f"--results needs NAME=DIR, got {word!r}")
        if name in folders:
            raise InputError(f"--results {name} is given twice, with {folders[name]} and {place}; name each otherwise")
        folders[name] = Path(place)
    return folders


def _tolerances(words: list[str]) -> dict[str, float]:
    """METRIC=X words as a mapping.

    Raises:
        InputError: a word has no "=", or no number of at least 0.
    """
    tolerances = {}
    for word in words:
        name, separator, text = word.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not separator or not value >= 0:  # so that nan is none either
            raise InputError(f"--tolerance needs METRIC=X with X of at least 0, got {word!r}")
        tolerances[name] = value
    return tolerances


def _print_suites() -> None:
    """Suites with their protocols and datasets."""
    from ldrestore.evaluation.suites import list_suites, load_suite

    suites = [load_suite(name) for name in list_suites()]
    rows = [
        (suite.name, f"{suite.summary}\n{', '.join(dataset.name for dataset in suite.datasets)}", suite.protocol)
        for suite in suites
    ]
    print_table(("suite", "what, datasets", "protocol"), rows, title="suites")


def _print_studies() -> None:
    """Studies, and what they take."""
    from ldrestore.evaluation.studies.catalog import STUDIES

    rows = [(record.name, f"{record.summary}\n{record.takes}") for record in STUDIES]
    print_table(("study", "what it asks, what it takes"), rows, title="studies: ldrestore bench --study NAME")


def _print_sets(data_root: Path | None) -> None:
    """All sets, and what was found of them."""
    from ldrestore.evaluation.benchmark_catalog import BENCHMARKS
    from ldrestore.evaluation.benchmark_files import find_set

    rows = []
    for record in BENCHMARKS:
        found = find_set(record, data_root)
        count = "" if record.num_pictures is None else f", {record.num_pictures} pictures"
        tested = "" if record.is_tested else "; layout registered, not tested"
        states = {True: "complete", False: "incomplete", None: "found"}
        state = "–"
        if found is not None:
            state = f"{states[found.is_complete]}: {len(found.files)}\n({found.layout_source})"
        rows.append((record.name, f"{record.title}{count}; {record.terms}{tested}", state))
    print_table(("set", "what, terms", "below the data root"), rows, title="sets; nothing is downloaded")


def _time_networks(names: list[str], out: Path | None, *, device: str) -> None:
    """Parameters, operations and time of networks, printed or written."""
    from ldrestore.evaluation.network_costs import measure_networks, network_tables, write_network_costs

    document = measure_networks(names, device=device, say=say)
    if out is None:
        print(network_tables(document))
    else:
        write_network_costs(document, out)


def _merge(files: list[Path], out: Path | None) -> int:
    """Write the results of several files, and their tables, side by side; the exit code, as of a run.

    Raises:
        InputError: there is no folder for them, or they do not go together.
    """
    from ldrestore.evaluation.benchmarking import write_report
    from ldrestore.evaluation.merging import gather_files, merged
    from ldrestore.evaluation.results import read_results

    if out is None:
        raise InputError("results need a folder; give --out DIR")
    results = merged([read_results(path) for path in files])
    gather_files(results, [path if path.is_dir() else path.parent for path in files], out)
    report = write_report(results, out)
    for note in report.notes:
        say(f"note: {note}")
    _print_results(report, out)
    return 0 if report.is_whole else 1


def _print_changes(old: Path, new: Path, *, tolerances: dict[str, float]) -> int:
    """Gains and regressions; the exit code."""
    from ldrestore.evaluation.comparison import compare_results, other_versions
    from ldrestore.evaluation.results import read_results

    before, after = read_results(old), read_results(new)
    changes = compare_results(before, after, tolerances=tolerances)
    for note in other_versions(before, after):
        say(f"note: {note}")
    regressions = [change for change in changes if change.is_regression]
    for change in regressions:
        print(f"regression: {change}")
    for change in changes:
        if not change.is_regression:
            print(f"{'gain' if change.gain > 0 else 'within tolerance'}: {change}")
    print(f"{len(changes)} scores differ, {len(regressions)} of them are regressions")
    return 1 if regressions else 0


def _print_results(results: "Results", folder: Path | None) -> None:
    """The means of each metric, by what protocol, and where everything lies."""
    from ldrestore.evaluation.tables import failure_lines, mean_cells, protocol_line

    print(protocol_line(results))
    for metric in results.metrics:
        columns, rows = mean_cells(results, metric)
        if rows:
            names = tuple(row[0] for row in rows)
            turned = [(name, *cells) for name, *cells in zip(columns[1:], *(row[1:] for row in rows), strict=True)]
            print_table((columns[0], *names), turned)
    for line in failure_lines(results):
        say(f"failed: {line}")
    print(f"results lie in {printable(folder)}")
