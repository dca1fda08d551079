import pytest

from ldrestore.degradations.recipes import parse_recipe
from ldrestore.errors import ConfigError, UnknownNameError
from ldrestore.evaluation.benchmark_catalog import BENCHMARKS
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
