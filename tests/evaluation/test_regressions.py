"""The embedded models on `builtin-ci`, held against the regression file."""

import pytest
from syntax_trees import ROOT

from ldrestore.assets.catalog import MODELS
from ldrestore.evaluation import BenchOptions, evaluate, read_results
from ldrestore.evaluation.comparison import compare_results
from ldrestore.evaluation.contestants import model_contestant

REGRESSIONS = ROOT / "docs" / "builtin_ci.json"
OPTIONS = {"stable": ",num_inference_steps=4", "xl": ",num_inference_steps=4"}
"""What keeps models of a track within the time of this test."""
TOLERANCES = {"psnr": 0.3, "ssim": 0.01}
"""Wider than those of `--compare`: other processors and versions round otherwise."""
CALLS = [record.name + OPTIONS.get(record.track, "") for record in MODELS]
REMEDY = (
    "if it is meant: ldrestore bench builtin-ci --device cpu --no-input "
    + " ".join(f"--model {call}" for call in CALLS)
    + " --out out; cp out/results.json docs/builtin_ci.json"
)


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_no_embedded_model_is_worse_than_it_was(tmp_path):
    old = read_results(REGRESSIONS)
    assert [row.name for row in old.contestants] == [model_contestant(call).name for call in CALLS], REMEDY
    options = BenchOptions(device="cpu", has_input=False)
    new = evaluate("builtin-ci", CALLS, tmp_path, options=options)
    assert [row.failure for row in new.outputs if row.failure] == []
    changes = compare_results(old, new, tolerances=TOLERANCES)
    assert [str(change) for change in changes if change.is_regression] == [], REMEDY
