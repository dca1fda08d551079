import json

from tiny_run import TinyConfig, tiny_config

from ldrestore.config import load_config
from ldrestore.training.loop.provenance import environment, write_provenance


def test_the_written_config_is_the_config(tmp_path):
    config = tiny_config(tmp_path / "run")
    write_provenance(config, tmp_path / "run")
    assert load_config(TinyConfig, tmp_path / "run/config.yaml") == config


def test_versions_are_written(tmp_path):
    write_provenance(tiny_config(tmp_path), tmp_path)
    written = json.loads((tmp_path / "environment.json").read_text())
    assert written == environment()
    assert {"torch", "accelerate", "numpy"} <= written["packages"].keys()
