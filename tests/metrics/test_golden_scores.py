"""Official scores of five pictures (calibration table of IQA-PyTorch), with weights and pictures fetched by pip."""

import subprocess
import sys
import zipfile

import pytest

from ldrestore.metrics import score
from ldrestore.metrics.metric_weights import fetch_metric_weights

pytestmark = [pytest.mark.registry, pytest.mark.timeout(900)]

OFFICIAL = {
    "lpips": (0.7237, 0.2572, 0.0508, 0.0521, 0.4253),
    "dists": (0.4742, 0.1424, 0.0682, 0.0287, 0.3123),
    "niqe": (15.7536, 3.6549, 3.2355, 3.1840, 8.6352),
}
NAMES = ("I03", "I04", "I06", "I08", "I19")
TOLERANCE = {"lpips": 1e-4, "dists": 1e-4, "niqe": 0.035}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), "pyiqa==0.1.16"]
    subprocess.run(command, check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder, [name for name in wheel.namelist() if name.startswith("ResultsCalibra/")])
    return folder / "ResultsCalibra"


@pytest.fixture(scope="module")
def scores(pictures, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        assert fetch_metric_weights() == {}
        return {
            name: score(pictures / "dist_dir" / f"{name}.bmp", pictures / "ref_dir" / f"{name}.bmp", list(OFFICIAL))
            for name in NAMES
        }


@pytest.mark.parametrize("metric", OFFICIAL)
def test_scores_are_the_official_ones(scores, metric):
    for name, expected in zip(NAMES, OFFICIAL[metric], strict=True):
        assert round(scores[name][metric], 4) == pytest.approx(expected, abs=TOLERANCE[metric]), name


def test_the_three_psnr_of_one_pair(pictures):
    pair = [pictures / folder / "I19.bmp" for folder in ("dist_dir", "ref_dir")]
    for protocol, expected in (("uint8", 21.62), ("unildiff", 23.01), ("osediff", 24.34)):
        assert score(*pair, ["psnr"], protocol=protocol)["psnr"] == pytest.approx(expected, abs=0.006)
