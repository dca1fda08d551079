import pytest
from bounds import judge, judged_mixtures


@pytest.fixture
def verdict(document):
    """The verdict on a line of the table, after a change to the rows."""

    def find(what, change=lambda rows: None):
        change(document["rows"])
        return next(item for item in judge(document) if item.what == what)

    return find


def test_what_was_not_measured_is_neither_met_nor_missed(verdict):
    missing = verdict("snow")
    assert (missing.measured, missing.is_bound_met, missing.is_aim_met) == ("not measured", None, None)
    assert all(item.is_bound_met is None and item.is_aim_met is None for item in judge({"rows": {}}))


def test_noise_is_held_to_decibels_and_to_cbm3d_on_the_same_pictures(verdict):
    line = verdict("gaussian_noise(sigma_255=15)")
    assert line.is_bound_met is True and line.is_aim_met is None
    assert line.measured == "33.50 [33.00, 34.00] dB"

    def compare(rows):
        means = {"restored_psnr": [33.0, 32.0, 34.0], "cbm3d_psnr": [33.5, 32.0, 35.0]}
        rows["cbm3d"] = {"gaussian_noise(sigma_255=15)": {"means": means}}

    line = verdict("gaussian_noise(sigma_255=15)", compare)
    assert line.is_aim_met is False
    assert "33.00 against CBM3D's 33.50" in line.measured


def test_a_gain_is_judged_by_its_mean(verdict):
    line = verdict("rain")
    assert line.is_bound_met is False and line.is_aim_met is False
    assert line.measured == "+1.50 [+1.00, +2.00] to 24.50 dB"


def test_haze_must_also_be_above_the_dark_channel(verdict):
    assert verdict("haze").is_bound_met is True

    def lift(rows):
        rows["degradations"]["haze"]["means"]["dark_channel_psnr"] = [22.0, 21.0, 23.0]

    assert verdict("haze", lift).is_bound_met is False
    assert verdict("haze").bound == "≥ +3 dB, above dark channel"


def test_a_mixture_must_win_in_both_measures(verdict):
    line = verdict("mid6/rain_noise_blur")
    assert line.is_bound_met is False and line.is_aim_met is True


def test_other_bounds(verdict):
    assert verdict("polyu").is_bound_met is True and verdict("polyu").is_aim_met is False
    assert verdict("clean").is_bound_met is True and verdict("clean").is_aim_met is False
    estimate = verdict("top-1 degradation at severity 0.4 and above")
    assert estimate.is_bound_met is False and estimate.measured.startswith("75.00 [")
    speed = verdict("1 megapixel")
    assert speed.is_bound_met is True and speed.is_aim_met is False


def test_a_part_of_the_degradations_is_no_verdict_on_the_estimate(verdict):
    line = verdict("top-1 degradation at severity 0.4 and above", lambda rows: rows["estimate"].pop("haze"))
    assert line.is_bound_met is None


def test_speed_is_judged_on_two_cores(verdict):
    line = verdict("1 megapixel", lambda rows: rows["speed"]["megapixel"].update(threads=16))
    assert line.is_bound_met is None


def test_mixtures_of_two_and_all_of_mid6_are_judged():
    names = judged_mixtures()
    assert sum(name.startswith("cdd11/") for name in names) == 5
    assert sum(name.startswith("mid6/") for name in names) == 6
