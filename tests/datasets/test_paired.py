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
