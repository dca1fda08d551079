import numpy as np
import pytest

from ldrestore.errors import DatasetError, MissingSetError
from ldrestore.evaluation.cases import cases_of_suite, noisy_as_papers
from ldrestore.evaluation.suites import SuiteConfig, SuiteDataset, load_suite
from ldrestore.images.files import read_photo


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
