import itertools

import numpy as np
import pytest
from PIL import Image

from ldrestore.errors import ShapeError
from ldrestore.images.changes import COLOUR_SCALE, MIN_WIDTH, changes_of, is_changes_file, write_changes
from ldrestore.images.photo import Photo


def grey(values, kind=np.uint8):
    return Photo(pixels=np.asarray(values, kind)[..., None])


def test_each_step_of_the_scale_is_twice_the_last_and_brighter():
    levels = [level for level, _ in COLOUR_SCALE]
    assert levels[:3] == [0, 1, 2] and all(after == 2 * before for before, after in itertools.pairwise(levels[1:]))
    luma = [np.dot(colour, (0.2126, 0.7152, 0.0722)) for _, colour in COLOUR_SCALE]
    assert all(after > before + 10 for before, after in itertools.pairwise(luma))


@pytest.mark.parametrize(("level", "colour"), [*COLOUR_SCALE, (200, COLOUR_SCALE[-1][1])])
def test_a_change_has_the_colour_of_its_level(level, colour):
    found = changes_of(grey([[level, 0]]), grey([[0, 0]])).map()
    assert found[0].tolist() == [list(colour), [0, 0, 0]]


def test_the_most_changed_channel_counts():
    before = Photo(pixels=np.full((2, 2, 3), 100, np.uint8))
    after = before.pixels.copy()
    after[0, 0] = (100, 92, 103)
    changes = changes_of(before.replace(pixels=after, alpha=None), before)
    assert changes.levels.tolist() == [[8, 0], [0, 0]]
    assert (changes.largest, changes.mean, changes.noticed) == (8, 2, 0.25)
    assert changes.summary == "25% of the pixels changed by more than 2 levels; mean 2.0, most 8"


@pytest.mark.parametrize(("kind", "step"), [(np.uint16, 257 * 4), (np.float32, 4 / 255)])
def test_deeper_pictures_are_told_in_levels_of_255(kind, step):
    assert changes_of(grey([[step, 0]], kind), grey([[0, 0]], kind)).levels[0] == pytest.approx([4, 0], abs=1e-4)


def test_an_enlarged_result_is_held_against_the_enlarged_input():
    before = grey(np.full((4, 6), 50))
    assert not changes_of(grey(np.full((8, 12), 50)), before).levels.any()
    with pytest.raises(ShapeError, match="12x9 cannot be held against an original of 6x4"):
        changes_of(grey(np.zeros((9, 12))), before)


def test_a_large_map_is_reduced_by_means(monkeypatch):
    monkeypatch.setattr("ldrestore.images.changes.LARGEST_MAP", 2)
    changes = changes_of(grey([[4, 0, 0, 0], [0, 0, 0, 8]]), grey(np.zeros((2, 4))))
    assert changes.levels.tolist() == [[1, 2]] and changes.largest == 8


def test_the_written_map_has_its_scale_and_is_known_again(tmp_path):
    changes = changes_of(grey(np.full((30, 20), 9)), grey(np.zeros((30, 20))))
    write_changes(changes, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        assert image.width == MIN_WIDTH and image.height > 30
        middle = image.getpixel((MIN_WIDTH // 2, 10))
    assert middle == tuple(changes.map()[0, 0].tolist())
    assert is_changes_file(tmp_path / "x.png")
    Image.new("RGB", (3, 3)).save(tmp_path / "y.png")
    assert not is_changes_file(tmp_path / "y.png") and not is_changes_file(tmp_path / "z.png")
