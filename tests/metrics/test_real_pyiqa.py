"""pyiqa as it is published, fetched by pip, and its networks of random weights: through score, bench and the report."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.registry, pytest.mark.timeout(1800)]

PACKAGES = ("pyiqa==0.1.16", "openai-clip==1.0.1", "ftfy==6.3.1", "wcwidth", "setuptools<82")
"""pyiqa with what these four metrics import beside packages of the tested set (torchvision, timm, pandas, scipy,
scikit-image); openai-clip imports pkg_resources, which setuptools 82 has no more."""
METRICS = ("iqa:musiq", "iqa:maniqa", "iqa:maniqa-pipal", "iqa:clipiqa")

ONE_CROP = """
from pyiqa.default_model_configs import DEFAULT_CONFIGS
for name in ("maniqa", "maniqa-pipal"):
    DEFAULT_CONFIGS[name]["metric_opts"]["test_sample"] = 1  # of 20, each as dear as the others
"""
COMMAND = f"""{ONE_CROP}
import sys
from ldrestore.cli.main import main
sys.exit(main())
"""
RANDOM_WEIGHTS = """
import sys
from pathlib import Path
import pyiqa, timm, torch
from pyiqa.archs.clip_model import CLIP

build = timm.create_model
timm.create_model = lambda *arguments, **options: build(*arguments, **(options | {"pretrained": False}))
folder = Path(sys.argv[1])
for seed, name in enumerate(("musiq", "maniqa", "maniqa-pipal")):
    torch.manual_seed(seed)
    weights = pyiqa.create_metric(name, device=torch.device("cpu"), pretrained=False).net.state_dict()
    halves = {key: value.half() if value.is_floating_point() else value for key, value in weights.items()}
    torch.save(halves, folder / name)
torch.manual_seed(3)
clip = CLIP(64, 224, (3, 4, 6, 3), 16, None, 77, 49408, 64, 1, 2)
torch.save(clip.state_dict(), folder / "clipiqa")
"""


@pytest.fixture(scope="module")
def toolbox(tmp_path_factory):
    """`toolbox(SCRIPT, WORD, ..)` runs Python beside pyiqa."""
    folder = tmp_path_factory.mktemp("toolbox")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *PACKAGES]
    subprocess.run(command, check=True, capture_output=True)
    paths = os.pathsep.join((str(folder), os.environ["PYTHONPATH"]))
    environment = os.environ | {"PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "TORCH_HOME": str(folder / "hub")}

    def run(script, *words):
        words = [sys.executable, "-c", script, *map(str, words)]
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    clean = np.random.default_rng(0).integers(0, 256, (256, 240, 3), dtype=np.uint8)
    for name, picture in (("gt", clean), ("result", clean // 2)):
        (folder / name).mkdir()
        Image.fromarray(picture).save(folder / name / "a.png")
    return folder / "result", folder / "gt"


@pytest.fixture(scope="module")
def given_weights(toolbox, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    outcome = toolbox(RANDOM_WEIGHTS, folder)
    assert outcome.returncode == 0, outcome.stderr
    words = [word for name in METRICS for word in ("--metric", name)]
    return [*words, *(word for name in METRICS for word in ("--weights", f"{name}={folder / name.partition(':')[2]}"))]


@pytest.fixture(scope="module")
def scores(toolbox, pair, given_weights):
    outcome = toolbox(COMMAND, "score", *pair, *given_weights, "--json")
    assert outcome.returncode == 0, outcome.stderr
    document = json.loads(outcome.stdout)
    assert document["unavailable"] == {}
    return document["pictures"]["a"]


def test_the_four_score_with_a_user_s_weights_and_the_licence_is_said(toolbox, pair, scores):
    assert set(scores) == set(METRICS)
    assert all(np.isfinite(value) for value in scores.values())
    assert scores["iqa:maniqa"] != scores["iqa:maniqa-pipal"]
    assert 0 <= scores["iqa:clipiqa"] <= 1


def test_bench_and_report_have_the_same_values(toolbox, pair, given_weights, scores, tmp_path):
    words = ("bench", "--pairs", *pair, "--no-input", "--results", f"THEM={pair[0]}", *given_weights)
    outcome = toolbox(COMMAND, *words, "--out", tmp_path / "out")
    assert outcome.returncode == 0, outcome.stderr
    document = json.loads((tmp_path / "out" / "results.json").read_text())
    (row,) = document["outputs"]
    assert row["scores"] == pytest.approx(scores, abs=1e-6)
    assert all("pyiqa 0.1.16" in metric["version"] and metric["weights_sha256"] for metric in document["metrics"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert all(name in page for name in METRICS)


def test_without_a_network_each_is_unavailable_with_the_way_to_get_it(toolbox, pair):
    words = [word for name in METRICS for word in ("--metric", name)]
    outcome = toolbox(COMMAND, "score", *pair, *words, "--metric", "psnr", "--json")
    assert outcome.returncode == 0, outcome.stderr
    document = json.loads(outcome.stdout)
    assert set(document["unavailable"]) == set(METRICS) and set(document["means"]) == {"psnr"}
    assert all("--weights iqa:" in reason for reason in document["unavailable"].values())
    assert outcome.stderr.count("PolyForm") == 1


def test_a_file_of_another_metric_is_refused(toolbox, pair, given_weights):
    musiq = given_weights[given_weights.index("--weights") + 1].partition("=")[2]
    outcome = toolbox(COMMAND, "score", *pair, "--metric", "iqa:maniqa", "--weights", f"iqa:maniqa={musiq}", "--json")
    assert "may be of another metric" in json.loads(outcome.stdout)["unavailable"]["iqa:maniqa"]


def test_an_unknown_name_gets_the_closest(toolbox, pair):
    outcome = toolbox(COMMAND, "score", *pair, "--metric", "iqa:musik")
    assert outcome.returncode == 2 and "did you mean 'musiq'" in outcome.stderr
