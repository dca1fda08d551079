import dataclasses
import math

import numpy as np
import pytest

from ldrestore.errors import UnknownNameError
from ldrestore.metrics import score
from ldrestore.metrics.catalog import METRICS, MetricRecord, find_metric
from ldrestore.metrics.compared_pictures import ComparedPictures
from ldrestore.metrics.protocols import PROTOCOLS, find_protocol
from ldrestore.metrics.psnr import psnr
from ldrestore.metrics.ssim import ssim
from ldrestore.registry import resolve


def test_each_has_its_name_source_and_known_metrics():
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert protocol.source and protocol.summary
        for metric in protocol.metrics:
            find_metric(metric)


def test_those_that_papers_are_compared_by_are_there():
    wanted = {"promptir", "adair", "moce_ir", "instructir", "cdd11", "mperceiver", "unildiff", "osediff"}
    assert wanted | {"restormer_derain", "restormer_denoise", "super_resolution_x4"} <= PROTOCOLS.keys()
    assert PROTOCOLS["osediff"].colour == "y_limited"
    assert PROTOCOLS["unildiff"].colour == "y_full"
    assert PROTOCOLS["super_resolution_x4"].border == 4


def test_derained_pictures_are_compared_by_whole_levels_of_luma():
    def pictures(result, gt, name):
        values = [np.full((11, 11, 3), colour, np.uint8) for colour in (result, gt)]
        return ComparedPictures(*values, PROTOCOLS[name]).for_distortion()

    # Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255: 31.588 and 31.686, both level 32; 16 and 235 of black and white
    near, far = ((10, 20, 30), (10, 20, 31)), ((0, 0, 0), (255, 255, 255))
    assert [picture[0, 0, 0] for picture in pictures(*near, "restormer_derain")] == [32, 32]
    assert psnr(*pictures(*near, "restormer_derain")) == math.inf
    assert psnr(*pictures(*near, "osediff")) == pytest.approx(20 * math.log10(255 / (24.966 / 255)))
    assert psnr(*pictures(*far, "restormer_derain")) == pytest.approx(20 * math.log10(255 / 219))
    constant = (0.01 * 255) ** 2
    expected = (2 * 16 * 235 + constant) / (16**2 + 235**2 + constant)  # one window, without any structure
    assert ssim(*pictures(*far, "restormer_derain"), window=PROTOCOLS["restormer_derain"].ssim_window) == pytest.approx(
        expected
    )


def test_they_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PROTOCOLS["uint8"].border = 4


def test_unknown_names_get_the_closest():
    with pytest.raises(UnknownNameError, match="did you mean 'osediff'"):
        find_protocol("oesdiff")
    with pytest.raises(UnknownNameError, match="did you mean 'lpips'"):
        find_metric("lipps")
    with pytest.raises(UnknownNameError, match="unknown metric 'foo:bar'"):
        find_metric("foo:bar")


def test_all_records_point_at_something():
    for name in [*METRICS, "piq:vif", "iqa:musiq"]:
        assert callable(resolve(find_metric(name).target))


@pytest.mark.parametrize("name", PROTOCOLS)
def test_equal_pictures_are_perfect_by_every_protocol_and_damaged_ones_are_not(name: str, cat: np.ndarray) -> None:
    gt = cat[:48, :64]
    damaged = np.clip(gt.astype(int) + np.random.default_rng(0).integers(-40, 41, gt.shape), 0, 255).astype(np.uint8)
    same, worse = score(gt, gt, ["psnr", "ssim"], protocol=name), score(damaged, gt, ["psnr", "ssim"], protocol=name)
    assert same["psnr"] == math.inf and same["ssim"] == pytest.approx(1.0, abs=1e-9)
    assert 15 < worse["psnr"] < 35 and worse["ssim"] < 0.99
    assert worse == pytest.approx(score(gt, damaged, ["psnr", "ssim"], protocol=name), abs=1e-9)


@pytest.mark.parametrize("record", METRICS.values(), ids=METRICS)
def test_each_metric_says_what_it_compares_and_which_way_is_better(record: MetricRecord) -> None:
    higher = {"psnr", "ssim", "ms_ssim", "consistency"}
    assert record.lower_is_better == (record.name not in higher)
    assert record.compares == {"niqe": "results", "consistency": "inputs", "fid": "sets", "kid": "sets"}.get(
        record.name, "pairs"
    )
    assert record.digits in (2, 3, 4) and record.source


@pytest.mark.parametrize("name", ["piq:", ":vif", "piq", "PSNR", ""])
def test_half_a_name_is_no_metric(name: str) -> None:
    with pytest.raises(UnknownNameError, match="unknown metric"):
        find_metric(name)
