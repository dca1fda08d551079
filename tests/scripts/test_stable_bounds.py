import pytest
from measurement_file import as_row
from stable_bounds import accuracy, gaps_of_solvers, judge_stable, losses_without_sampling

from ldrestore.structures import MPERCEIVER_SET
from tests.scripts.stable_rows import ENVIRONMENT, restoration, row_of, stable_document


@pytest.fixture
def document():
    return stable_document()


def verdicts(document):
    """In the order of the table: predictor, restoration, prior, DRM, solvers."""
    return [(item.is_bound_met, item.is_aim_met) for item in judge_stable(document)]


def test_a_good_model_meets_everything(document):
    assert verdicts(document) == [(True, True), (True, True), (True, None), (None, True), (None, True)]
    measured = [item.measured for item in judge_stable(document)]
    assert measured[1:3] == ["9 of 9; 8 pictures"] * 2
    assert measured[3] == "+2.50 [+2.50, +2.50] dB; 8 pictures" and measured[4].startswith("-0.10")


def test_what_was_not_measured_of_all_nine_is_not_judged(document):
    assert all(item.measured == "not measured" for item in judge_stable({**document, "rows": {}}))
    for rows in document["rows"].values():
        rows.pop("haze", None)
    assert verdicts(document) == [(None, None)] * 5


def first_pictures(row, count):
    """The same row of fewer pictures."""
    values = {metric: of_pictures[:count] for metric, of_pictures in row["per_picture"].items()}
    return {**as_row(row["names"][:count], values), "environment": row["environment"]}


def test_sections_of_different_pictures_or_environments_are_not_judged(document):
    prior, solvers = document["rows"]["prior"], document["rows"]["solvers"]
    prior["rain"] = first_pictures(prior["rain"], 7)
    solvers["rain"] = {**solvers["rain"], "environment": {**ENVIRONMENT, "device": "a GPU"}}
    measured = [item.measured for item in judge_stable(document)]
    assert measured[2] == "rows of different pictures" and measured[4] == "rows of different environments"
    assert verdicts(document) == [(True, True), (True, True), (None, None), (None, True), (None, None)]


def test_few_pictures_are_not_judged(document):
    restored = document["rows"]["restoration"]
    for name, row in restored.items():
        restored[name] = first_pictures(row, 7)
    assert judge_stable(document)[1].measured == "too few pictures: 7, at least 8"
    assert verdicts(document)[1] == verdicts(document)[3] == (None, None)


@pytest.mark.parametrize("worse", [restoration(restored=19.9), restoration(distance=0.41)])
def test_restored_pictures_must_be_better_in_both(document, worse):
    for name in MPERCEIVER_SET[:3]:
        document["rows"]["restoration"][name] = worse
    assert judge_stable(document)[1].measured == "6 of 9; 8 pictures"
    assert verdicts(document)[1] == (True, False)


def test_a_degradation_counts_for_the_prior_from_half_a_decibel_on(document):
    prior = document["rows"]["prior"]
    for name, value in zip(MPERCEIVER_SET, (24.5, 24.51, 25.0, 26.0, 30.0, 24.6, 24.0, 24.0, 24.0), strict=True):
        prior[name] = row_of({"unsampled_psnr": value})
    assert judge_stable(document)[2].measured == "4 of 9; 8 pictures"
    assert verdicts(document)[2] == (False, None)


def test_sections_are_held_against_each_other_on_the_pictures_of_both(document):
    document["rows"]["prior"]["rain"] = as_row(["b.png", "z.png"], {"unsampled_psnr": [23.0, 0.0]})
    assert losses_without_sampling(document)["rain"] == {"b.png": 2.0}
    document["rows"]["solvers"]["rain"] = as_row(["z.png"], {"solver_psnr": [0.0]})
    assert "rain" not in gaps_of_solvers(document)


def test_solvers_are_held_against_what_was_sampled_for_them_where_the_restoration_takes_other_steps(document):
    document["settings"]["steps"] = 20
    for name in MPERCEIVER_SET:
        document["rows"]["solvers"][name] = row_of({"solver_psnr": 22.4, "own_psnr": 23.0})
    assert gaps_of_solvers(document)["rain"]["a.png"] == pytest.approx(-0.6)
    assert verdicts(document)[4] == (None, False)
    del document["rows"]["restoration"]
    assert verdicts(document)[4] == (None, False)


def test_a_solver_that_is_far_better_is_not_within(document):
    for name in MPERCEIVER_SET:
        document["rows"]["solvers"][name] = row_of({"solver_psnr": 23.0})
    assert verdicts(document)[4] == (None, False)


def test_solvers_that_differ_both_ways_are_not_within(document):
    for name, value in zip(MPERCEIVER_SET, (24.9,) * 4 + (20.6,) * 5, strict=True):
        document["rows"]["solvers"][name] = row_of({"solver_psnr": value})
    assert verdicts(document)[4] == (None, False)


def test_a_model_without_refined_decoder_is_not_judged_by_it(document):
    del document["model"]["parts"]["drm"]
    assert verdicts(document)[2:4] == [(None, None), (None, None)]


def test_accuracy_is_over_degradations_and_pictures(document):
    assert accuracy(document["rows"]) == (1.0, 1.0, 1.0)
    document["rows"]["predictor"]["rain"]["per_picture"]["top1"] = [0.1] * 8
    assert accuracy(document["rows"])[0] == pytest.approx(0.9)
    assert verdicts(document)[0] == (True, False)
