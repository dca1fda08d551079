from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ldrestore.datasets.paired import PairedDataConfig, PairedDataset
from ldrestore.degradations.recipes import list_degradations
from ldrestore.errors import ConfigError, DatasetError, ShapeError, UnknownNameError


def write(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folders(tmp_path):
    generator = np.random.default_rng(0)
    for name in ("one", "two"):
        gt = generator.integers(0, 128, (40, 50, 3), dtype=np.uint8)
        write(tmp_path / "gt" / f"{name}.png", gt)
        write(tmp_path / "lq" / f"{name}.bmp", gt + 100)
    return PairedDataConfig(lq_folder=tmp_path / "lq", gt_folder=tmp_path / "gt")


def test_pairs_match_by_stem_and_whole_pictures_come_back(folders):
    data = PairedDataset(folders, patch_size=None, seed=0)
    assert len(data) == 2
    assert [data[index]["name"] for index in range(2)] == ["one", "two"]
    item = data[1]
    assert item["lq"].shape == (3, 40, 50)
    torch.testing.assert_close(item["lq"] - item["gt"], torch.full((3, 40, 50), 100 / 255))


def test_patches_are_cut_and_turned_alike(folders):
    data = PairedDataset(folders, patch_size=16, seed=0)
    for epoch in range(8):
        item = data[(epoch, 0)]
        torch.testing.assert_close(item["lq"] - item["gt"], torch.full((3, 16, 16), 100 / 255))
    assert torch.equal(data[(4, 0)]["lq"], data[(4, 0)]["lq"])
    assert not torch.equal(data[(4, 0)]["lq"], data[(5, 0)]["lq"])


def test_a_missing_partner_is_named(folders):
    (folders.lq_folder / "one.bmp").unlink()
    with pytest.raises(ConfigError, match=r"1 pictures have no partner.*one"):
        PairedDataset(folders, patch_size=16, seed=0)


def test_a_stem_twice_in_a_folder_is_refused(folders):
    write(folders.lq_folder / "one.png", np.zeros((40, 50, 3), np.uint8))
    with pytest.raises(ConfigError, match="same stem"):
        PairedDataset(folders, patch_size=16, seed=0)


def test_pairs_of_different_sizes_and_small_pictures_are_refused(folders):
    with pytest.raises(ShapeError, match="cannot cut 64x64 out of 40x50"):
        PairedDataset(folders, patch_size=64, seed=0)[0]
    write(folders.lq_folder / "one.bmp", np.zeros((40, 51, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"one.bmp is 51x40, .*one.png 50x40; .*take them out of their folders"):
        PairedDataset(folders, patch_size=16, seed=0)


def test_a_pair_that_changes_after_the_first_look_is_refused_too(folders):
    data = PairedDataset(folders, patch_size=16, seed=0)
    write(folders.gt_folder / "one.png", np.zeros((40, 51, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"one.bmp is 50x40, .*one.png 51x40"):
        data[0]


def test_sizes_are_compared_upright(folders):
    turned = Image.fromarray(np.zeros((50, 40, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(folders.gt_folder / "one.png", exif=exif)
    assert PairedDataset(folders, patch_size=16, seed=0)[0]["gt"].shape == (3, 16, 16)


@pytest.fixture
def hazy(tmp_path):
    """Three hazy pictures of one clean scene, one of another, and a clean scene that nobody needs."""
    flat = np.zeros((20, 20, 3), dtype=np.uint8)
    for level, name in enumerate(("7_0.8_0.1", "7_0.9_0.2", "7_1_0.3")):
        write(tmp_path / "hazy" / f"{name}.png", flat + 40 + level)
    write(tmp_path / "hazy/12_1_0.3.png", flat + 90)
    for number in (7, 12, 99):
        write(tmp_path / "clear" / f"{number}.png", flat + number)
    return {"lq_folder": tmp_path / "hazy", "gt_folder": tmp_path / "clear"}


def test_many_degraded_pictures_share_a_clean_one(hazy):
    config = PairedDataConfig(**hazy, key_pattern=r"^(\d+)", degradations=("haze",))
    data = PairedDataset(config, patch_size=None, seed=0)
    keys = {data[index]["name"]: round(float(data[index]["gt"].max() * 255)) for index in range(len(data))}
    assert keys == {"12_1_0.3": 12, "7_0.8_0.1": 7, "7_0.9_0.2": 7, "7_1_0.3": 7}
    labels = data[0]["degradations"]
    assert labels.sum() == 1 and labels[list_degradations().index("haze")] == 1
    assert data.source_path(0) == hazy["lq_folder"] / "12_1_0.3.png"


def test_patterns_that_pair_nothing_are_refused(hazy):
    with pytest.raises(ConfigError, match=r"key_pattern '\(' is no regular expression"):
        PairedDataConfig(**hazy, key_pattern="(")
    with pytest.raises(ConfigError, match="needs one group in parentheses, got 0"):
        PairedDataConfig(**hazy, key_pattern="7")
    with pytest.raises(ConfigError, match=r"finds nothing in the name of .*12\.png"):
        PairedDataset(PairedDataConfig(**hazy, key_pattern="^(7)"), patch_size=None, seed=0)
    for empty in (r"([a-z]*)", r"^\d+(x)?"):  # it matches every name, and would pair all with one
        with pytest.raises(ConfigError, match=r"finds nothing in the name of .*12\.png"):
            PairedDataset(PairedDataConfig(**hazy, key_pattern=empty), patch_size=None, seed=0)
    write(hazy["gt_folder"] / "9.png", np.zeros((20, 20, 3), dtype=np.uint8))
    with pytest.raises(ConfigError, match="have the same key '9'; make key_pattern more exact"):
        PairedDataset(PairedDataConfig(**hazy, key_pattern=r"^(\d)"), patch_size=None, seed=0)
    (hazy["gt_folder"] / "12.png").unlink()
    with pytest.raises(ConfigError, match=r"1 pictures of .*hazy have no partner in .*clear: 12_1_0\.3"):
        PairedDataset(PairedDataConfig(**hazy, key_pattern=r"^(\d+)"), patch_size=None, seed=0)


def test_a_degradation_that_nobody_knows_is_refused(hazy):
    with pytest.raises(UnknownNameError, match="did you mean 'haze'"):
        PairedDataConfig(**hazy, degradations=("hazee",))


LAYOUTS = {
    "Rain100L": (r"(\d+)$", {"rain-001": "norain-001", "rain-012": "norain-012"}),
    "CC15": (
        r"^(.+)_(?:real|mean)$",
        {"d800_iso1600_1_real": "d800_iso1600_1_mean", "5dmark3_2_real": "5dmark3_2_mean"},
    ),
    "Raindrop": (r"^(\d+)_", {"0_rain": "0_clean", "10_rain": "10_clean", "1_rain": "1_clean"}),
    "SOTS outdoor": (r"^(\d+)", {"0001_0.8_0.2": "0001", "0010_0.95_0.16": "0010"}),
    "SOTS indoor": (r"^(\d+)", {"1400_1": "1400", "1400_10": "1400", "1401_3": "1401"}),
    "GoPro": (
        None,
        {"GOPR0384_11_00/000001": "GOPR0384_11_00/000001", "GOPR0410_11_00/000001": "GOPR0410_11_00/000001"},
    ),
}
"""Official names of pictures: how they are paired, and degraded stem to clean stem."""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_pictures_of_official_layouts_find_their_partners(tmp_path: Path, layout: str) -> None:
    pattern, pairs = LAYOUTS[layout]
    numbers = {stem: number for number, stem in enumerate(sorted(set(pairs.values())))}
    for lq, gt in pairs.items():
        write(tmp_path / "lq" / f"{lq}.png", np.full((8, 8, 3), 100 + numbers[gt], np.uint8))
        write(tmp_path / "gt" / f"{gt}.JPG", np.full((8, 8, 3), numbers[gt], np.uint8))
    config = PairedDataConfig(lq_folder=tmp_path / "lq", gt_folder=tmp_path / "gt", key_pattern=pattern)
    data = PairedDataset(config, patch_size=None, seed=0)
    items = [data[index] for index in range(len(data))]
    assert [item["name"] for item in items] == sorted(pairs)
    for item in items:
        assert round(float(item["lq"].mean() * 255)) - 100 == round(float(item["gt"].mean() * 255))


def test_hidden_files_of_either_folder_need_no_partner(folders: PairedDataConfig) -> None:
    for path in (
        folders.lq_folder / "._one.bmp",
        folders.gt_folder / ".cache/one.png",
        folders.lq_folder / ".three.png",
    ):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no picture")
    (folders.gt_folder / "Thumbs.db").write_bytes(b"no picture")
    assert PairedDataset(folders, patch_size=16, seed=0).stems == ["one", "two"]


def test_sizes_are_read_from_headers_without_decoding_a_pixel(
    folders: PairedDataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_pixels(path: Path) -> np.ndarray:
        raise AssertionError(f"{path} was decoded")

    monkeypatch.setattr("ldrestore.datasets.paired.read_rgb", read_pixels)
    assert len(PairedDataset(folders, patch_size=16, seed=0)) == 2


def test_the_first_unequal_pair_of_many_is_named(folders: PairedDataConfig) -> None:
    for name in ("three", "zero"):
        write(folders.lq_folder / f"{name}.png", np.zeros((40, 50, 3), np.uint8))
        write(folders.gt_folder / f"{name}.png", np.zeros((50, 40, 3), np.uint8))
    message = r"three\.png is 50x40, .*three\.png 40x50; the pictures of a pair must have one size: cut both alike"
    with pytest.raises(DatasetError, match=message):
        PairedDataset(folders, patch_size=16, seed=0)


@pytest.mark.parametrize("part", ["lq_folder", "gt_folder"])
def test_an_unreadable_picture_of_either_folder_is_named_before_the_first_item(
    folders: PairedDataConfig, part: str
) -> None:
    path = next(path for path in sorted(getattr(folders, part).iterdir()) if path.stem == "two")
    path.write_bytes(b"")
    with pytest.raises(DatasetError, match=rf"{path.name}: the file is empty"):
        PairedDataset(folders, patch_size=16, seed=0)


def test_lonely_pictures_are_counted_and_the_first_five_named(folders: PairedDataConfig) -> None:
    for number in range(7):
        write(folders.gt_folder / f"x{number}.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ConfigError, match=r"7 pictures have no partner .*: x0, x1, x2, x3, x4$"):
        PairedDataset(folders, patch_size=16, seed=0)


def test_every_corner_of_a_pair_is_cut_and_every_turn_made(folders: PairedDataConfig) -> None:
    """From a picture that says where each pixel lies."""
    rows, columns = np.mgrid[:40, :50].astype(np.uint8)
    for path in (folders.lq_folder / "one.bmp", folders.gt_folder / "one.png"):
        write(path, np.dstack([rows, columns, rows]))
    data = PairedDataset(folders, patch_size=38, seed=1)
    places, turns = set(), set()
    for epoch in range(150):
        item = data[(epoch, 0)]
        assert torch.equal(item["lq"], item["gt"])
        values = (item["gt"] * 255).round().int()
        places.add((int(values[0].min()), int(values[1].min())))
        upper_corners = values[:2, 0, (0, -1)] - values[:2].amin(dim=(1, 2))[:, None]  # each with its row and column
        turns.add(tuple(upper_corners.flatten().tolist()))
    assert {row for row, _ in places} == {0, 1, 2} and {column for _, column in places} == set(range(13))
    assert len(turns) == 8
