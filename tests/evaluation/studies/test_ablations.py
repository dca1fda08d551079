"""Table 9 with tiny networks: exports of some rows are put together as a user would, and restored."""

import pytest
import torch

from ldrestore.adapters.injection import InjectionLayers
from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.errors import InputError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.evaluation.published_tables import find_published
from ldrestore.evaluation.studies.ablations import (
    ROWS,
    AblationOptions,
    contestant_of,
    measure_ablations,
    parts_of_model,
    report_ablations,
)
from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.prompts.textual_prompts import TextualPromptPool
from tests.adapters.conftest import randomize
from tests.tiny_autoencoder import make_drm, trained
from tests.tiny_stable import tiny_base, tiny_tower

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own

NAMES = ("haze", "rain")
THERE = ("bare", "visual_no_pool", "full")
"""Rows whose models are made; the others are told to be missing."""
OPTIONS = AblationOptions(set="builtin", crop=16, steps=2, degradations=("rain",), printed=("rain",))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The models of some rows, each in a folder of the row's name."""
    root, base = tmp_path_factory.mktemp("runs"), tiny_base()
    for name, part in (base | {"image_encoder": tiny_tower()}).items():
        part.save_pretrained(root / "base" / name)
    torch.manual_seed(1)
    sizes = {"channels": (8, 16), "num_res_blocks": 1, "attention_levels": (0,), "num_heads": 2, "out_channels": 8}
    prompts = {"prompt_dim": 6, "num_prompt_heads": 2, "prompt_head_dim": 4, "num_groups": 4}
    predictor = DegradationPredictor(NAMES, embedding_dim=6, hidden_dim=8)
    trained(make_drm(degradations=NAMES)).save_pretrained(root / "refiner/drm")
    for name, of_row in ((name, ROWS[name]) for name in THERE):
        parts = {
            "cm_adapter": CMAdapter(NAMES, embedding_dim=6, text_dim=8, num_tokens=3, num_heads=2),
            "textual_prompts": TextualPromptPool(NAMES, num_tokens=2, text_dim=8),
            "ir_adapter": IRAdapter(NAMES, **sizes, **prompts, num_prompts=3 if of_row.has_prompts else 0),
            "injection": InjectionLayers.for_unet(base["unet"], feature_channels=8),
        }
        for part in of_row.parts:
            randomize(parts[part]).save_pretrained(root / "exports" / name / part)
        predictor.save_pretrained(root / "exports" / name / "predictor")
    with without_progress_bar():
        for name in THERE:
            exports = [root / "exports" / name, *([root / "refiner"] if ROWS[name].is_refined else [])]
            pipeline = StableRestorePipeline.from_exports(root / "base", *exports, local_files_only=True)
            pipeline.save_pretrained(root / "models" / name)
    return root / "models"


def test_rows_that_are_there_are_restored_and_missing_ones_are_told(models, call, distance):
    results = measure_ablations(OPTIONS, call(*(models / name for name in reversed(THERE))))
    assert not results.failures
    assert [row.name for row in results.contestants] == ["input", *THERE]
    hashes = {row.contestant: row.sha256 for row in results.outputs}
    assert len(set(hashes.values())) == len(hashes)
    starts = {row.name: row.options.get("strength") for row in results.contestants}
    assert starts == {"input": None, "bare": 0.5, "visual_no_pool": None, "full": None}
    text = report_ablations(results)
    means = {row.contestant: row.mean for row in results.means if (row.dataset, row.metric) == ("rain", "psnr")}
    assert f"| + both + refinement | noise | {means['full']:.2f} |" in text
    assert "| + both without the textual pool | not measured |  |  |  | 25.20 |" in text
    assert f"| bare prior | the picture, strength 0.5 | {means['bare']:.2f} |" in text
    assert f"| degraded |  | {means['input']:.2f} |" in text


def test_printed_figures_are_those_of_the_paper():
    printed = find_published("mperceiver/table_9").rows
    assert {row.printed for row in ROWS.values()} == set(printed)
    assert printed[ROWS["visual_no_pool"].printed][0] == 24.94


def test_a_model_of_another_row_is_refused(models, tmp_path):
    assert parts_of_model(models / "visual_no_pool") == (("ir_adapter", "injection"), False, False)
    with pytest.raises(InputError, match=r"has ir_adapter, injection, no visual pools; the row '\+ visual' is of"):
        contestant_of("visual", str(models / "visual_no_pool"), OPTIONS)
    with pytest.raises(InputError, match="a refinement; the row 'bare prior' is of no branch; train it with"):
        contestant_of("bare", str(models / "full"), OPTIONS)


def test_a_folder_that_is_no_row_is_refused(call):
    with pytest.raises(InputError, match="no model at nowhere/bare; put it together with ldrestore assemble"):
        measure_ablations(OPTIONS, call("nowhere/bare"))
    with pytest.raises(InputError, match="mine is no row of Table 9; name the folders bare, text,"):
        measure_ablations(OPTIONS, call("somewhere/mine"))
