import zlib

import numpy as np

from ldrestore.datasets.compared_pairs import centre_of, degraded, file_pairs, synthetic_pairs
from ldrestore.datasets.paired import PairedDataConfig
from ldrestore.datasets.pictures import list_pictures
from ldrestore.datasets.seeds import pair_generator
from ldrestore.images.inputs import to_photo


def test_noise_depends_on_name_and_recipe_alone(scene):
    noisy = degraded(scene, "gaussian_noise(sigma_255=25)", "a.png")
    assert np.array_equal(noisy, degraded(scene, "gaussian_noise(sigma_255=25)", "a.png"))
    assert not np.array_equal(noisy, degraded(scene, "gaussian_noise(sigma_255=25)", "b.png"))
    assert noisy.dtype == np.uint8


def test_pairs_come_by_name_and_clean_ones_are_equal(folder):
    (folder / "notes.txt").write_text("no picture")
    paths = list_pictures([folder])
    assert [path.name for path in paths] == ["a.png", "b.png", "c.png"]
    for pair in synthetic_pairs(paths, "clean"):
        assert np.array_equal(pair.lq, pair.gt)
    assert [pair.name for pair in synthetic_pairs(paths[:2], "jpeg")] == ["a.png", "b.png"]


def test_real_pairs_keep_their_pixels_and_match_by_stem(tmp_path, scene):
    for part, shift in (("lq", 3), ("gt", 0)):
        (tmp_path / part).mkdir()
        for name in ("2", "1"):
            to_photo(scene // int(name) + np.uint8(shift)).save(tmp_path / part / f"{name}.png")
    folders = PairedDataConfig(lq_folder=tmp_path / "lq", gt_folder=tmp_path / "gt")
    pairs = list(file_pairs(folders))
    assert [pair.name for pair in pairs] == ["1", "2"]
    assert np.array_equal(pairs[1].gt, scene // 2)
    assert np.array_equal(pairs[1].lq, scene // 2 + 3)
    assert [pair.name for pair in file_pairs(folders, limit=1)] == ["1"]


def test_the_centre_is_cut_where_there_is_more(scene):
    assert np.array_equal(centre_of(scene, 32), scene[20:52, 32:64])
    assert centre_of(scene, 80).shape == (72, 80, 3)
    assert np.array_equal(centre_of(scene, 500), scene)


def test_the_rule_of_seeds_is_that_of_all_published_figures():
    drawn = pair_generator("kodim01.png", "haze").random(3)
    assert np.array_equal(drawn, np.random.default_rng(zlib.crc32(b"kodim01.png/haze")).random(3))
    assert not np.array_equal(drawn, pair_generator("kodim01.png", "haze", seed=1).random(3))


def test_another_seed_draws_another_pair(scene):
    recipe = "gaussian_noise(sigma_255=25)"
    assert not np.array_equal(degraded(scene, recipe, "a.png"), degraded(scene, recipe, "a.png", seed=1))


def test_severity_is_that_of_steps_without_their_own(scene):
    mild, strong = (degraded(scene, "haze", "a.png", severity=severity) for severity in (0.2, 0.8))
    assert strong.std() < mild.std()
    spelled = [degraded(scene, "haze(severity=0.3)", "a.png", severity=severity) for severity in (0.2, 0.8)]
    assert np.array_equal(*spelled)


def test_a_crop_is_cut_before_it_is_degraded(folder, scene):
    pair = next(synthetic_pairs([folder / "a.png"], "gaussian_noise(sigma_255=25)", crop=32))
    assert np.array_equal(pair.gt, scene[4:36, 8:40])
    assert np.array_equal(pair.lq, degraded(scene[4:36, 8:40], "gaussian_noise(sigma_255=25)", "a.png"))
