"""The configs of the paper's Table 9: one budget, and each what its row says."""

from dataclasses import replace
from pathlib import Path

import pytest

from ldrestore.evaluation.studies.ablations import ROWS
from ldrestore.training.trainers import load_training_config

FOLDER = Path(__file__).parents[3] / "configs/stable"
ABLATIONS = sorted((FOLDER / "ablations").glob("*.yaml"))


def test_every_row_that_is_trained_has_a_config():
    assert {path.stem for path in ABLATIONS} == {row.run for row in ROWS.values() if row.run is not None}


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_rows_differ_in_their_parts_alone(path):
    config = load_training_config(path, [])
    both = load_training_config(FOLDER / "ablations/both.yaml", [])
    row = next(row for row in ROWS.values() if row.run == path.stem)
    assert path.read_text(encoding="utf-8").startswith(f"# ldrestore train configs/stable/ablations/{path.name}")
    assert config.parts == row.parts
    assert config.run.output_dir == Path("runs/stable/ablations") / path.stem
    assert config.sizes.num_prompts == (both.sizes.num_prompts if row.has_prompts else 0)
    sizes = replace(config.sizes, num_prompts=both.sizes.num_prompts)
    run = replace(config.run, output_dir=both.run.output_dir)
    assert replace(config, run=run, parts=both.parts, sizes=sizes) == both


def test_they_are_ablations_of_the_embedded_model():
    both, full = (load_training_config(FOLDER / name, []) for name in ("ablations/both.yaml", "tiny_adapters_cpu.yaml"))
    assert (both.sizes, both.data, both.base, both.predictor) == (full.sizes, full.data, full.base, full.predictor)
    assert (both.loss, both.validation) == (full.loss, full.validation)


def test_the_few_shot_configs_follow_those_that_they_start_from():
    for pair in (("estimator", "estimator_few_shot"), ("adapters_rollout", "adapters_few_shot")):
        first, few = (load_training_config(FOLDER / f"tiny_{name}_cpu.yaml", []) for name in pair)
        assert few.init_from == first.run.output_dir / "export"
        assert few.data.max_pictures == 100
        for section in ("base", "loss"):
            assert getattr(few, section, None) == getattr(first, section, None)
    few_estimator = load_training_config(FOLDER / "tiny_estimator_few_shot_cpu.yaml", [])
    first_estimator = load_training_config(FOLDER / "tiny_estimator_cpu.yaml", [])
    assert replace(few_estimator.predictor, degradations=first_estimator.predictor.degradations) == (
        first_estimator.predictor
    )
    assert few.predictor == few_estimator.run.output_dir / "export"
