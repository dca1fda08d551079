import sys

import measure_damage
import numpy as np
import pytest

from ldrestore.images.inputs import to_photo


@pytest.fixture
def clean(tmp_path):
    folder = tmp_path / "clean"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        to_photo(generator.integers(0, 256, (80, 90, 3), dtype=np.uint8)).save(folder / name)
    return folder


def test_tables_and_a_figure_are_made_of_every_kind_of_set(tmp_path, clean, folder, monkeypatch, capsys):
    monkeypatch.setattr(measure_damage, "SIDE", 32)
    pairs = tmp_path / "pairs"
    for side in ("lq", "gt"):
        (pairs / side).mkdir(parents=True)
        for path in folder.iterdir():
            (pairs / side / path.name).write_bytes(path.read_bytes())
    sets = (("pairs", "haze_wide", pairs), ("folder", "jpeg", folder), ("pattern", "rain_wide", folder / "[ab].png"))
    words = [word for name, recipe, place in sets for word in ("--set", name, recipe, str(place))]
    out = tmp_path / "out"
    monkeypatch.setattr(
        sys, "argv", ["measure_damage", "--clean", str(clean), "--count", "6", "--out", str(out), *words]
    )
    measure_damage.main()
    printed = capsys.readouterr().out
    assert printed.strip() == (out / "damage_tables.md").read_text().strip()
    tables = printed.split("### ")[1:]
    assert [table.split(":")[0] for table in tables] == ["pairs", "folder", "pattern"]
    assert "| slope | 1.00 | 1.00 | 1.00 |" in tables[0] and "| slope |" not in tables[1]
    assert (out / "damage.jpg").stat().st_size < 300_000


def test_large_pictures_give_windows_from_their_corners():
    assert len(measure_damage._places(512, 640)) == 4
    assert measure_damage._places(300, 200) == [(slice(22, 278), slice(0, 256))]
