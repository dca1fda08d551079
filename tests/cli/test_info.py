import json
import shutil

from PIL import Image

from tests.embedded_models import embed_folder


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
    assert shown.count("takes none") == 2
    assert len(facts["sha256_in_records"]) == 64


def test_whether_a_model_can_be_told_of_the_damage_and_what_records_call_its_weights(call, tmp_path):
    facts = json.loads(call("info", "default", "--json").stdout)
    assert "haze" in facts["degradations"]
    Image.new("RGB", (24, 16)).save(tmp_path / "a.png")
    call("restore", tmp_path / "a.png", tmp_path / "b.png", "--device", "cpu")
    record = json.loads((tmp_path / "b.png.json").read_text())
    assert facts["sha256_in_records"] == record["model"]["weights_sha256"]
    other = json.loads(call("info", "default-fast", "--json").stdout)
    assert other["degradations"] is None


def test_what_a_models_instructions_may_ask_for_is_told(call, instructed_model):
    result = call("info", instructed_model, "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["instructions"]["classes"][:3] == ["noise", "blur", "rain"]
    assert facts["instructions"]["sentence_encoder"].startswith("someone/tiny-encoder (sha256 ")
    assert facts["instructions"]["neutral"] == "please restore"
    assert len(facts["weights_sha256"]) == 2
    assert "low_light" in call("info", instructed_model).stdout


def test_a_stable_model_tells_degradations_base_steps_and_size(call, stable_model):
    result = call("info", stable_model, "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["track"] == "stable"
    assert facts["degradations"] == ["rain", "haze", "jpeg"]
    assert facts["base"] == {"name": "tiny_stable", "licence": None, "prediction_type": "epsilon"}
    assert facts["sampling"].items() >= {"steps": 50, "scheduler": "DDIMScheduler", "refines": True}.items()
    assert facts["parts"]["vae"].startswith("AutoencoderKL, ")
    assert facts["parameters"] > 1000 and facts["bytes_per_pixel"] > 0
    assert len(facts["weights_sha256"]) == len(facts["parts"]) == 10
    shown = call("info", stable_model).stdout
    assert "rain, haze, jpeg" in shown and "steps: 50" in shown and f"{facts['parameters']:,}" in shown


def test_facts_of_an_embedded_stable_model_come_with_its_record(call, stable_model, monkeypatch):
    embed_folder(monkeypatch, stable_model, name="tiny-stable", summary="samples a little")
    facts = json.loads(call("info", "tiny-stable", "--json").stdout)
    assert facts["base"]["name"] == facts["name"] == "tiny-stable"
    assert facts["licence"] == "Apache-2.0" and len(facts["weights_sha256"]) == 10
    listed = call("models").stdout
    assert "tiny-stable" in listed and "stable" in listed and "fast" in listed


def test_a_model_nobody_knows_is_an_error(call, tmp_path):
    result = call("info", tmp_path / "nothing")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")


def test_a_card_of_any_bytes_is_shown_and_does_nothing_to_the_terminal(call, tiny_model, tmp_path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "README.md").write_bytes(b"# caf\xe9\n\x1b[31mred\x1b]0;title\x07\nlast line\n")
    result = call("info", folder)
    assert result.exit_code == 0, result.stderr
    assert "last line" in result.stdout and "\x1b" not in result.stdout and "\x07" not in result.stdout
    facts = json.loads(call("info", folder, "--json").stdout)
    assert facts["card"].startswith("# caf")


def test_facts_of_strangers_are_text_in_the_table(call, tiny_model, tmp_path) -> None:
    folder = tmp_path / "[red]model[/]"
    shutil.copytree(tiny_model, folder)
    (folder / "ldrestore.json").write_text('{"weights_licence": "[bold]MIT\\u001b[31m", "source": null}')
    result = call("info", folder)
    assert result.exit_code == 0, result.stderr
    assert "\x1b" not in result.stdout
    (folder / "ldrestore.json").write_text("{")
    damaged = call("info", folder)
    assert damaged.exit_code == 1 and "cannot be read as JSON" in damaged.stderr
