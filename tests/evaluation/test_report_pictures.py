import base64
import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from ldrestore.errors import ImageWriteError
from ldrestore.evaluation.report_pictures import BESIDE_FOLDER, _is_plain_png, gather_pictures, shown_key
from ldrestore.evaluation.stored_files import store_photo
from ldrestore.images.files import read_photo
from ldrestore.images.inputs import to_photo
from ldrestore.images.photo import Photo
from tests.tiny_results import tiny_results


@pytest.fixture
def results(tmp_path):
    return tiny_results(tmp_path, num_pictures=2, sigmas=(10, 40))


def pixels_of(address):
    head, _, text = address.partition(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def with_picture(results, **changes):
    return dataclasses.replace(results, pictures=(dataclasses.replace(results.pictures[0], **changes),), outputs=())


def test_every_picture_is_inside_once_with_its_pixels(results, tmp_path):
    addresses = gather_pictures(results, tmp_path)
    keys = {shown_key(row.sha256) for row in results.outputs}
    keys |= {shown_key(digest) for row in results.pictures for digest in (row.lq_sha256, row.gt_sha256)}
    assert addresses.keys() == keys
    for row in results.outputs:
        assert np.array_equal(pixels_of(addresses[shown_key(row.sha256)]), read_photo(tmp_path / row.path).pixels)
    assert not (tmp_path / BESIDE_FOLDER).exists()


def test_what_does_not_fit_lies_beside_and_some_of_each_dataset_is_inside(results, tmp_path):
    whole = gather_pictures(results, tmp_path)
    sizes = {key: len(base64.b64decode(address.partition(",")[2])) for key, address in whole.items()}
    cap = sum(sizes.values()) // 2
    addresses = gather_pictures(results, tmp_path, max_embedded=cap)
    inside = {key for key, address in addresses.items() if address.startswith("data:")}
    assert 0 < sum(sizes[key] for key in inside) <= cap
    assert {row.dataset for row in results.pictures if shown_key(row.lq_sha256) in inside} == {"noise_10", "noise_40"}
    beside = {address for address in addresses.values() if not address.startswith("data:")}
    assert {f"{BESIDE_FOLDER}/{path.name}" for path in (tmp_path / BESIDE_FOLDER).iterdir()} == beside
    for key, address in addresses.items():
        if key not in inside:
            assert np.array_equal(np.asarray(Image.open(tmp_path / address)), pixels_of(whole[key]))


def test_a_smaller_report_leaves_nothing_of_the_larger_one_and_no_other_file_is_touched(results, tmp_path):
    gather_pictures(results, tmp_path, max_embedded=0)
    mine = tmp_path / BESIDE_FOLDER / "mine.png"
    mine.write_bytes(b"a user's own")
    gather_pictures(results, tmp_path)
    assert [path.name for path in (tmp_path / BESIDE_FOLDER).iterdir()] == ["mine.png"]
    mine.unlink()
    gather_pictures(results, tmp_path)
    assert not (tmp_path / BESIDE_FOLDER).exists()


def test_sixteen_bits_are_shown_with_eight(results, tmp_path):
    deep = np.arange(64 * 80 * 3, dtype=np.uint16).reshape(64, 80, 3) * 4
    store_photo(to_photo(deep), tmp_path / "deep.png")
    (address,) = gather_pictures(with_picture(results, lq="deep.png", gt=None, gt_sha256=None), tmp_path).values()
    assert np.array_equal(pixels_of(address), np.rint(deep / 257).astype(np.uint8))


def test_a_file_that_browsers_show_otherwise_is_shown_as_we_read_it(results, tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    rng = np.random.default_rng(0).integers(0, 255, (16, 24, 3), dtype=np.uint8)
    Image.fromarray(rng).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    (address,) = gather_pictures(with_picture(results, lq="turned.jpg", gt=None, gt_sha256=None), tmp_path).values()
    assert np.array_equal(pixels_of(address), read_photo(tmp_path / "turned.jpg").pixels)


def test_pictures_below_the_data_root_need_it(results, tmp_path):
    data = tmp_path / "data"
    store_photo(to_photo(np.zeros((8, 8, 3), np.uint8)), data / "set" / "black.png")
    row = with_picture(results, lq="data:set/black.png", gt=None, gt_sha256=None)
    assert gather_pictures(row, tmp_path) == {}
    assert len(gather_pictures(row, tmp_path, data_root=data)) == 1


def test_missing_and_broken_pictures_are_left_out(results, tmp_path):
    (tmp_path / results.outputs[0].path).unlink()
    (tmp_path / results.outputs[1].path).write_bytes(b"not a picture")
    addresses = gather_pictures(results, tmp_path)
    assert shown_key(results.outputs[1].sha256) not in addresses
    assert shown_key(results.outputs[2].sha256) in addresses


def test_a_folder_that_cannot_be_written_is_named(results, tmp_path):
    (tmp_path / BESIDE_FOLDER).write_text("in the way")
    with pytest.raises(ImageWriteError, match=f"{BESIDE_FOLDER}.*that no file has the folder's name"):
        gather_pictures(results, tmp_path, max_embedded=0)


@pytest.mark.parametrize(("mode", "is_plain"), [("L", True), ("RGB", True), ("RGBA", True), ("LA", False)])
def test_stored_pictures_are_told_by_their_header_alone(tmp_path, mode, is_plain):
    path = tmp_path / "a.png"
    Image.new(mode, (4, 3)).save(path)
    assert _is_plain_png(path) is is_plain
    store_photo(Photo(pixels=np.zeros((3, 4, 3), np.uint16)), path.with_name("deep.png"))
    assert not _is_plain_png(path.with_name("deep.png"))
    path.with_name("b.png").write_bytes(b"GIF89a")
    assert not _is_plain_png(path.with_name("b.png"))
