import json
import shutil

import numpy as np
import pytest
from PIL import Image

from ldrestore.errors import DatasetError, InputError
from ldrestore.evaluation.studies import damage
from ldrestore.evaluation.studies.damage import DamageOptions, files_of, measure_damage, report_damage, window_places
from ldrestore.images.inputs import to_photo


@pytest.fixture
def clean(tmp_path):
    generator = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        (tmp_path / "clean").mkdir(exist_ok=True)
        to_photo(generator.integers(0, 256, (80, 90, 3), dtype=np.uint8)).save(tmp_path / "clean" / name)
    return tmp_path / "clean"


@pytest.fixture
def options(clean, tmp_path, write, monkeypatch):
    """A set of each kind: pairs, a folder, a pattern."""
    monkeypatch.setattr(damage, "WINDOW_SIDE", 32)
    for shift, name in enumerate("abc"):
        write(tmp_path / "folder" / f"{name}.png", shift=7 * shift, size=(40, 48))
    for side in ("lq", "gt"):
        shutil.copytree(tmp_path / "folder", tmp_path / "pairs" / side)
    sets = (("pairs", "haze_wide", "pairs"), ("folder", "jpeg", "folder"), ("pattern", "rain_wide", "folder/[ab].png"))
    sets = tuple((name, recipe, str(tmp_path / place)) for name, recipe, place in sets)
    return DamageOptions(clean=clean, sets=sets, count=6)


def test_every_kind_of_set_is_a_table_and_a_row_of_the_sheet(options, call):
    text = report_damage(measure_damage(options, call(limit=None)))
    tables = text.split("## ")[1:]
    assert [table.split("\n")[0] for table in tables] == [
        "pairs: 6 windows, against `haze_wide`",
        "folder: 6 windows, against `jpeg`",
        "pattern: 4 windows, against `rain_wide`",
    ]
    assert "| slope | 1.00 | 1.00 | 1.00 |" in tables[0] and "| slope |" not in tables[1]
    with Image.open(call().out_dir / "damage.jpg") as sheet:
        assert sheet.size == (8 * 16, 3 * 16)


def test_a_second_call_measures_nothing_and_other_pictures_are_refused(options, call, write, tmp_path, monkeypatch):
    rows = measure_damage(options, call(limit=None))
    assert str(tmp_path) not in json.dumps(rows)
    with monkeypatch.context() as patched:
        patched.setattr(damage, "shown_windows", lambda *_, **__: pytest.fail("measured again"))
        assert measure_damage(options, call(limit=None)) == rows
    write(tmp_path / "folder" / "a.png", shift=3, size=(40, 48))
    with pytest.raises(InputError, match=r"damage.json, folder is of another settings; measure again with --fresh"):
        measure_damage(options, call(limit=None))


def test_a_place_without_pictures_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"no pictures at .*nothing-\*; name a folder with lq and gt"):
        files_of(str(tmp_path / "nothing-*"))


def test_large_pictures_give_windows_from_their_corners():
    assert len(window_places(512, 640)) == 4
    assert window_places(300, 200) == [(slice(22, 278), slice(0, 256))]
