import numpy as np
import pytest
from make_pictures import make_failures, make_real, make_stable, window_of_harm
from picture_grid import fitted, labelled, save_within
from PIL import Image

from ldrestore.datasets.compared_pairs import Pair
from ldrestore.evaluation.results import write_results
from tests.model_results import model_results


def test_a_grid_holds_all_its_cells_in_order():
    cells = [(str(value), Image.new("RGB", (20, 10), (value, 0, 0))) for value in (10, 20, 30)]
    sheet = labelled(cells, columns=2)
    assert sheet.size == (2 * 24 - 4, 2 * 32)
    assert [sheet.getpixel(place)[0] for place in ((5, 5), (29, 5), (5, 37))] == [10, 20, 30]


def test_a_picture_is_fitted_whole_into_the_middle_of_its_cell():
    cell = fitted(Image.new("RGB", (10, 40), "black"), width=60, height=80)
    assert cell.size == (60, 80)
    assert cell.getpixel((30, 40)) == (0, 0, 0)
    assert cell.getpixel((5, 40)) == cell.getpixel((55, 40)) == (255, 255, 255)


def test_a_file_keeps_its_size_or_is_refused(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (100, 100, 3)).astype(np.uint8))
    save_within(noise, tmp_path / "a.jpg", max_bytes=12_000)
    assert (tmp_path / "a.jpg").stat().st_size <= 12_000
    with pytest.raises(ValueError, match="takes more than 100 bytes; make it smaller"):
        save_within(noise, tmp_path / "b.jpg", max_bytes=100)
    assert not (tmp_path / "b.jpg").exists()


def test_the_window_shows_where_the_result_is_worse_than_the_input(scene):
    restored = scene.copy()
    restored[50:60, 70:80] = 255 - restored[50:60, 70:80]
    rows, columns = window_of_harm(Pair("a", scene, scene), restored, side=16)
    assert rows.start <= 50 and rows.stop >= 60 and columns.start <= 70 and columns.stop >= 80
    assert (rows.stop - rows.start, columns.stop - columns.start) == (16, 16)


def test_the_window_is_no_larger_than_the_picture(scene):
    assert window_of_harm(Pair("a", scene, scene), scene) == (slice(0, 72), slice(0, 96))


def test_sheets_of_real_pictures_and_of_failures(folder, tmp_path, pipeline, monkeypatch):
    write_results(
        model_results({"jpeg": {"a": (20.0, 25.0), "b": (20.0, 21.0)}}, model="default-fast"), tmp_path / "results.json"
    )
    monkeypatch.setattr("make_pictures.IMAGES", tmp_path / "images")
    monkeypatch.setattr("make_pictures.RESULTS", tmp_path / "results.json")
    monkeypatch.setattr("make_pictures.CELLS_A_SHEET", 4)
    monkeypatch.setattr("make_pictures.quiet_restorer", lambda model: pipeline)
    make_real(folder, model="default-fast")
    make_failures(folder, model="default-fast")
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == [
        "failures.jpg",
        "real_1.jpg",
        "real_2.jpg",
    ]


def test_the_stable_model_s_sheet_shows_what_it_saw(tmp_path, monkeypatch):
    from tests.tiny_stable import tiny_stable

    monkeypatch.setattr("make_pictures.IMAGES", tmp_path)
    monkeypatch.setattr("make_pictures.RECIPES", {"coffee_hazy": ("coffee", "haze")})
    monkeypatch.setattr("make_pictures.quiet_restorer", lambda model: tiny_stable())
    make_stable(steps=1, cell=(64, 48))
    with Image.open(tmp_path / "stable.jpg") as sheet:
        assert sheet.size == (4 * 68 - 4, 48 + 4 + 18)
