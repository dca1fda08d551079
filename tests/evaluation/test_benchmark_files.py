"""Sets of the registry, found in tiny folders with the official layouts."""

import pytest

from ldrestore.evaluation.benchmark_catalog import BENCHMARKS
from ldrestore.evaluation.benchmark_files import find_set, own_pairs, places_of
from ldrestore.evaluation.mixed_damage_sets import CDD11_TYPES

LAYOUTS = {
    "bsd68": (["CBSD68/0001.png", "CBSD68/0002.png"], [(None, "0001.png"), (None, "0002.png")]),
    "rain100l": (
        ["Rain100L/rain-001.png", "Rain100L/norain-001.png"],
        [("rain-001.png", "norain-001.png")],
    ),
    "rain100h": (
        ["Rain100H/rain-002.png", "Rain100H/norain-002.png"],
        [("rain-002.png", "norain-002.png")],
    ),
    "sots_outdoor": (
        ["SOTS/outdoor/hazy/0001_0.8_0.2.jpg", "SOTS/outdoor/hazy/0001_0.9_0.1.jpg", "SOTS/outdoor/gt/0001.png"],
        [("0001_0.8_0.2.jpg", "0001.png"), ("0001_0.9_0.1.jpg", "0001.png")],
    ),
    "sots_indoor": (
        ["SOTS/indoor/hazy/1400_1.png", "SOTS/indoor/hazy/1400_10.png", "SOTS/indoor/gt/1400.png"],
        [("1400_1.png", "1400.png"), ("1400_10.png", "1400.png")],
    ),
    "gopro": (
        [f"GoPro/test/{scene}/{part}/000001.png" for scene in ("A_1", "B_2") for part in ("blur", "sharp")],
        [("A_1/blur/000001.png", "A_1/sharp/000001.png"), ("B_2/blur/000001.png", "B_2/sharp/000001.png")],
    ),
    "lol_v1": (["LOL/eval15/low/1.png", "LOL/eval15/high/1.png"], [("low/1.png", "high/1.png")]),
    "polyu": (
        ["PolyU/CroppedImages/C_1_real.JPG", "PolyU/CroppedImages/C_1_mean.JPG"],
        [("C_1_real.JPG", "C_1_mean.JPG")],
    ),
    **{
        f"cdd11_{kind}": (
            [f"CDD-11_test/{kind}/00001.png", "CDD-11_test/clear/00001.png"],
            [(f"{kind}/00001.png", "clear/00001.png")],
        )
        for kind in CDD11_TYPES
    },
    "underwater": (["underwater/lq/a.jpg", "underwater/gt/a.jpg"], [("lq/a.jpg", "gt/a.jpg")]),
    "real_no_gt": (["real_no_gt/dark/a.jpg", "real_no_gt/b.jpg"], [("a.jpg", None), ("b.jpg", None)]),
    "clean": (["clean/a.png"], [(None, "a.png")]),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_official_layouts_are_read(name, tmp_path, write):
    files, expected = LAYOUTS[name]
    for file in files:
        write(tmp_path / file)
    found = find_set(BENCHMARKS.get(name), tmp_path)
    pairs = [(picture.lq, picture.gt) for picture in found.files]
    assert len(pairs) == len(expected)
    for paths, ends in zip(pairs, expected, strict=True):
        for path, end in zip(paths, ends, strict=True):
            assert (path is None) == (end is None)
            assert path is None or path.as_posix().endswith(end)
    assert len({picture.name for picture in found.files}) == len(expected)
    assert not found.problems
    assert found.is_complete is (None if found.record.num_pictures is None else False)


def test_sets_marked_as_tested_are_the_ones_tested_here():
    marked = {record.name for record in BENCHMARKS if record.is_tested}
    assert marked == {*LAYOUTS, "builtin"}


def test_the_librarys_own_pictures_are_whole():
    found = find_set(BENCHMARKS.get("builtin"), None)
    assert found.is_complete
    assert [picture.name for picture in found.files] == ["astronaut", "chelsea", "coffee", "rocket"]


def test_pictures_without_ground_truth_are_named(tmp_path, write):
    for file in ("LOL/eval15/low/1.png", "LOL/eval15/low/2.png", "LOL/eval15/high/1.png"):
        write(tmp_path / file)
    found = find_set(BENCHMARKS.get("lol_v1"), tmp_path)
    assert [picture.name for picture in found.files] == ["1"]
    assert found.problems == ("2.png has no ground truth of the key '2'",)
    assert found.is_complete is False


def test_a_set_says_where_it_is_looked_for():
    assert places_of(BENCHMARKS.get("lol_v1")).startswith("lol_v1 (LOL-v1, eval15) at LOL/eval15/low/* or ")


def test_every_record_says_source_and_terms_and_has_a_layout():
    for record in BENCHMARKS:
        assert record.title and record.source and record.terms
        assert record.layouts or record.name == "builtin"


def test_own_pairs_share_their_stems(tmp_path, write):
    write(tmp_path / "lq" / "a.png")
    write(tmp_path / "lq" / "b.png")
    write(tmp_path / "gt" / "a.jpg")
    found = own_pairs(tmp_path / "lq", tmp_path / "gt")
    assert [picture.name for picture in found.files] == ["a"]
    assert "b: has no ground truth" in found.problems[0]
