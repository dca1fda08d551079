import json

from ldrestore.assets.catalog import MODELS
from ldrestore.regressors.catalog import REGRESSORS


def test_each_model_that_restores_now_has_one_line_of_80_columns(call):
    result = call("models")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert [line.split()[0] for line in lines[1 : len(MODELS.names()) + 1]] == MODELS.names()
    assert "nafnet" not in result.stdout and "--architectures" in result.stdout


def test_architectures_are_listed_when_asked_for(call):
    lines = call("models", "--architectures").stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert [line.split()[0] for line in lines[1 : len(REGRESSORS.names()) + 1]] == REGRESSORS.names()


def test_the_default_samples_nothing(call):
    assert MODELS.get("default").track == "fast"


def test_the_document_holds_all_records(call):
    document = json.loads(call("models", "--json").stdout)
    assert [model["name"] for model in document["models"]] == MODELS.names()
    assert [architecture["name"] for architecture in document["architectures"]] == REGRESSORS.names()
