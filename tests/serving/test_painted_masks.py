import base64
import io

import numpy as np
import pytest
from PIL import Image

from ldrestore.errors import InputError
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
