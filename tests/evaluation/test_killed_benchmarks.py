"""Benchmarks that are killed in the middle of a write, again and again, and called again."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from ldrestore.evaluation import read_results

SUITE = """\
name: killed
summary: A suite of a test.
metrics: [psnr, ssim]
datasets:
  - {name: noise, set: builtin, recipe: "gaussian_noise(sigma_255=25)", crop: 32, limit: 2}
"""
NUM_RESULTS, NUM_SCORED = 2, 4
"""Of the model; the untouched input is scored too."""

CALLS = """
import json, os, signal, sys
from pathlib import Path

from ldrestore.evaluation import BenchOptions, evaluate

suite, model, whole, broken = map(Path, sys.argv[1:])
replace = Path.replace


def run(out):
    evaluate(suite, [str(model)], out, options=BenchOptions(device="cpu"))


def is_killed(write):
    child = os.fork()
    if child == 0:
        left = [write]

        def replace_or_die(path, target):
            left[0] -= 1
            if left[0] == 0:  # the file is written under another name, and not yet in its place
                os.kill(os.getpid(), signal.SIGKILL)
            return replace(path, target)

        Path.replace = replace_or_die
        run(broken)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return status != 0


def state():
    counts = [len(list((broken / folder).rglob("[!.]*.*"))) for folder in ("outputs", "scores")]
    return [*counts, (broken / "results.json").is_file(), (broken / "report.html").is_file()]


run(whole)  # before the first fork, so that everything is imported once
states = []
while not (broken / "table.md").is_file():
    assert is_killed(3) and len(states) < 40
    states.append(state())
assert is_killed(4)
states.append(state())
assert not is_killed(0)
print(json.dumps(states))
"""


def figures(results):
    """Everything but how long it took."""
    outputs = tuple(dataclasses.replace(row, seconds=None) for row in results.outputs)
    return dataclasses.replace(results, outputs=outputs)


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_a_benchmark_that_is_killed_at_every_third_write_gives_the_figures_of_an_unbroken_one(tiny_fast, tmp_path):
    (tmp_path / "killed.yaml").write_text(SUITE)
    folders = [tmp_path / "killed.yaml", tiny_fast, tmp_path / "whole", tmp_path / "broken"]
    command = [sys.executable, "-c", CALLS, *map(str, folders)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    states = json.loads(done.stdout.splitlines()[-1])
    assert any(0 < restored < 2 * NUM_RESULTS and scored == 0 for restored, scored, *_ in states)
    assert any(restored == 2 * NUM_RESULTS and 0 < scored < NUM_SCORED for restored, scored, *_ in states)
    assert any(has_results and not has_page for *_, has_results, has_page in states)
    whole, broken = (read_results(tmp_path / name) for name in ("whole", "broken"))
    assert len(whole.outputs) == NUM_SCORED and whole.is_whole
    assert figures(broken) == figures(whole)
    for row in whole.outputs:
        assert (tmp_path / "broken" / row.path).read_bytes() == (tmp_path / "whole" / row.path).read_bytes()
    for name in ("table.md", "report.html"):
        assert (tmp_path / "broken" / name).is_file()
