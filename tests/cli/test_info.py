import json


def test_facts_of_a_model_folder_are_told(call, tiny_model):
    result = call("info", tiny_model, "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["network"] == "NAFNet"
    assert facts["network_options"]["width"] == 4
    assert facts["parameters"] > 100
    assert facts["bytes_per_pixel"] > 0
    assert [len(digest) for digest in facts["weights_sha256"].values()] == [64]
    assert f"{facts['parameters']:,}" in call("info", tiny_model).stdout


def test_a_model_nobody_knows_is_an_error(call, tmp_path):
    result = call("info", tmp_path / "nothing")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
