"""Files of a set below a data root: every layout that is looked for, what belongs together, and what is left out."""

import re
from pathlib import Path

import pytest
from PIL import Image

from ldrestore.errors import InputError
from ldrestore.evaluation.benchmark_catalog import BENCHMARKS
from ldrestore.evaluation.benchmark_files import FoundSet, find_set, own_pairs, places_of
from ldrestore.evaluation.benchmark_record import BenchmarkRecord, SetLayout, folders_of_clean, folders_of_pairs

OTHER_LAYOUTS = {
    "rain100l": [
        ("official", "Rain100L/rainy/rain-001.png", "Rain100L/norain-001.png"),
        ("PromptIR", "Rain100L/input/1.png", "Rain100L/target/1.png"),
        ("AdaIR", "test/derain/Rain100L/input/1.png", "test/derain/Rain100L/target/1.png"),
        ("PromptIR", "derain/Rain100L/input/1.png", "derain/Rain100L/target/1.png"),
    ],
    "sots_outdoor": [
        ("AdaIR", "test/dehaze/input/0001_0.8_0.2.jpg", "test/dehaze/target/0001.png"),
        ("PromptIR", "dehaze/input/0001_0.8_0.2.jpg", "dehaze/target/0001.png"),
        ("InstructIR", "SOTS/IN/0001_0.8_0.2.jpg", "SOTS/GT/0001.png"),
    ],
    "gopro": [
        ("Restormer", "GoPro/test/input/GOPR0384_11_00-000001.png", "GoPro/test/target/GOPR0384_11_00-000001.png"),
        ("InstructIR", "GoPro/input/a.png", "GoPro/target/a.png"),
        ("AdaIR", "test/deblur/gopro/input/a.png", "test/deblur/gopro/target/a.png"),
    ],
    "lol_v1": [
        ("MoCE-IR", "LOLv1/Test/input/1.png", "LOLv1/Test/target/1.png"),
        ("AdaIR", "test/enhance/lol/input/1.png", "test/enhance/lol/target/1.png"),
        ("InstructIR", "LOL/low/1.png", "LOL/high/1.png"),
    ],
    "cdd11_low_haze": [("MoCE-IR", "cdd11/test/low_haze/00001.png", "cdd11/test/clear/00001.png")],
    "rain1400": [
        ("official", "Rain1400/rainy_image/901_14.jpg", "Rain1400/ground_truth/901.jpg"),
        ("Restormer", "Test1400/input/901_14.jpg", "Test1400/target/901_14.jpg"),
    ],
    "nh_haze": [("official", "NH-HAZE/01_hazy.png", "NH-HAZE/01_GT.png")],
    "dense_haze": [("official", "Dense-Haze/hazy/01_hazy.png", "Dense-Haze/GT/01_GT.png")],
    "raindrop_a": [("official", "RainDrop/test_a/data/0_rain.png", "RainDrop/test_a/gt/0_clean.png")],
    "raindrop_b": [("official", "RainDrop/test_b/data/12_rain.jpg", "RainDrop/test_b/gt/12_clean.jpg")],
    "snow100k_l": [
        ("official", f"{root}Snow100K-L/synthetic/city_read_00001.jpg", f"{root}Snow100K-L/gt/city_read_00001.jpg")
        for root in ("Snow100K/test/", "")
    ],
    "lol_v2_real": [
        (
            "official",
            "LOL-v2/Real_captured/Test/Low/low00690.png",
            "LOL-v2/Real_captured/Test/Normal/normal00690.png",
        )
    ],
    "realsr_x4": [
        (
            "official",
            "RealSR(V3)/Canon/Test/4/Canon_001_LR4.png",
            "RealSR(V3)/Canon/Test/4/Canon_001_HR.png",
        )
    ],
    "drealsr_x4": [
        ("official", "DRealSR/x4/Test_x4/test_LR/DSC_1286_x1.png", "DRealSR/x4/Test_x4/test_HR/DSC_1286_x4.png")
    ],
    "cc15": [("official", "CC15/5dmark3_iso3200_1_real.png", "CC15/5dmark3_iso3200_1_mean.png")],
}


def put(root: Path, *names: str) -> Path:
    """Write a picture at each name below a root."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(root / name)
    return root


def found_in(root: Path, name: str) -> FoundSet:
    found = find_set(BENCHMARKS.get(name), root)
    assert found is not None
    return found


def record_of(*layouts: SetLayout, num_pictures: int | None = None) -> BenchmarkRecord:
    return BenchmarkRecord(
        name="x", title="X", task="rain", layouts=layouts, num_pictures=num_pictures, terms="free", source="a test"
    )


@pytest.mark.parametrize(
    ("name", "place"), [(name, place) for name, rows in OTHER_LAYOUTS.items() for place in range(len(rows))]
)
def test_the_other_layouts_of_a_set_are_paired_and_named(name: str, place: int, tmp_path: Path) -> None:
    source, lq, gt = OTHER_LAYOUTS[name][place]
    found = found_in(put(tmp_path, lq, gt), name)
    (picture,) = found.files
    assert (found.layout_source, picture.lq, picture.gt) == (source, tmp_path / lq, tmp_path / gt)
    assert not found.problems


@pytest.mark.parametrize(("name", "folder"), [("kodak24", "Kodak24"), ("mcmaster", "McM"), ("urban100", "Urban100/HR")])
def test_clean_sets_have_no_degraded_side(name: str, folder: str, tmp_path: Path) -> None:
    found = found_in(put(tmp_path, f"{folder}/b.png", f"{folder}/a.png"), name)
    assert [(picture.name, picture.lq) for picture in found.files] == [("a", None), ("b", None)]
    assert found.is_complete is False


def test_the_first_layout_that_holds_pictures_is_taken(tmp_path: Path) -> None:
    put(tmp_path, "LOL/low/2.png", "LOL/high/2.png")
    assert found_in(tmp_path, "lol_v1").layout_source == "InstructIR"
    put(tmp_path, "LOL/eval15/low/1.png", "LOL/eval15/high/1.png")
    found = found_in(tmp_path, "lol_v1")
    assert (found.layout_source, [picture.name for picture in found.files]) == ("official", ["1"])


def test_a_layout_without_a_single_pair_gives_way_to_the_next(tmp_path: Path) -> None:
    put(tmp_path, "LOL/eval15/low/1.png", "LOL/low/2.png", "LOL/high/2.png")
    assert found_in(tmp_path, "lol_v1").layout_source == "InstructIR"


@pytest.mark.parametrize("name", [record.name for record in BENCHMARKS if record.name != "builtin"])
def test_nothing_is_found_in_an_empty_folder_or_without_one(name: str, tmp_path: Path) -> None:
    record = BENCHMARKS.get(name)
    assert find_set(record, tmp_path) is None and find_set(record, None) is None
    assert find_set(record, tmp_path / "nowhere") is None
    assert record.title in places_of(record) and " at " in places_of(record)


def test_a_set_is_complete_with_its_published_count_and_not_with_one_more(tmp_path: Path) -> None:
    names = [f"LOL/eval15/{part}/{index}.png" for part in ("low", "high") for index in range(15)]
    put(tmp_path, *names)
    assert found_in(tmp_path, "lol_v1").is_complete is True
    put(tmp_path, "LOL/eval15/low/15.png", "LOL/eval15/high/15.png")
    assert found_in(tmp_path, "lol_v1").is_complete is False


def test_a_full_count_with_something_left_out_is_not_complete(tmp_path: Path) -> None:
    put(tmp_path, "lq/a.png", "gt/a.png", "lq/b.png")
    found = find_set(record_of(folders_of_pairs("lq", "gt"), num_pictures=1), tmp_path)
    assert found is not None and len(found.files) == 1
    assert found.problems and found.is_complete is False


def test_a_set_of_unknown_count_is_neither_complete_nor_not(tmp_path: Path) -> None:
    put(tmp_path, "lq/a.png", "gt/a.png")
    found = find_set(record_of(folders_of_pairs("lq", "gt")), tmp_path)
    assert found is not None and found.is_complete is None


def test_other_files_hidden_ones_and_folders_are_no_pictures(tmp_path: Path) -> None:
    put(tmp_path, "lq/a.png", "gt/a.png", "lq/._a.png", "gt/._a.png")
    (tmp_path / "lq" / "Thumbs.db").write_bytes(b"")
    (tmp_path / "lq" / "readme.txt").write_text("about")
    (tmp_path / "lq" / "folder.png").mkdir()
    found = find_set(record_of(folders_of_pairs("lq", "gt")), tmp_path)
    assert found is not None
    assert [picture.name for picture in found.files] == ["a"] and not found.problems


def test_pictures_are_in_the_order_of_their_names_and_share_the_scene_of_a_ground_truth(tmp_path: Path) -> None:
    lq = [f"SOTS/indoor/hazy/{scene}_{strength}.png" for scene in (1401, 1400) for strength in (2, 10, 1)]
    put(tmp_path, *lq, "SOTS/indoor/gt/1400.png", "SOTS/indoor/gt/1401.png")
    found = found_in(tmp_path, "sots_indoor")
    assert [picture.name for picture in found.files] == ["1400_1", "1400_10", "1400_2", "1401_1", "1401_10", "1401_2"]
    assert [picture.scene for picture in found.files] == ["1400"] * 3 + ["1401"] * 3


def test_two_ground_truths_of_one_key_are_named_and_the_first_is_taken(tmp_path: Path) -> None:
    put(tmp_path, "SOTS/indoor/hazy/1400_1.png", "SOTS/indoor/gt/1400.png", "SOTS/indoor/gt/1400.jpg")
    found = found_in(tmp_path, "sots_indoor")
    (picture,) = found.files
    assert picture.gt == tmp_path / "SOTS/indoor/gt/1400.jpg"
    assert found.problems == ("1400.png has the same key '1400' as another",)
    assert found.is_complete is False


def test_degraded_pictures_without_partner_are_each_named_with_their_key(tmp_path: Path) -> None:
    put(tmp_path, "lq/a.png", "lq/b.png", "lq/c.png", "gt/b.png", "gt/d.png")
    found = find_set(record_of(folders_of_pairs("lq", "gt")), tmp_path)
    assert found is not None and [picture.name for picture in found.files] == ["b"]
    assert found.problems == (
        "a.png has no ground truth of the key 'a'",
        "c.png has no ground truth of the key 'c'",
    )


def test_equal_stems_of_several_folders_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    put(tmp_path, *(f"real_no_gt/{name}.jpg" for name in ("2024/may/1", "2024/june/1", "2023/1")))
    found = found_in(tmp_path, "real_no_gt")
    assert [picture.name for picture in found.files] == ["2023/1", "2024/june/1", "2024/may/1"]


def test_equal_stems_of_one_folder_are_told_apart_by_their_suffixes(tmp_path: Path) -> None:
    put(tmp_path, "real_no_gt/a.jpg", "real_no_gt/a.png", "real_no_gt/b.jpg")
    found = found_in(tmp_path, "real_no_gt")
    names = [picture.name for picture in found.files]
    assert len(names) == 3 and len(set(names)) == 3
    paths = {picture.name: picture.lq for picture in found.files}
    assert paths == {
        "a.jpg": tmp_path / "real_no_gt/a.jpg",
        "a.png": tmp_path / "real_no_gt/a.png",
        "b.jpg": tmp_path / "real_no_gt/b.jpg",
    }


def test_two_layouts_of_clean_pictures_are_looked_for_in_turn() -> None:
    layouts = folders_of_clean("A", "B/C")
    assert [(layout.lq, layout.gt) for layout in layouts] == [(None, "A/*"), (None, "B/C/*")]


def test_own_pairs_are_of_any_format_and_depth_of_folders(tmp_path: Path) -> None:
    put(tmp_path, "lq/x/1.png", "gt/x/1.jpg", "lq/2.webp", "gt/2.png", "gt/3.png")
    found = own_pairs(tmp_path / "lq", tmp_path / "gt")
    assert [(picture.name, picture.scene) for picture in found.files] == [("2", "2"), ("x/1", "x/1")]
    assert found.problems == (f"3: has no result of its stem in {tmp_path / 'lq'}",)
    assert found.record.num_pictures is None and found.is_complete is False


def test_own_pairs_leave_hidden_files_alone(tmp_path: Path) -> None:
    put(tmp_path, "lq/a.png", "gt/a.png", "lq/._a.png", "lq/.thumbs/a.png")
    found = own_pairs(tmp_path / "lq", tmp_path / "gt")
    assert [picture.name for picture in found.files] == ["a"] and not found.problems


@pytest.mark.parametrize(
    ("lq", "gt", "message"),
    [
        ("nowhere", "gt", "nothing lies at .*nowhere; give two pictures or two folders"),
        ("empty", "gt", "no pictures below .*empty; give a folder that holds some"),
        ("other", "gt", r"has its stem in .*gt, such as z\.png and a\.png; name them alike"),
        ("twice", "gt", r"a\.jpg and .*a\.png have the same stem; keep one of them"),
    ],
)
def test_own_pairs_that_cannot_be_begun_say_why(lq: str, gt: str, message: str, tmp_path: Path) -> None:
    put(tmp_path, "gt/a.png", "other/z.png", "twice/a.png", "twice/a.jpg")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=message):
        own_pairs(tmp_path / lq, tmp_path / gt)


@pytest.mark.parametrize("record", list(BENCHMARKS), ids=lambda record: record.name)
def test_the_keys_of_every_layout_have_one_group_at_least_and_globs_stay_below_the_root(
    record: BenchmarkRecord,
) -> None:
    for layout in record.layouts:
        assert layout.lq is not None or layout.gt is not None
        for pattern, key in ((layout.lq, layout.lq_key), (layout.gt, layout.gt_key)):
            assert re.compile(key).groups >= 1
            assert pattern is None or not (pattern.startswith("/") or ".." in pattern.split("/"))
        if layout.lq is not None and layout.gt is not None:
            assert re.compile(layout.lq_key).groups == re.compile(layout.gt_key).groups


def test_sets_have_the_counts_that_papers_print() -> None:
    counts = {record.name: record.num_pictures for record in BENCHMARKS}
    assert (
        counts
        | {
            "bsd68": 68,
            "kodak24": 24,
            "mcmaster": 18,
            "urban100": 100,
            "rain100l": 100,
            "sots_outdoor": 500,
            "gopro": 1111,
            "lol_v1": 15,
            "raindrop_a": 58,
            "raindrop_b": 249,
            "snow100k_s": 16611,
            "snow100k_l": 16801,
            "realblur_j": 980,
            "uieb": 90,
            "uwcnn": 110,
        }
        == counts
    )
