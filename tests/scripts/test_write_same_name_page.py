import numpy as np
import pytest
from metric_definitions import DEFINITIONS, Definition, matlab_ssim
from skimage.metrics import structural_similarity
from write_same_name_page import NOTES, PAGE, equal_protocols, note_on, own_values, picture_pair, row_of, values_of


@pytest.fixture(scope="module")
def pair():
    return picture_pair()


def lines_of_page():
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(
    "definition",
    [each for each in DEFINITIONS if each.metric in ("PSNR", "SSIM") and each.package in (None, "scikit-image")],
    ids=lambda each: f"{each.owner}-{each.call}",
)
def test_the_page_has_what_the_definitions_give_today(definition, pair):
    value = next(iter(values_of(definition, *pair).values()))
    row = next(row for row in lines_of_page() if row and row[0] == f"{definition.owner}: `{definition.call}`")
    digits = 2 if definition.metric == "PSNR" else 4
    assert row[2] == f"{value:.{digits}f}"


def test_every_definition_has_its_row_with_a_value_and_notes_stand_below(pair):
    rows = {row[0]: row for row in lines_of_page() if len(row) == 5}
    names = {f"{each.owner}: `{each.call}`" for each in DEFINITIONS}
    assert names <= rows.keys()
    assert all(float(rows[name][2]) > 0 for name in names)
    text = PAGE.read_text(encoding="utf-8")
    own = own_values(*pair)
    assert all(note_on(metric, own) in text for metric in NOTES)


def test_equal_protocols_are_those_that_give_the_same(pair):
    own = own_values(*pair)
    values = {0: own["psnr", "uint8"], 4: own["psnr", "super_resolution_x4"]}
    names = equal_protocols(values, "psnr", own)
    assert {"uint8", "promptir", "super_resolution_x4"} <= set(names)
    assert not {"osediff", "unildiff"} & set(names)  # luma, in two ranges
    assert equal_protocols({0: 0.0}, "psnr", own) == []


def test_a_volume_of_equal_planes_is_a_plane(pair):
    result, gt = (np.repeat(picture[..., :1], 3, axis=2) for picture in pair)
    assert matlab_ssim(result, gt) == pytest.approx(matlab_ssim(result[..., :1], gt[..., :1]), abs=1e-12)
    assert matlab_ssim(gt, gt) == pytest.approx(1.0, abs=1e-12)
    colours = matlab_ssim(*pair)
    planes = np.mean([matlab_ssim(*(picture[..., [index]] for picture in pair)) for index in range(3)])
    assert abs(colours - planes) > 1e-3  # the window reaches over the colours


def test_inside_the_edges_a_plane_has_scikit_images_values(pair):
    result, gt = (picture[..., 0] for picture in pair)
    options = {"gaussian_weights": True, "use_sample_covariance": False, "data_range": 255}
    theirs = structural_similarity(gt, result, **options)
    assert matlab_ssim(result[..., None], gt[..., None]) == pytest.approx(theirs, abs=5e-3)  # edges alone differ


def test_a_package_that_is_not_there_is_said(pair):
    def compute(result, gt):
        raise ImportError

    definition = Definition(
        metric="PSNR", owner="nobody", call="psnr", what="RGB", package="no-such-package", compute=compute
    )
    assert row_of(definition, *pair, {}) == ("nobody: `psnr`", "RGB", "–", "no-such-package: not installed", "–")
