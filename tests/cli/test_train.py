import os
import subprocess
import sys

import pytest
import yaml


@pytest.fixture
def config_file(picture, tmp_path):
    """A YAML file of a run of two steps on one small picture."""
    picture(tmp_path / "pictures" / "a.png", height=32, width=32)
    values = {
        "run": {"output_dir": str(tmp_path / "run"), "device": "cpu", "num_workers": 0},
        "network": {
            "name": "nafnet",
            "options": {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1]},
        },
        "data": {
            "folders": [str(tmp_path / "pictures")],
            "mixture": [{"recipe": "gaussian_noise", "weight": 1}],
        },
        "stages": [{"patch_size": 16, "batch_size": 1, "steps": 2}],
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize(
    ("override", "message"),
    [("run.no_such_key=1", "no_such_key"), ("nonsense", "expected key=value"), ("run.seed=-1", "seed")],
)
def test_a_wrong_value_is_a_wrong_call(call, config_file, override, message):
    result = call("train", config_file, override)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_missing_config_is_a_wrong_call(call, tmp_path):
    result = call("train", tmp_path / "missing.yaml")
    assert result.exit_code == 2
    assert "no configuration file" in result.stderr


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_a_run_trains_and_its_failure_is_passed_on(config_file, tmp_path):
    def train(*words):
        command = [sys.executable, "-m", "ldrestore.cli.main", "train", str(config_file), *map(str, words)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240, check=False)

    outcome = train("--resume", "auto", "run.seed=3")
    assert outcome.returncode == 0, outcome.stderr
    assert (tmp_path / "run" / "metrics.jsonl").is_file()
    outcome = train("--resume", tmp_path / "no_checkpoint")
    assert outcome.returncode == 1
    assert "no_checkpoint" in outcome.stderr
    assert "CalledProcessError" not in outcome.stderr
