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
    assert facts["instructions"] is None
    shown = call("info", tiny_model).stdout
    assert f"{facts['parameters']:,}" in shown
    assert "takes none" in shown


def test_what_a_models_instructions_may_ask_for_is_told(call, instructed_model):
    result = call("info", instructed_model, "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["instructions"]["classes"][:3] == ["noise", "blur", "rain"]
    assert facts["instructions"]["sentence_encoder"].startswith("someone/tiny-encoder (sha256 ")
    assert facts["instructions"]["neutral"] == "please restore"
    assert len(facts["weights_sha256"]) == 2
    assert "low_light" in call("info", instructed_model).stdout


def test_a_model_nobody_knows_is_an_error(call, tmp_path):
    result = call("info", tmp_path / "nothing")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
