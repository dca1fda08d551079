"""What opens the metrics that are computed here, and what a figure is of."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from ldrestore.errors import ScoreError, ShapeError, WeightsUnavailableError
from ldrestore.images.photo import Photo
from ldrestore.metrics.compared_pictures import ComparedPictures, bring_together
from ldrestore.metrics.dists import Dists
from ldrestore.metrics.lpips import Lpips
from ldrestore.metrics.measures import (
    MetricOptions,
    ToolboxMeasure,
    as_tensor,
    open_dists,
    open_lpips,
    open_lpips_vgg,
    open_ms_ssim,
    open_niqe,
    open_psnr,
    open_ssim,
    value_of,
)
from ldrestore.metrics.ms_ssim import ms_ssim
from ldrestore.metrics.protocols import PROTOCOLS, SKIMAGE_UNIFORM, UINT8, Protocol
from ldrestore.metrics.ssim import ssim
from ldrestore.metrics.trunks import ALEXNET_WIDTHS, AlexNetTrunk, Vgg16Trunk


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def literal_psnr(result: np.ndarray, gt: np.ndarray, protocol: Protocol) -> float:
    """Cut, coloured, cropped and compared, one pixel after the other, on a scale of 255."""
    height, width = (side // protocol.multiple * protocol.multiple for side in gt.shape[:2])
    top, left = (gt.shape[0] - height) // 2, (gt.shape[1] - width) // 2
    limits = {"y_limited": (65.481, 128.553, 24.966), "y_full": (76.245, 149.685, 29.07)}
    squares = count = 0.0
    for row in range(top + protocol.border, top + height - protocol.border):
        for column in range(left + protocol.border, left + width - protocol.border):
            colours = [picture[row, column].tolist() for picture in (result, gt)]
            if protocol.colour != "rgb":
                weights = limits[protocol.colour]
                colours = [[sum(w * c / 255 for w, c in zip(weights, one, strict=True))] for one in colours]
            if protocol.luma_rounding == "uint8":
                colours = [[math.floor(value + 16 + 0.5) for value in one] for one in colours]
            squares += sum((a - b) ** 2 for a, b in zip(*colours, strict=True))
            count += len(colours[0])
    return 10 * math.log10(255**2 / (squares / count))


@pytest.mark.parametrize("name", [name for name, protocol in PROTOCOLS.items() if protocol.rounding == "uint8"])
def test_the_psnr_of_a_protocol_has_its_colour_its_cut_and_its_border(name: str) -> None:
    result, gt = np.random.default_rng(0).integers(0, 256, (2, 37, 45, 3)).astype(np.uint8)
    pictures = bring_together(Photo(pixels=result), Photo(pixels=gt), PROTOCOLS[name])
    measure = open_psnr(MetricOptions(name="psnr"))
    assert measure(pictures) == pytest.approx(literal_psnr(result, gt, PROTOCOLS[name]), abs=1e-9)


def test_ssim_and_ms_ssim_take_window_and_colour_of_the_protocol(cat: np.ndarray, noisy: np.ndarray) -> None:
    protocol = replace(UINT8, name="own", ssim_window=SKIMAGE_UNIFORM, colour="y_full", border=2)
    pictures = bring_together(Photo(pixels=noisy[:180, :180]), Photo(pixels=cat[:180, :180]), protocol)
    result, gt = pictures.for_distortion()
    assert result.shape == (176, 176, 1)
    found = [opens(MetricOptions(name=""))(pictures) for opens in (open_ssim, open_ms_ssim)]
    assert found == [ssim(result, gt, window=SKIMAGE_UNIFORM), ms_ssim(result, gt, window=SKIMAGE_UNIFORM)]
    assert found[0] != ssim(result, gt)


def trunk_weights(trunk: type[AlexNetTrunk] | type[Vgg16Trunk], **heads: int) -> dict[str, torch.Tensor]:
    """Random ones, as a file holds them."""
    torch.manual_seed(0)
    weights = {f"trunk.{name}": value for name, value in trunk().state_dict().items()}
    return weights | {name.replace("_", "."): torch.rand(width) for name, width in heads.items()}


def test_distances_of_a_users_files_look_at_rgb_of_the_whole_picture(cat: np.ndarray, tmp_path: Path) -> None:
    alex = trunk_weights(AlexNetTrunk, **{f"heads_{layer}": width for layer, width in enumerate(ALEXNET_WIDTHS)})
    vgg = trunk_weights(Vgg16Trunk, **{f"heads_{layer}": width for layer, width in enumerate(Vgg16Trunk.widths)})
    both = {"alpha": torch.rand(1475), "beta": torch.rand(1475)}
    files = {name: tmp_path / f"{name}.safetensors" for name in ("lpips", "lpips_vgg", "dists")}
    for path, weights in zip(files.values(), (alex, vgg, both), strict=True):
        save_file(weights, path)
    result, gt = cat[:40, :44], cat[60:100, 60:104]
    pictures = bring_together(Photo(pixels=result), Photo(pixels=gt), PROTOCOLS["super_resolution_x4"])
    x, y = (torch.from_numpy(picture.copy()).permute(2, 0, 1)[None] / 255 for picture in (result, gt))
    trunk = {name: value for name, value in vgg.items() if name.startswith("trunk.")}
    expected = (Lpips("alex", alex)(x, y), Lpips("vgg", vgg)(x, y), Dists(trunk | both)(x, y))
    for opens, name, value in zip((open_lpips, open_lpips_vgg, open_dists), files, expected, strict=True):
        measure = opens(MetricOptions(name=name, weights=files))
        assert measure(pictures) == pytest.approx(value.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("opens", "name"),
    [(open_lpips, "lpips"), (open_lpips_vgg, "lpips_vgg"), (open_dists, "dists"), (open_niqe, "niqe")],
)
def test_without_weights_there_is_no_measure_and_the_way_to_them(opens: Callable[..., Any], name: str) -> None:
    with pytest.raises(WeightsUnavailableError, match="ldrestore fetch metrics"):
        opens(MetricOptions(name=name))


def pair(height: int = 4, width: int = 6) -> ComparedPictures:
    """Two even pictures."""
    return ComparedPictures(np.zeros((height, width, 3), np.uint8), np.ones((height, width, 3), np.uint8), UINT8)


@pytest.mark.parametrize("error", [ValueError("too small"), RuntimeError("too small"), AssertionError("too small")])
def test_refusals_of_any_kind_are_of_one_kind_and_name_metric_and_size(error: Exception) -> None:
    def refuse(pictures: ComparedPictures) -> float:
        raise error

    with pytest.raises(ScoreError, match=r"^vif: pictures of 6x4 are refused: too small$") as caught:
        value_of("vif", refuse, pair())
    assert caught.value.__cause__ is error


def test_our_own_refusals_keep_their_words_and_mistakes_of_code_are_not_hidden() -> None:
    def refuse(pictures: ComparedPictures) -> float:
        raise ShapeError("needs larger pictures")

    with pytest.raises(ScoreError, match=r"^x: needs larger pictures$"):
        value_of("x", refuse, pair())
    with pytest.raises(KeyError):
        value_of("x", lambda pictures: {}["nothing"], pair())


def test_no_number_is_refused_and_infinity_is_one() -> None:
    with pytest.raises(ScoreError, match="x: is not a number for pictures of 6x4"):
        value_of("x", lambda pictures: math.nan, pair())
    assert value_of("x", lambda pictures: math.inf, pair()) == math.inf
    toolbox = ToolboxMeasure(function=lambda pictures: float(pictures.gt.mean()), lower_is_better=True)
    assert value_of("x", toolbox, pair()) == 1.0 and toolbox.needs_gt


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_pictures_become_tensors_with_channels_first_in_shares_of_white(dtype: type) -> None:
    picture = np.arange(24).reshape(2, 4, 3).astype(dtype)
    tensor = as_tensor(picture[:, ::-1])  # a view that goes backwards
    assert tensor.shape == (1, 3, 2, 4) and tensor.dtype == torch.float32
    for row in range(2):
        for column in range(4):
            expected = torch.tensor(picture[row, 3 - column].tolist()) / 255
            torch.testing.assert_close(tensor[0, :, row, column], expected)
