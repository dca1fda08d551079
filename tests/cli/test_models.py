import json

from ldrestore.assets.catalog import MODELS
from ldrestore.regressors.catalog import REGRESSORS


def test_models_and_architectures_are_listed(call):
    result = call("models")
    assert result.exit_code == 0
    assert all(record.name in result.stdout for record in MODELS)
    assert "nafnet" in result.stdout


def test_the_document_holds_all_records(call):
    document = json.loads(call("models", "--json").stdout)
    assert [model["name"] for model in document["models"]] == MODELS.names()
    assert [architecture["name"] for architecture in document["architectures"]] == REGRESSORS.names()
