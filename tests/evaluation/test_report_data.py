import dataclasses
import json
import math
from pathlib import Path

import pytest

from ldrestore.evaluation.published_tables import list_published
from ldrestore.evaluation.report_data import page_data
from ldrestore.evaluation.results import Results
from ldrestore.evaluation.summaries import summarised
from tests.tiny_results import tiny_results


@pytest.fixture
def results(tmp_path):
    return tiny_results(tmp_path, num_pictures=2, sigmas=(10,))


def with_output(results, index, **changes):
    outputs = list(results.outputs)
    outputs[index] = dataclasses.replace(outputs[index], **changes)
    return summarised(dataclasses.replace(results, outputs=tuple(outputs)))


def test_means_of_the_page_are_those_of_the_results(results):
    data = page_data(results)
    for row in results.means:
        cell = data["means"][row.metric][row.contestant][row.dataset]
        assert (cell["mean"], cell["low"], cell["high"]) == (row.mean, row.low, row.high)
    values = [picture["results"]["bolder"]["scores"]["psnr"] for picture in data["pictures"]]
    assert sum(values) / len(values) == pytest.approx(data["means"]["psnr"]["bolder"]["noise_10"]["mean"])


def test_an_infinite_value_counts_as_in_the_means(results):
    data = page_data(with_output(results, 0, scores={"psnr": math.inf}))
    json.dumps(data, allow_nan=False)
    assert data["pictures"][0]["results"]["input"]["scores"] == {"psnr": 60.0}
    assert data["means"]["psnr"]["input"]["noise_10"]["cap"] == 60.0


def test_a_failed_picture_says_why_and_the_others_stay(results):
    index = next(place for place, row in enumerate(results.outputs) if row.contestant == "bolder")
    data = page_data(with_output(results, index, path=None, sha256=None, scores={}, failure="out of luck"))
    assert data["pictures"][0]["results"]["bolder"]["failure"] == "out of luck"
    assert data["pictures"][0]["results"]["bolder"]["picture"] is None
    assert data["pictures"][1]["results"]["bolder"]["failure"] is None
    assert [row["reason"] for row in data["failures"]] == ["out of luck"]


def test_of_several_seeds_values_are_means_and_the_first_picture_is_shown(results):
    first = next(row for row in results.outputs if row.contestant == "bolder")
    seeds = [
        dataclasses.replace(first, seed=seed, scores={"psnr": 30.0 + seed}, sha256=f"{seed}" * 64) for seed in (1, 2)
    ]
    others = [row for row in results.outputs if row.contestant != "bolder"]
    data = page_data(summarised(dataclasses.replace(results, outputs=(*others, *seeds))))
    result = data["pictures"][0]["results"]["bolder"]
    assert (result["scores"]["psnr"], result["seed"], result["picture"]) == (31.5, 1, "1" * 16)


def test_seconds_are_medians_a_megapixel_and_only_sure_damage_is_named(results):
    data = page_data(results)
    assert data["seconds"]["bolder"] == pytest.approx(0.05 / (64 * 80 / 1e6))
    assert "input" not in data["seconds"]
    assert data["pictures"][0]["results"]["bolder"]["damage"] == [["gaussian_noise", 0.93]]


def test_printed_tables_stay_apart_from_measured_figures(results):
    name = list_published()[0]
    data = page_data(dataclasses.replace(results, published=(name,)))
    assert len(data["published"]) == 1 and data["published"][0]["source"]
    assert all(isinstance(cell, str) for row in data["published"][0]["rows"] for cell in row)
    plain = page_data(results)
    assert {key: value for key, value in data.items() if key != "published"} == {
        key: value for key, value in plain.items() if key != "published"
    }


def test_the_line_of_the_protocol_names_the_side_of_its_window(results):
    assert "SSIM window gaussian 11," in page_data(results)["protocol"]["line"]


def test_seconds_of_a_contestant_are_the_median_over_pictures_of_all_sizes(results: Results) -> None:
    seconds = iter((0.01, 0.02, 0.9))
    pictures = tuple(dataclasses.replace(row, width=1000, height=500) for row in results.pictures)
    pictures += (dataclasses.replace(pictures[0], name="third", width=2000, height=500),)
    rows = [row for row in results.outputs if row.contestant == "bolder"]
    rows.append(dataclasses.replace(rows[0], picture="third"))
    outputs = tuple(dataclasses.replace(row, seconds=next(seconds)) for row in rows)
    found = page_data(dataclasses.replace(results, pictures=pictures, outputs=outputs))["seconds"]
    assert found == {"bolder": pytest.approx(0.04)}  # of 0.02, 0.04 and 0.9 a megapixel


def test_damage_is_named_from_the_surest_on_and_nothing_below_one_in_twenty(results: Results) -> None:
    index = next(place for place, row in enumerate(results.outputs) if row.contestant == "bolder")
    estimate = {"rain": 0.049, "snow": 0.3, "haze": 0.7, "jpeg": 0.05}
    data = page_data(with_output(results, index, degradations=estimate))
    assert data["pictures"][0]["results"]["bolder"]["damage"] == [["haze", 0.7], ["snow", 0.3], ["jpeg", 0.05]]


def test_pictures_come_in_the_order_of_the_results_with_every_contestant(results: Results) -> None:
    data = page_data(results)
    assert [(row["dataset"], row["name"]) for row in data["pictures"]] == [
        (row.dataset, row.name) for row in results.pictures
    ]
    names = [row.name for row in results.contestants]
    assert all(list(row["results"]) == names for row in data["pictures"])
    assert [row["name"] for row in data["contestants"]] == names


def test_settings_are_in_words_and_those_that_a_source_leaves_open_are_left_out(results: Results) -> None:
    settings = dict(page_data(results)["protocol"]["settings"])
    assert settings["ssim_window"].startswith("kind gaussian, sigma 1.5,")
    assert settings["metrics"] == "psnr, ssim" and settings["psnr_cap"] == "60.0"
    assert "split" not in settings and "name" not in settings


def test_pictures_without_ground_truth_have_none_on_the_page(tmp_path: Path) -> None:
    data = page_data(tiny_results(tmp_path, num_pictures=1, sigmas=(10,), has_gt=False))
    assert data["pictures"][0]["gt"] is None and data["means"] == {}
    assert data["pictures"][0]["results"]["bolder"]["scores"] == {}


def test_the_page_needs_nothing_but_json(results: Results) -> None:
    data = page_data(results)
    assert json.loads(json.dumps(data, allow_nan=False))["means"] == data["means"]
    assert data["level"] == 0.05 and data["averages"] == {"all": ["noise_10"]}
