from importlib import resources
from pathlib import Path

import pytest

from ldrestore.degradations.recipes import parse_recipe
from ldrestore.errors import ConfigError, InputError, UnknownNameError
from ldrestore.evaluation.benchmark_catalog import BENCHMARKS
from ldrestore.evaluation.cases import cases_of_suite
from ldrestore.evaluation.suites import SuiteConfig, SuiteDataset, list_suites, load_suite
from ldrestore.metrics.catalog import find_metric


def test_the_promised_suites_are_there():
    assert set(list_suites()) >= {
        "aio3",
        "aio5",
        "builtin",
        "builtin-ci",
        "card-short",
        "cdd11",
        "domains",
        "enhancement",
        "few-shot",
        "instruction-levels",
        "mid6",
        "real",
        "told",
        "xl",
        "zero-shot",
    }


@pytest.mark.parametrize("name", list_suites())
def test_every_suite_names_what_exists(name):
    suite = load_suite(name)
    assert suite.name == name and suite.summary
    for metric in suite.scored_metrics:
        find_metric(metric)
    for dataset in suite.datasets:
        BENCHMARKS.get(dataset.set)
        if dataset.recipe not in (None, "clean"):
            assert parse_recipe(dataset.recipe).steps


def test_a_suite_of_ones_own_is_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nsummary: mine\ndatasets:\n  - {name: a, set: builtin, recipe: rain}\n")
    assert load_suite(path).datasets[0].recipe == "rain"
    path.write_text("name: mine\nsummary: mine\ndatasets:\n  - {name: a, set: builtin, reciep: rain}\n")
    with pytest.raises(ConfigError, match="did you mean 'recipe'"):
        load_suite(path)


@pytest.mark.parametrize(
    ("facts", "error", "message"),
    [
        ({"recipe": "rain", "noise_sigma_255": 5.0}, ConfigError, "exclude each other"),
        ({"severity": 2.0}, ConfigError, "severity must lie"),
        ({"crop": 2}, ConfigError, "crop must be"),
        ({"limit": 0}, ConfigError, "limit must be"),
        ({"every": 0}, ConfigError, "every must be"),
    ],
)
def test_wrong_datasets_are_refused(facts, error, message):
    with pytest.raises(error, match=message):
        SuiteDataset(name="a", set="builtin", **facts)


def test_wrong_suites_are_refused():
    one = SuiteDataset(name="a", set="builtin")
    with pytest.raises(ConfigError, match="two datasets have one name"):
        SuiteConfig(name="x", summary="", datasets=(one, one))
    with pytest.raises(UnknownNameError, match="unknown dataset"):
        SuiteConfig(name="x", summary="", datasets=(one,), averages={"all": ["b"]})
    with pytest.raises(UnknownNameError, match="unknown protocol"):
        SuiteConfig(name="x", summary="", datasets=(one,), protocol="psnr")


@pytest.mark.parametrize("sigma", [-1.0, 256.0])
def test_noise_out_of_range_is_refused(sigma: float) -> None:
    with pytest.raises(ConfigError, match=r"a: noise_sigma_255 must lie in \[0, 255\], got"):
        SuiteDataset(name="a", set="builtin", noise_sigma_255=sigma)


@pytest.mark.parametrize("averages", [{"a": ["a"]}, {"all": "a"}, {"all": None}])
def test_an_average_is_a_list_of_datasets_under_a_name_of_its_own(averages: dict[str, object]) -> None:
    with pytest.raises(
        ConfigError, match=r"suite x: the average (a|all) needs a list of datasets, and a name that none"
    ):
        SuiteConfig(name="x", summary="", datasets=(SuiteDataset(name="a", set="builtin"),), averages=averages)


def test_a_suite_computes_its_own_metrics_or_those_of_its_protocol() -> None:
    assert SuiteConfig(name="x", summary="", datasets=(), protocol="moce_ir").scored_metrics == (
        "psnr",
        "ssim",
        "lpips_vgg",
    )
    assert SuiteConfig(name="x", summary="", datasets=(), protocol="moce_ir", metrics=("dists",)).scored_metrics == (
        "dists",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a mapping at the top, got NoneType"),
        ("name: [", "is not valid YAML"),
        ("name: mine\nsummary: x\n", "missing datasets"),
        ("name: mine\nsummary: x\ndatasets: [{name: a}]\n", r"datasets\[0\]: missing set"),
        ("name: mine\nsummary: x\ndatasets: [{name: a, set: builtin, crop: big}]\n", r"crop: expected int, got 'big'"),
        ("name: mine\nsummary: x\nprotokol: uint8\ndatasets: []\n", "did you mean 'protocol'"),
        ("name: mine\nsummary: x\nprotocol: uint\ndatasets: []\n", "did you mean 'uint8'"),
        ("name: mine\nsummary: x\naverages: {all: [b]}\ndatasets: [{name: a, set: builtin}]\n", "unknown dataset 'b'"),
    ],
)
def test_a_file_that_is_no_suite_says_where_it_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        load_suite(path)


def test_a_suite_that_is_not_there_is_a_name_or_a_file_by_its_suffix(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no configuration file at"):
        load_suite(tmp_path / "nowhere.yaml")
    with pytest.raises(UnknownNameError, match="unknown suite 'aio4'; did you mean 'aio"):
        load_suite("aio4")


def test_the_noise_of_a_suite_is_drawn_in_the_order_of_the_papers_tables() -> None:
    assert [each.noise_sigma_255 for each in load_suite("aio3").datasets] == [None, None, 15, 25, 50]
    assert [each.noise_sigma_255 for each in load_suite("aio5").datasets] == [None, None, 25, None, None]
    assert all(load_suite(name).protocol == "promptir" for name in ("aio3", "aio5"))


def test_cdd11_averages_its_singles_doubles_and_triples() -> None:
    suite = load_suite("cdd11")
    names = [dataset.name for dataset in suite.datasets]
    assert suite.protocol == "cdd11" and len(names) == 11 and suite.averages["average"] == names
    by_count = {"single": 0, "double": 1, "triple": 2}
    for average, count in by_count.items():
        assert suite.averages[average] == [name for name in names if name.count("_") == count]


@pytest.mark.parametrize("name", list_suites())
def test_averages_of_every_suite_name_each_dataset_once(name: str) -> None:
    for parts in load_suite(name).averages.values():
        assert len(parts) == len(set(parts)) > 0


@pytest.mark.parametrize("name", list_suites())
def test_the_first_lines_of_every_suite_are_the_command_that_runs_it(name: str) -> None:
    text = (resources.files("ldrestore.configs.bench") / f"{name}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# ldrestore bench") and f"bench {name} " in text.split("\nname:")[0]


@pytest.mark.parametrize("name", ["builtin", "builtin-ci"])
def test_the_suites_of_the_librarys_own_pictures_need_no_data(name: str) -> None:
    found = cases_of_suite(load_suite(name))
    assert {case.dataset for case in found.cases} == {dataset.name for dataset in load_suite(name).datasets}
    assert not found.notes
