import numpy as np
import pytest
from picture_pairs import centre_of, degraded, list_paths, psnr, real_pairs, synthetic_pairs

from ldrestore.images.inputs import to_photo


def test_psnr_of_known_errors():
    gt = np.full((4, 4, 3), 100, np.uint8)
    assert psnr(gt, gt) == 100.0
    assert psnr(gt + 1, gt) == pytest.approx(48.1308, abs=1e-3)
    assert psnr(np.zeros_like(gt), np.full_like(gt, 255)) == 0.0


def test_noise_depends_on_name_and_recipe_alone(scene):
    noisy = degraded(scene, "gaussian_noise(sigma_255=25)", "a.png")
    assert np.array_equal(noisy, degraded(scene, "gaussian_noise(sigma_255=25)", "a.png"))
    assert not np.array_equal(noisy, degraded(scene, "gaussian_noise(sigma_255=25)", "b.png"))
    assert noisy.dtype == np.uint8


def test_pairs_come_by_name_and_clean_ones_are_equal(folder):
    (folder / "notes.txt").write_text("no picture")
    paths = list_paths(folder)
    assert [path.name for path in paths] == ["a.png", "b.png", "c.png"]
    for pair in synthetic_pairs(paths, "clean"):
        assert np.array_equal(pair.lq, pair.gt)
    assert [pair.name for pair in synthetic_pairs(paths[:2], "jpeg")] == ["a.png", "b.png"]


def test_real_pairs_keep_their_pixels_and_match_by_stem(tmp_path, scene):
    for part, shift in (("lq", 3), ("gt", 0)):
        (tmp_path / part).mkdir()
        for name in ("2", "1"):
            to_photo(scene // int(name) + np.uint8(shift)).save(tmp_path / part / f"{name}.png")
    pairs = list(real_pairs(tmp_path))
    assert [pair.name for pair in pairs] == ["1", "2"]
    assert np.array_equal(pairs[1].gt, scene // 2)
    assert np.array_equal(pairs[1].lq, scene // 2 + 3)
    assert [pair.name for pair in real_pairs(tmp_path, limit=1)] == ["1"]


def test_the_centre_is_cut_where_there_is_more(scene):
    assert np.array_equal(centre_of(scene, 32), scene[20:52, 32:64])
    assert centre_of(scene, 80).shape == (72, 80, 3)
    assert np.array_equal(centre_of(scene, 500), scene)
