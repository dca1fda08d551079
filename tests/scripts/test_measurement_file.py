import json

import numpy as np
import pytest
from measurement_file import MeasurementFile, as_row, extended, interval, worst_gain

HEADER = {"protocol": "uint8", "model": {"file_sha256": "1"}, "pictures": ["a.png"]}


def test_rows_survive_an_interruption(tmp_path):
    path = tmp_path / "new" / "measurements.json"
    MeasurementFile(path, HEADER).add("clean", "clean", {"means": {"input_psnr": [1.0, 1.0, 1.0]}})
    again = MeasurementFile(path, HEADER)
    assert again.row("clean", "clean") == {"means": {"input_psnr": [1.0, 1.0, 1.0]}}
    assert again.row("clean", "other") is None and again.row("real", "polyu") is None
    assert [file.name for file in path.parent.iterdir()] == ["measurements.json"]


@pytest.mark.parametrize("change", [{"model": {"file_sha256": "2"}}, {"pictures": ["b.png"]}])
def test_rows_of_other_weights_or_pictures_are_dropped_when_told(tmp_path, change):
    path = tmp_path / "measurements.json"
    MeasurementFile(path, HEADER).add("clean", "clean", {"a": 1})
    with pytest.raises(ValueError, match="of other weights, pictures or settings; drop them with --fresh"):
        MeasurementFile(path, {**HEADER, **change})
    other = MeasurementFile(path, {**HEADER, **change}, may_drop=True)
    assert other.rows == {}
    assert MeasurementFile(path, HEADER).rows  # until something is saved
    other.add("clean", "clean", {"a": 2})
    assert json.loads(path.read_text())["rows"] == {"clean": {"clean": {"a": 2}}}


def test_a_file_of_an_older_form_is_dropped(tmp_path):
    path = tmp_path / "measurements.json"
    path.write_text(json.dumps({"protocol": "uint8", "rows": [{"recipe": "rain"}]}))
    assert MeasurementFile(path, HEADER, may_drop=True).rows == {}


def test_another_environment_keeps_the_rows(tmp_path):
    path = tmp_path / "measurements.json"
    MeasurementFile(path, {**HEADER, "environment": {"cores": 2}}).add("clean", "clean", {"a": 1})
    assert MeasurementFile(path, {**HEADER, "environment": {"cores": 4}}).rows


def test_a_section_can_be_forgotten(tmp_path):
    file = MeasurementFile(tmp_path / "measurements.json", HEADER)
    file.add("clean", "clean", {"a": 1})
    file.add("real", "polyu", {"a": 1})
    file.forget("clean")
    file.forget("speed")
    assert list(file.rows) == ["real"]


def test_the_file_is_json_with_a_row_a_line(tmp_path):
    file = MeasurementFile(tmp_path / "measurements.json", HEADER)
    file.add("real", "polyu", {"values": [1, 2, 3]})
    file.add("real", "rain100h", {"values": [4]})
    text = file.path.read_text()
    assert json.loads(text) == file.document()
    assert '      "polyu": {"values": [1, 2, 3]},\n' in text


def test_interval_holds_the_mean_and_shrinks_with_more_pictures():
    values = list(np.random.default_rng(0).normal(30, 2, 100))
    low, high = interval(values)
    assert low < np.mean(values) < high
    few_low, few_high = interval(values[:10])
    assert high - low < few_high - few_low
    assert interval([5.0, 5.0]) == (5.0, 5.0)


def test_a_row_tells_its_worst_picture():
    row = as_row(["a", "b", "c"], {"input_psnr": [20.0, 30.0, 10.0], "restored_psnr": [25.0, 29.5, 30.0]})
    assert worst_gain(row) == ("b", -0.5)
    assert row["means"]["input_psnr"][0] == 20.0


def test_a_row_grows_by_a_picture():
    one = extended(None, "a", {"psnr": 20.0, "distance": 0.5})
    assert one == as_row(["a"], {"psnr": [20.0], "distance": [0.5]})
    assert extended(one, "b", {"psnr": 30.0, "distance": 0.1}) == as_row(
        ["a", "b"], {"psnr": [20.0, 30.0], "distance": [0.5, 0.1]}
    )
