from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ldrestore.datasets.compared_pairs import degraded
from ldrestore.errors import ConfigError, DatasetError, MissingSetError, ShapeError
from ldrestore.evaluation.benchmark_files import own_pairs
from ldrestore.evaluation.cases import cases_of_suite, noisy_as_papers
from ldrestore.evaluation.suites import SuiteConfig, SuiteDataset, load_suite
from ldrestore.images.files import read_photo
from ldrestore.images.photo import Photo


def noise_suite(*sigmas, protocol="promptir"):
    datasets = tuple(SuiteDataset(name=f"s{sigma}", set="bsd68", noise_sigma_255=sigma) for sigma in sigmas)
    return SuiteConfig(name="noise", summary="", protocol=protocol, datasets=datasets)


def test_papers_noise_goes_on_from_picture_to_picture_and_from_sigma_to_sigma(tmp_path, write):
    for name, size in (("a", (32, 32)), ("b", (20, 33))):
        write(tmp_path / "CBSD68" / f"{name}.png", size=size)
    found = cases_of_suite(noise_suite(15, 25), data_root=tmp_path)
    state = np.random.RandomState(0)
    for case in found.cases:
        pictures = case.pictures()
        clean = pictures.gt.pixels
        assert clean.shape[0] % 16 == clean.shape[1] % 16 == 0
        expected = np.clip(clean + case.sigma_255 * state.randn(*clean.shape), 0, 255).astype(np.uint8)
        assert np.array_equal(pictures.lq.pixels, expected.astype(np.uint16) * 257)
    assert [case.sigma_255 for case in found.cases] == [15, 15, 25, 25]


def test_noise_is_truncated_and_clipped():
    noisy = noisy_as_papers(np.full((16, 16, 3), 250, np.uint8), 25)
    raw = 250 + 25 * np.random.RandomState(0).standard_normal((16, 16, 3))
    assert np.array_equal(noisy, np.floor(np.clip(raw, 0, 255)))


def test_strengths_of_one_picture_are_one_cluster(tmp_path, write):
    write(tmp_path / "CBSD68" / "a.png")
    found = cases_of_suite(noise_suite(15, 50, protocol="uint8"), data_root=tmp_path)
    assert len({case.cluster for case in found.cases}) == 1
    assert {case.task for case in found.cases} == {"gaussian_noise"}


def test_pairs_of_files_come_as_they_are(tmp_path, write):
    write(tmp_path / "LOL/eval15/low/1.png", shift=5)
    write(tmp_path / "LOL/eval15/high/1.png")
    suite = SuiteConfig(name="x", summary="", datasets=(SuiteDataset(name="lol", set="lol_v1"),))
    (case,) = cases_of_suite(suite, data_root=tmp_path).cases
    pictures = case.pictures()
    assert np.array_equal(pictures.lq.pixels, read_photo(tmp_path / "LOL/eval15/low/1.png").pixels)
    assert case.task == "low_light" and case.sigma_255 is None


def test_missing_sets_are_noted_where_the_suite_allows_it(tmp_path, write):
    write(tmp_path / "LOL/eval15/low/1.png")
    write(tmp_path / "LOL/eval15/high/1.png")
    datasets = (SuiteDataset(name="lol", set="lol_v1"), SuiteDataset(name="gopro", set="gopro"))
    suite = SuiteConfig(name="x", summary="", datasets=datasets, has_optional_sets=True)
    found = cases_of_suite(suite, data_root=tmp_path)
    assert [case.dataset for case in found.cases] == ["lol"]
    assert any(note.startswith("gopro is left out") for note in found.notes)
    assert any("1 of the 15 pictures" in note for note in found.notes)
    with pytest.raises(MissingSetError, match="nowhere is no folder; name the folder that holds them"):
        cases_of_suite(suite, data_root=tmp_path / "nowhere")


def test_all_missing_sets_of_a_suite_are_named_at_once(tmp_path, write):
    write(tmp_path / "LOL/eval15/low/1.png")
    write(tmp_path / "LOL/eval15/high/1.png")
    with pytest.raises(MissingSetError, match="nothing of these lies below") as caught:
        cases_of_suite(load_suite("aio5"), data_root=tmp_path)
    text = str(caught.value)
    assert "rain100l (Rain100L) at Rain100L/" in text and "gopro (GoPro, test) at GoPro/test/" in text
    assert "lol_v1" not in text


def test_a_picture_below_the_multiple_is_an_error(tmp_path, write):
    write(tmp_path / "CBSD68" / "a.png", size=(12, 40))
    (case,) = cases_of_suite(noise_suite(15), data_root=tmp_path).cases
    with pytest.raises(DatasetError, match="smaller than the multiple 16"):
        case.pictures()


def test_every_third_picture_is_taken_and_of_those_the_first_few(tmp_path, write):
    for name in "abcdefg":
        write(tmp_path / "CBSD68" / f"{name}.png")
    taken = SuiteConfig(name="x", summary="", datasets=(SuiteDataset(name="x", set="bsd68", recipe="rain", every=3),))
    assert [case.name for case in cases_of_suite(taken, data_root=tmp_path).cases] == ["a", "d", "g"]
    assert [case.name for case in cases_of_suite(taken, data_root=tmp_path, limit=2).cases] == ["a", "d"]


def one_of(**facts: Any) -> SuiteConfig:
    protocol = facts.pop("protocol", "uint8")
    return SuiteConfig(name="x", summary="", protocol=protocol, datasets=(SuiteDataset(name="one", **facts),))


@pytest.mark.parametrize("facts", [{"recipe": "rain"}, {"noise_sigma_255": 25.0}])
def test_what_has_no_clean_pictures_is_not_degraded(tmp_path: Path, write: Any, facts: dict[str, Any]) -> None:
    write(tmp_path / "real_no_gt" / "a.png")
    with pytest.raises(
        ConfigError, match="one: real photographs without ground truth has no clean pictures that could"
    ):
        cases_of_suite(one_of(set="real_no_gt", **facts), data_root=tmp_path)


def test_the_clean_side_of_pairs_is_degraded_where_the_suite_says_so(tmp_path: Path, write: Any) -> None:
    write(tmp_path / "LOL/eval15/low/1.png", shift=30)
    clean = read_photo(write(tmp_path / "LOL/eval15/high/1.png")).pixels
    (case,) = cases_of_suite(one_of(set="lol_v1", recipe="gaussian_noise(sigma_255=15)"), data_root=tmp_path).cases
    pictures = case.pictures()
    assert pictures.gt is not None and np.array_equal(pictures.gt.pixels, clean)
    assert np.array_equal(pictures.lq.pixels, degraded(clean, "gaussian_noise(sigma_255=15)", "1.png"))
    assert (case.task, case.sigma_255) == ("gaussian_noise", 15)


@pytest.mark.parametrize(
    ("recipe", "task", "sigma"),
    [
        ("gaussian_noise(sigma_255=15)", "gaussian_noise", 15),
        ("gaussian_noise", "gaussian_noise", None),
        ("rain", "rain", None),
        ("rain+gaussian_noise(sigma_255=15)", "rain+gaussian_noise(sigma_255=15)", None),
        ("clean", "clean", None),
    ],
)
def test_peers_are_told_the_noise_of_what_is_noisy_and_nothing_else(
    recipe: str, task: str, sigma: float | None
) -> None:
    case = cases_of_suite(one_of(set="builtin", recipe=recipe)).cases[0]
    assert (case.task, case.sigma_255) == (task, sigma)


def test_ones_own_pairs_are_one_more_dataset_and_no_dataset_has_their_name(tmp_path: Path, write: Any) -> None:
    write(tmp_path / "lq" / "a.png", shift=3)
    write(tmp_path / "gt" / "a.png")
    own = own_pairs(tmp_path / "lq", tmp_path / "gt")
    found = cases_of_suite(one_of(set="builtin", recipe="rain", limit=1), pairs=own)
    assert [(case.dataset, case.name) for case in found.cases] == [("one", "astronaut"), ("pairs", "a")]
    taken = SuiteConfig(name="x", summary="", datasets=(SuiteDataset(name="pairs", set="builtin"),))
    with pytest.raises(ConfigError, match="suite x: a dataset is called pairs, as one's own pairs are; rename it"):
        cases_of_suite(taken, pairs=own)


def test_pairs_of_two_sizes_are_refused_unless_the_model_is_told_to_enlarge(tmp_path: Path, write: Any) -> None:
    write(tmp_path / "LOL/eval15/low/1.png", size=(12, 16))
    write(tmp_path / "LOL/eval15/high/1.png", size=(24, 32))
    (case,) = cases_of_suite(one_of(set="lol_v1"), data_root=tmp_path).cases
    with pytest.raises(ShapeError, match="has 16x12 pixels and its ground truth 32x24; a pair has one size"):
        case.pictures()
    (case,) = cases_of_suite(one_of(set="lol_v1", options={"scale": 2}), data_root=tmp_path).cases
    pictures = case.pictures()
    assert pictures.gt is not None
    assert (pictures.lq.width, pictures.gt.width) == (16, 32)


@pytest.mark.parametrize(
    ("size", "crop", "protocol", "expected"),
    [
        ((40, 60), None, "uint8", (slice(0, 40), slice(0, 60))),
        ((41, 60), 32, "uint8", (slice(4, 36), slice(14, 46))),
        ((41, 60), None, "promptir", (slice(4, 36), slice(6, 54))),
        ((41, 60), 40, "promptir", (slice(4, 36), slice(14, 46))),
        ((20, 60), 32, "uint8", (slice(0, 20), slice(14, 46))),
    ],
)
def test_both_sides_are_cut_to_the_square_and_then_to_the_multiple_at_their_centres(
    tmp_path: Path,
    write: Any,
    size: tuple[int, int],
    crop: int | None,
    protocol: str,
    expected: tuple[slice, slice],
) -> None:
    write(tmp_path / "LOL/eval15/low/1.png", shift=5, size=size)
    write(tmp_path / "LOL/eval15/high/1.png", size=size)
    (case,) = cases_of_suite(one_of(set="lol_v1", crop=crop, protocol=protocol), data_root=tmp_path).cases
    pictures = case.pictures()
    lq, gt = (read_photo(tmp_path / f"LOL/eval15/{part}/1.png").pixels[expected] for part in ("low", "high"))
    assert pictures.gt is not None and np.array_equal(pictures.gt.pixels, gt)
    deep = 257 if protocol == "promptir" else 1
    assert np.array_equal(pictures.lq.pixels, lq.astype(np.uint16) * deep)
    assert np.array_equal(case.cut(pictures.gt).pixels, gt)  # what is cut already stays as it is


def test_an_alpha_channel_is_cut_with_its_picture(tmp_path: Path, write: Any) -> None:
    write(tmp_path / "real_no_gt" / "a.png", size=(40, 50))
    (case,) = cases_of_suite(one_of(set="real_no_gt", crop=16), data_root=tmp_path).cases
    alpha = np.arange(2000, dtype=np.uint16).reshape(40, 50)
    photo = Photo(pixels=np.dstack([alpha] * 3), alpha=alpha)
    found = case.cut(photo)
    assert found.alpha is not None and np.array_equal(found.alpha, alpha[12:28, 17:33])
    assert np.array_equal(found.pixels[..., 0], found.alpha)


def test_the_noise_of_papers_skips_what_cannot_be_read_and_what_is_not_taken(tmp_path: Path, write: Any) -> None:
    for name in "abc":
        write(tmp_path / "CBSD68" / f"{name}.png", size=(16, 16))
    (tmp_path / "CBSD68" / "b.png").write_bytes(b"no picture")
    suite = noise_suite(25)
    found = cases_of_suite(suite, data_root=tmp_path)
    assert [case.noise_skip for case in found.cases] == [0, 768, 768]
    assert [case.noise_skip for case in cases_of_suite(noise_suite(15, 25), data_root=tmp_path, limit=1).cases] == [
        0,
        768,
    ]


def test_skipped_noise_is_that_of_one_long_draw() -> None:
    grey = np.full((6, 5, 3), 128, np.uint8)
    both = noisy_as_papers(np.concatenate([grey, grey]), 10)
    assert np.array_equal(noisy_as_papers(grey, 10), both[:6])
    assert np.array_equal(noisy_as_papers(grey, 10, skip=90), both[6:])


def test_what_a_reader_must_know_of_a_set_is_said_once(tmp_path: Path, write: Any) -> None:
    for index in range(13):
        write(tmp_path / f"LOL/eval15/low/{index:02}.png")
    write(tmp_path / "LOL/eval15/high/00.png")
    notes = cases_of_suite(one_of(set="lol_v1"), data_root=tmp_path).notes
    assert len(notes) == 3
    assert notes[0].startswith("one: 12 pictures are left out: 01.png has no ground truth of the key '01'; 02.png")
    assert notes[0].endswith("; and 2 more")
    assert notes[1] == "one: 1 of the 15 pictures of LOL-v1, eval15 are there"
    assert notes[2].startswith("one: some papers scale the result's brightness")
