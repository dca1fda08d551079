import base64
import io

import numpy as np
import pytest
from PIL import Image

from ldrestore.errors import ImageFileError, InputError
from ldrestore.images.files import read_photo
from ldrestore.serving.painted_masks import write_mask


def painted(pixels):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"


def test_a_mask_is_enlarged_to_the_upright_picture(picture, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    source = tmp_path / "a.jpg"
    Image.new("RGB", (400, 200)).save(source, exif=exif)
    half = np.zeros((40, 20, 3), np.uint8)
    half[:20] = 255
    mask = read_photo(write_mask(painted(half), source, tmp_path)).pixels
    assert mask.shape == (400, 200, 1)
    assert (mask[:190] == 255).all() and (mask[210:] == 0).all()
    assert len(np.unique(mask[190:210])) > 5  # a soft edge


def test_nothing_painted_is_no_mask(picture, tmp_path):
    source = picture(tmp_path / "a.png")
    assert write_mask(painted(np.zeros((8, 8), np.uint8)), source, tmp_path) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


@pytest.mark.parametrize(
    "text",
    [
        "data:image/svg+xml;base64,PHN2Zz4=",
        "data:image/png;base64,****",
        "data:image/png;base64,AAAA",
        "data:image/png;base64,",
        "data:image/png;base64,é",
        "data:image/png;base64,AA AA",
        None,
        b"data:image/png;base64,AAAA",
        "data:image/png;base64," + "A" * 9_000_000,
        "/etc/passwd",
        17,
    ],
)
def test_what_the_page_did_not_paint_is_refused(picture, tmp_path, text):
    source = picture(tmp_path / "a.png")
    with pytest.raises(InputError, match="clear it and paint again"):
        write_mask(text, source, tmp_path)


def test_a_mask_that_is_a_bomb_is_refused(picture, tmp_path):
    stream = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(stream, "PNG")
    bomb = f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
    with pytest.raises(InputError, match="damaged"):
        write_mask(bomb, picture(tmp_path / "a.png"), tmp_path)


def test_a_mask_of_16_bits_and_one_of_colours_count_by_their_brightness(picture, tmp_path) -> None:
    source = picture(tmp_path / "a.png", height=64, width=64)
    deep = np.zeros((64, 64), np.uint16)
    deep[:, :32] = 65_280  # of 65,535: nearly white, whose low byte is 0
    red = np.zeros((64, 64, 3), np.uint8)
    red[:, :32] = (255, 0, 0)
    for pixels, level in ((deep, 254), (red, 85)):
        mask = read_photo(write_mask(painted(pixels), source, tmp_path)).pixels[..., 0]
        assert (mask[:, :28] == level).all() and not mask[:, 36:].any()


def test_a_mask_for_what_is_no_picture_is_the_pictures_fault(tmp_path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ImageFileError, match=r"a\.png"):
        write_mask(painted(np.full((8, 8), 255, np.uint8)), tmp_path / "a.png", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_refused_mask_leaves_nothing_behind(picture, tmp_path) -> None:
    source = picture(tmp_path / "a.png")
    with pytest.raises(InputError):
        write_mask("data:image/png;base64,AAAA", source, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
