"""Results of several machines as one: whatever order they come in, and whoever lacks what."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ldrestore.errors import InputError
from ldrestore.evaluation.comparison import compare_results
from ldrestore.evaluation.merging import gather_files, merged, with_datasets_of
from ldrestore.evaluation.results import CostRow, MeanRow, Results
from ldrestore.evaluation.stored_files import store_photo
from ldrestore.evaluation.summaries import condensed, summarised
from ldrestore.evaluation.tables import mean_cells
from ldrestore.images.files import read_photo
from ldrestore.images.inputs import to_photo
from tests.evaluation.tiny_results import PSNR, output, results_of
from tests.model_results import model_results

GENERATOR = np.random.default_rng(7)
WHOLE = {
    dataset: {f"{index}": (20.0, 20.0 + round(float(gain), 3)) for index, gain in enumerate(GENERATOR.normal(1, 1, 8))}
    for dataset in ("rain", "haze")
}


def part_of(places: Sequence[int], datasets: Sequence[str] = ("rain", "haze")) -> Results:
    """The results of some pictures, as one of several machines has them."""
    figures = {name: {f"{place}": WHOLE[name][f"{place}"] for place in places} for name in datasets}
    return model_results(figures, averages={"both": ["rain", "haze"]})


def means_of(results: Results) -> dict[tuple[str, str, str], MeanRow]:
    return {(row.contestant, row.dataset, row.metric): row for row in results.means}


def cost(contestant: str, seconds: float) -> CostRow:
    facts: dict[str, Any] = {"peak_gigabytes": None, "parameters": 1, "gigamacs": None}
    return CostRow(
        contestant=contestant,
        seconds_per_megapixel=seconds,
        megapixels=0.26,
        repeats=3,
        device="cpu",
        threads=1,
        **facts,
    )


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_parts_of_a_run_give_the_figures_of_the_whole_in_any_order(order: tuple[int, ...]) -> None:
    parts = [part_of(range(3)), part_of(range(3, 5)), part_of(range(5, 8))]
    whole, joined = part_of(range(8)), merged([parts[place] for place in order])
    found, expected = means_of(joined), means_of(whole)
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        assert found[key].mean == pytest.approx(row.mean)
        assert (found[key].num_pictures, found[key].num_scenes) == (row.num_pictures, row.num_scenes)
    p_values = [{(row.dataset, row.first): row.p_holm for row in each.comparisons} for each in (joined, whole)]
    assert p_values[0] == pytest.approx(p_values[1])
    assert {row.name: row.num_pictures for row in joined.datasets} == {"rain": 8, "haze": 8}


def test_parts_that_overlap_count_each_picture_once() -> None:
    joined = merged([part_of(range(5)), part_of(range(2, 8)), part_of(range(5))])
    assert len(joined.outputs) == len({(row.contestant, row.dataset, row.picture) for row in joined.outputs}) == 32
    assert means_of(joined)["default", "rain", "psnr"].mean == pytest.approx(
        means_of(part_of(range(8)))["default", "rain", "psnr"].mean
    )


def test_merging_in_two_steps_is_merging_at_once() -> None:
    parts = [part_of(range(3)), part_of(range(3, 5)), part_of(range(5, 8))]
    assert merged([merged(parts[:2]), parts[2]]) == merged(parts)


def test_whole_datasets_that_were_measured_apart_stand_side_by_side_with_their_average() -> None:
    rain, haze = part_of(range(8), ["rain"]), part_of(range(8), ["haze"])
    joined = merged([rain, haze])
    found = means_of(joined)
    assert found["default", "both", "psnr"].mean == pytest.approx(
        (found["default", "rain", "psnr"].mean + found["default", "haze", "psnr"].mean) / 2
    )


def test_a_contestant_with_fewer_pictures_says_so_after_merging() -> None:
    ours = results_of(*(output("a", "rain", f"{index}.png", psnr=20.0) for index in range(2)), sizes={"rain": 2})
    theirs = results_of(*(output("b", "rain", f"{index}.png", psnr=21.0) for index in range(6)), sizes={"rain": 6})
    for files in ([ours, theirs], [theirs, ours]):
        cells = dict(mean_cells(merged(files), PSNR)[1])
        assert cells == {"a": "20.00 (2 of 6)", "b": "21.00"}


def test_what_one_file_had_to_leave_out_stays_known() -> None:
    one, two = part_of(range(3)), part_of(range(3, 6))
    lacking = replace(two, datasets=(replace(two.datasets[0], num_left_out=4), two.datasets[1]))
    for files in ([one, lacking], [lacking, one]):
        joined = merged(files)
        assert [row.num_left_out for row in joined.datasets] == [4, 0] and not joined.is_whole


def test_costs_of_a_contestant_are_taken_from_whichever_file_has_them_first() -> None:
    plain = part_of(range(8))
    timed, later = (replace(plain, costs=(cost("default", seconds),)) for seconds in (1.0, 2.0))
    for files in ([plain, timed, later], [timed, plain, later]):
        assert [row.seconds_per_megapixel for row in merged(files).costs] == [1.0]


def test_notes_and_environments_of_all_files_are_kept_once() -> None:
    one = replace(part_of(range(3)), notes=("x", "y"), environments={"1": {"threads": 1}})
    two = replace(part_of(range(3, 6)), notes=("y", "z"), environments={"2": {"threads": 8}})
    joined = merged([one, two])
    assert joined.notes == ("x", "y", "z")
    assert dict(joined.environments) == {"1": {"threads": 1}, "2": {"threads": 8}}


def test_merging_brings_old_statistics_up_to_date() -> None:
    earlier = replace(part_of(range(8)), statistics="plain bootstrap", means=(), comparisons=())
    joined = merged([earlier])
    assert joined.statistics == summarised(earlier).statistics != "plain bootstrap"
    assert joined.means == part_of(range(8)).means


def test_a_summary_without_pictures_cannot_be_merged_or_compared_without_a_word() -> None:
    whole = part_of(range(8))
    short = condensed(whole)
    for files in ([short], [whole, short], [short, whole]):
        with pytest.raises(InputError, match=r"of card are means without single pictures; give the results\.json"):
            merged(files)
    for old, new in ((short, whole), (whole, short), (short, short)):
        with pytest.raises(InputError, match="means without single pictures"):
            compare_results(old, new)


def test_one_picture_under_the_name_of_another_is_refused() -> None:
    one, two = part_of(range(3)), part_of(range(3))
    other = replace(two, pictures=(replace(two.pictures[0], lq_sha256="9"), *two.pictures[1:]))
    with pytest.raises(InputError, match="rain/0 is another picture in each of the results; make both anew"):
        merged([one, other])


def test_one_name_with_other_options_is_refused_and_the_untouched_input_never() -> None:
    one, two = part_of(range(3)), part_of(range(3))
    rows = tuple(replace(row, options={"strength": 0.5}) for row in two.contestants)
    with pytest.raises(InputError, match="default is another contestant in each of the files; rename one of them"):
        merged([one, replace(two, contestants=rows)])
    assert merged([one, replace(two, contestants=(rows[0], two.contestants[1]))]).is_whole


def test_files_of_all_folders_come_together_and_what_none_holds_stays_away(tmp_path: Path) -> None:
    results = part_of([0], ["rain"])
    names = ("pictures/lq.png", "pictures/gt.png", "outputs/0.png", "outputs/1.png")
    outputs = tuple(replace(row, path=name) for row, name in zip(results.outputs, names[2:], strict=True))
    pictures = (replace(results.pictures[0], lq=names[0], gt="data:clean/gt.png"),)
    results = replace(results, pictures=pictures, outputs=outputs)
    for value, (folder, name) in enumerate((("one", names[0]), ("two", names[2]), ("two", names[0]))):
        store_photo(to_photo(np.full((4, 4, 3), 50 * value, np.uint8)), tmp_path / folder / name)
    gather_files(results, [tmp_path / "one", tmp_path / "two"], tmp_path / "both")
    found = {path.relative_to(tmp_path / "both").as_posix() for path in (tmp_path / "both").rglob("*.png")}
    assert found == {names[0], names[2]}
    assert read_photo(tmp_path / "both" / names[0]).pixels.max() == 0  # of the first folder that has it
    gather_files(results, [tmp_path / "two"], tmp_path / "both")
    assert read_photo(tmp_path / "both" / names[0]).pixels.max() == 0  # what is there stays


def test_gathering_refuses_paths_out_of_the_folder(tmp_path: Path) -> None:
    results = part_of([0], ["rain"])
    hostile = replace(results, outputs=(replace(results.outputs[0], path="../secret.png"),))
    store_photo(to_photo(np.zeros((4, 4, 3), np.uint8)), tmp_path / "secret.png")
    with pytest.raises(InputError, match="leads out of the folder"):
        gather_files(hostile, [tmp_path / "one"], tmp_path / "both" / "in")
    assert not (tmp_path / "both").exists()


def test_datasets_of_another_suite_bring_their_comparisons_and_not_their_pictures() -> None:
    ours = part_of(range(8), ["rain"])
    more = replace(model_results({"snow": WHOLE["rain"]}), suite="other", notes=("of the other",))
    joined = with_datasets_of(ours, more)
    assert {row.dataset for row in joined.comparisons} == {"rain", "snow"}
    assert joined.pictures == ours.pictures and joined.outputs == ours.outputs
    assert joined.notes == ("of the other",)
