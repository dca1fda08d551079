import itertools
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest

from ldrestore.datasets.compared_pairs import centre_of, degraded, file_pairs, synthetic_pairs
from ldrestore.datasets.paired import PairedDataConfig
from ldrestore.datasets.pictures import list_pictures
from ldrestore.datasets.seeds import item_generator, pair_generator
from ldrestore.degradations.recipes import apply_recipe, parse_recipe
from ldrestore.errors import DatasetError, UnknownNameError
from ldrestore.evaluation.cases import cases_of_suite
from ldrestore.evaluation.suites import SuiteConfig, SuiteDataset
from ldrestore.images.inputs import to_photo
from ldrestore.training.losses.validation import ValidationConfig, create_pairs


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


RECIPES = ("rain+jpeg", "low_light", "mid6/snow_noise_blur", "clean")


@pytest.mark.parametrize("recipe", RECIPES)
def test_neither_order_nor_company_nor_folder_changes_a_pair(folder: Path, tmp_path: Path, recipe: str) -> None:
    paths = list_pictures([folder])
    first = {pair.name: pair.lq for pair in synthetic_pairs(paths, recipe)}
    shutil.copytree(folder, tmp_path / "elsewhere" / "deep")
    moved = [tmp_path / "elsewhere" / "deep" / path.name for path in reversed(paths)]
    for group in (moved, moved[:1], paths[1:]):
        for pair in synthetic_pairs(group, recipe):
            assert np.array_equal(pair.lq, first[pair.name])


@pytest.mark.parametrize("recipe", RECIPES)
def test_validation_measurement_and_figure_have_one_pair(folder: Path, tmp_path: Path, recipe: str) -> None:
    (tmp_path / "root").mkdir()
    shutil.copytree(folder, tmp_path / "root" / "Kodak24")
    suite = SuiteConfig(
        name="one",
        summary="",
        datasets=(SuiteDataset(name="one", set="kodak24", recipe=recipe, severity=0.4, crop=32),),
    )
    measured = [case.pictures() for case in cases_of_suite(suite, data_root=tmp_path / "root").cases]
    validated = create_pairs(ValidationConfig(folder=folder, recipes=(recipe,), severity=0.4, crop_size=32))
    figures = list(synthetic_pairs(list_pictures([folder]), recipe, crop=32, severity=0.4))
    assert len(measured) == len(validated) == len(figures) == 3
    for case, pair, figure in zip(measured, validated, figures, strict=True):
        assert case.gt is not None
        assert np.array_equal(case.lq.pixels, figure.lq) and np.array_equal(case.gt.pixels, figure.gt)
        assert np.array_equal(pair.lq.permute(1, 2, 0), figure.lq)
        assert np.array_equal(pair.gt.permute(1, 2, 0), figure.gt)


def test_the_degraded_picture_is_that_of_the_recipe_rounded_to_8_bits(scene: np.ndarray) -> None:
    lq = degraded(scene, "rain+low_light", "a.png", severity=0.3)
    exact = apply_recipe(
        scene.astype(np.float32) / 255,
        parse_recipe("rain+low_light"),
        severity=0.3,
        generator=pair_generator("a.png", "rain+low_light"),
    )
    assert np.abs(lq / 255 - exact).max() <= 0.5 / 255 + 1e-6


def test_what_is_written_otherwise_draws_otherwise(scene: np.ndarray) -> None:
    """The rule takes the recipe as it is written: so published figures stay, whatever else is spelled the same."""
    plain, spaced = (degraded(scene, recipe, "a.png") for recipe in ("gaussian_noise", "gaussian_noise()"))
    assert not np.array_equal(plain, spaced)
    assert plain.std() == pytest.approx(spaced.std(), rel=0.05)


@pytest.mark.parametrize("recipe", ["jpeg", "clean"])
def test_a_picture_that_breaks_is_named_and_those_before_it_came(folder: Path, recipe: str) -> None:
    data = (folder / "b.png").read_bytes()
    (folder / "b.png").write_bytes(data[: len(data) // 2])
    pairs = synthetic_pairs(list_pictures([folder]), recipe)
    assert next(pairs).name == "a.png"
    with pytest.raises(DatasetError, match=r"b\.png: .*take it out of the folder"):
        next(pairs)


def test_a_recipe_is_read_before_the_first_picture(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(UnknownNameError, match="did you mean 'rain'"):
        next(synthetic_pairs(list_pictures([folder]), "rian"))


def test_pairs_of_files_are_cut_at_the_same_place(tmp_path: Path, scene: np.ndarray) -> None:
    for part, shift in (("lq", 9), ("gt", 0)):
        (tmp_path / part).mkdir()
        to_photo(scene + np.uint8(shift)).save(tmp_path / part / "x.png")
    (pair,) = file_pairs(PairedDataConfig(lq_folder=tmp_path / "lq", gt_folder=tmp_path / "gt"), crop=24)
    assert np.array_equal(pair.gt, centre_of(scene, 24)) and np.array_equal(pair.lq, pair.gt + 9)


@pytest.mark.parametrize(("shape", "side"), [((5, 9), 4), ((6, 8), 3), ((1, 1), 1), ((3, 40), 8), ((40, 3), 8)])
def test_what_is_cut_away_lies_evenly_around_the_centre(shape: tuple[int, int], side: int) -> None:
    picture = np.dstack([*np.mgrid[: shape[0], : shape[1]], np.zeros(shape, int)]).astype(np.uint8)
    cut = centre_of(picture, side)
    assert cut.shape[:2] == (min(side, shape[0]), min(side, shape[1])) and cut.flags.c_contiguous
    for axis in (0, 1):
        before, after = int(cut[..., axis].min()), shape[axis] - 1 - int(cut[..., axis].max())
        assert after - before in (0, 1)


@pytest.mark.parametrize("other", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 10), (0, 11, 0)])
def test_items_draw_from_seed_epoch_and_index_each(other: tuple[int, int, int]) -> None:
    def drawn(seed: int, epoch: int, index: int) -> list[float]:
        return item_generator(seed, (epoch, index)).random(4).tolist()

    assert drawn(*other) != drawn(0, 0, 0)
    assert len({tuple(drawn(*numbers)) for numbers in itertools.permutations((1, 2, 12))}) == 6


def test_draws_of_training_stay_those_of_older_runs() -> None:
    """A run that goes on with a later version sees the pictures that it would have seen."""
    for key in (0, (0, 0)):
        assert item_generator(0, key).integers(1000, size=4).tolist() == [60, 198, 38, 43]
