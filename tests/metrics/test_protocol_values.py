"""What each named protocol makes of a pair: its crop, colour, rounding and window by scikit-image and by hand."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ldrestore.images.photo import Photo
from ldrestore.metrics import score
from ldrestore.metrics.compared_pictures import bring_together
from ldrestore.metrics.protocols import PROTOCOLS

WANG: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
SAMPLE: dict[str, Any] = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": True}
UNIFORM: dict[str, Any] = {"win_size": 7}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the code or the paper behind a protocol does, as this test knows it."""

    colour: Literal["rgb", "limited", "whole limited", "full"] = "rgb"
    border: int = 0
    multiple: int = 1
    is_rounded: bool = True
    window: Any = None


EXPECTED = {
    "uint8": Settings(window=WANG),
    "promptir": Settings(multiple=16, is_rounded=False, window=UNIFORM),
    "adair": Settings(multiple=16, is_rounded=False, window=UNIFORM),
    "moce_ir": Settings(multiple=16, is_rounded=False, window=SAMPLE),
    "moce_ir_cdd11": Settings(is_rounded=False, window=SAMPLE),
    "instructir": Settings(multiple=16, is_rounded=False, window=WANG),
    "restormer_denoise": Settings(window=WANG),
    "restormer_derain": Settings(colour="whole limited", window=WANG),
    "cdd11": Settings(window=UNIFORM),
    "mperceiver": Settings(window=WANG),
    "unildiff": Settings(colour="full", multiple=16, window=WANG),
    "osediff": Settings(colour="limited", window=WANG),
    **{f"super_resolution_x{scale}": Settings(colour="limited", border=scale, window=WANG) for scale in (2, 3, 4, 8)},
}


def pair(height: int = 37, width: int = 50, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A noisy and a clean picture, (H, W, 3) float32 in [0, 1]."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width] / 51.3  # so that no value lies half-way between two levels
    gt = np.stack([rows, 0.6 * columns, 0.5 + 0.3 * np.sin(9 * rows * columns)], axis=2).clip(0.05, 0.95)
    result = (gt + generator.normal(0, 0.05, gt.shape)).clip(0, 1)
    return result.astype(np.float32), gt.astype(np.float32)


def photo_of(values: np.ndarray) -> Photo:
    return Photo(pixels=values)


def as_compared(values: np.ndarray, settings: Settings) -> np.ndarray:
    """One side on a scale of 255, by what the sources say."""
    height, width = (length - length % settings.multiple for length in values.shape[:2])
    top, left = (values.shape[0] - height) // 2, (values.shape[1] - width) // 2
    values = 255 * values[top : top + height, left : left + width].astype(np.float64)
    values = np.rint(values) if settings.is_rounded else values
    red, green, blue = np.moveaxis(values, 2, 0)
    if settings.colour == "full":
        values = (0.299 * red + 0.587 * green + 0.114 * blue)[..., None]
    elif settings.colour != "rgb":
        values = (16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255)[..., None]
        values = np.floor(values + 0.5) if settings.colour == "whole limited" else values
    cut = settings.border
    return values[cut : values.shape[0] - cut, cut : values.shape[1] - cut]


def test_every_protocol_is_looked_at_here() -> None:
    assert EXPECTED.keys() == PROTOCOLS.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_psnr_and_ssim_are_scikit_images_under_the_settings_of_the_source(name: str) -> None:
    pictures = pair()
    scores = score(*pictures, metrics=["psnr", "ssim"], protocol=name)
    result, gt = (as_compared(picture, EXPECTED[name]) for picture in pictures)
    assert scores["psnr"] == pytest.approx(peak_signal_noise_ratio(gt, result, data_range=255), abs=1e-6)
    expected = structural_similarity(gt, result, channel_axis=2, data_range=255, **EXPECTED[name].window)
    assert scores["ssim"] == pytest.approx(expected, abs=1e-6)
    assert scores.protocol == name


@pytest.mark.parametrize("name", [name for name, settings in EXPECTED.items() if settings.multiple == 16])
def test_what_lies_outside_the_multiple_is_not_compared(name: str) -> None:
    _, gt = pair(37, 50)
    result = gt.copy()
    result[:2] = result[34:] = 1 - gt[0, 0, 0]
    result[:, :1] = result[:, 49:] = 0
    assert score(result, gt, ["psnr"], protocol=name)["psnr"] == math.inf
    result[2, 1] = 0
    assert score(result, gt, ["psnr"], protocol=name)["psnr"] < 60


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_as_many_pixels_as_the_factor_are_cut_at_each_side(scale: int) -> None:
    _, gt = pair(37, 50)
    result = np.zeros_like(gt)
    result[scale:-scale, scale:-scale] = gt[scale:-scale, scale:-scale]
    protocol = f"super_resolution_x{scale}"
    assert score(result, gt, ["psnr"], protocol=protocol)["psnr"] == math.inf
    result[scale, scale] = 0
    assert score(result, gt, ["psnr"], protocol=protocol)["psnr"] < 60
    assert score(result, gt, ["psnr"], protocol="osediff")["psnr"] < 40  # which cuts nothing


@pytest.mark.parametrize(("name", "settings"), EXPECTED.items())
def test_less_than_half_a_level_is_nothing_to_a_protocol_that_rounds(name: str, settings: Settings) -> None:
    gt = np.full((32, 32, 3), 100 / 255, np.float32)
    found = score(gt + np.float32(0.4 / 255), gt, ["psnr"], protocol=name)["psnr"]
    assert found == (math.inf if settings.is_rounded else pytest.approx(20 * math.log10(255 / 0.4), abs=1e-3))


WEIGHTS = {"rgb": 1 / math.sqrt(3), "limited": 24.966 / 255, "full": 0.114}


@pytest.mark.parametrize(("name", "settings"), EXPECTED.items())
def test_a_difference_in_blue_weighs_as_much_as_the_colour_says(name: str, settings: Settings) -> None:
    gt = np.full((32, 32, 3), 100, np.uint8)
    result = gt.copy()
    result[..., 2] += 50
    found = score(result, gt, ["psnr"], protocol=name)["psnr"]
    if settings.colour == "whole limited":
        # Y = 16 + 218.999 / 255 * 100 = 101.88, level 102; 4.895 higher with blue 150: 106.78, level 107
        assert found == pytest.approx(20 * math.log10(255 / 5))
        return
    assert found == pytest.approx(20 * math.log10(255 / (50 * WEIGHTS[settings.colour])))


def test_limited_luma_of_greys_is_132_hundredths_of_a_decibel_above_full_range() -> None:
    gt = np.full((32, 32, 3), 100, np.uint8)
    result = gt + np.uint8(10)
    limited, full = (score(result, gt, ["psnr"], protocol=name)["psnr"] for name in ("osediff", "unildiff"))
    assert full == pytest.approx(20 * math.log10(255 / 10))
    assert limited - full == pytest.approx(20 * math.log10(255 / 219), abs=1e-4)  # 1.3219 dB


@pytest.mark.parametrize("name", EXPECTED)
def test_no_protocol_scales_the_brightness_of_a_result(name: str) -> None:
    gt = np.full((32, 32, 3), 200, np.uint8)
    found = score(gt // 2, gt, ["psnr"], protocol=name)["psnr"]
    weight = {"rgb": 1, "full": 1, "limited": 219 / 255, "whole limited": 219 / 255}[EXPECTED[name].colour]
    assert found == pytest.approx(20 * math.log10(255 / (100 * weight)), abs=0.05)


@pytest.mark.parametrize("name", EXPECTED)
def test_both_sides_may_change_places_and_turn_together(name: str) -> None:
    result, gt = pair(48, 64)
    scores = score(result, gt, ["psnr", "ssim"], protocol=name)
    assert dict(score(gt, result, ["psnr", "ssim"], protocol=name)) == pytest.approx(dict(scores))
    turned = [np.ascontiguousarray(picture[::-1, ::-1].transpose(1, 0, 2)) for picture in (result, gt)]
    assert dict(score(turned[0], turned[1], ["psnr", "ssim"], protocol=name)) == pytest.approx(dict(scores))


@pytest.mark.parametrize("name", EXPECTED)
def test_eight_bits_as_floats_or_as_sixteen_bits_are_the_same_pictures(name: str) -> None:
    result, gt = (np.rint(255 * picture).astype(np.uint8) for picture in pair())
    expected = dict(score(result, gt, ["psnr", "ssim"], protocol=name))
    floats = [(picture / 255).astype(np.float32) for picture in (result, gt)]
    assert dict(score(floats[0], floats[1], ["psnr", "ssim"], protocol=name)) == pytest.approx(expected, abs=1e-4)
    deep = [picture.astype(np.uint16) * np.uint16(257) for picture in (result, gt)]
    assert dict(score(deep[0], deep[1], ["psnr", "ssim"], protocol=name)) == pytest.approx(expected)


@pytest.mark.parametrize("name", EXPECTED)
def test_grey_pictures_have_the_scores_of_three_equal_channels(name: str) -> None:
    result, gt = (np.rint(255 * picture[..., :1]).astype(np.uint8) for picture in pair())
    expected = dict(score(np.repeat(result, 3, axis=2), np.repeat(gt, 3, axis=2), ["psnr", "ssim"], protocol=name))
    assert dict(score(result, gt, ["psnr", "ssim"], protocol=name)) == pytest.approx(expected)


@pytest.mark.parametrize("name", EXPECTED)
def test_transparency_changes_no_score_and_is_named(name: str) -> None:
    result, gt = (np.rint(255 * picture).astype(np.uint8) for picture in pair())
    expected = dict(score(result, gt, ["psnr", "ssim"], protocol=name))
    clear = np.dstack([result, np.full(result.shape[:2], 7, np.uint8)])
    with pytest.warns(UserWarning, match="transparency is not compared, colours alone are"):
        assert dict(score(clear, gt, ["psnr", "ssim"], protocol=name)) == pytest.approx(expected)


def test_values_of_sixteen_bits_are_rounded_to_the_nearest_level_of_eight() -> None:
    deep = np.array([0, 128, 129, 385, 386, 65535], np.uint16).reshape(1, 6, 1).repeat(3, axis=2)
    found = bring_together(photo_of(deep), photo_of(deep), PROTOCOLS["uint8"]).result
    assert found[0, :, 0].tolist() == [0, 0, 1, 1, 2, 255]
    whole = np.tile(deep, (16, 3, 1))
    exact = bring_together(photo_of(whole), photo_of(whole), PROTOCOLS["promptir"]).result
    assert exact[0, :5, 0] == pytest.approx(whole[0, 1:6, 0] / 257)  # 18 columns are cut to 16
