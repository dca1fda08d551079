"""Parts that do not belong together are refused by name, before anything is computed."""

from typing import Any

import pytest

from ldrestore.adapters.injection import InjectionLayers
from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.adapters.residual_alignment import ResidualAlignment
from ldrestore.errors import WeightsError
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.prompts.textual_prompts import TextualPromptPool
from ldrestore.refiners.daem import DetailExpertModule
from ldrestore.systems.mperceiver_parts import MPERCEIVER_PARTS, check_parts
from ldrestore.systems.unildiff_parts import FUSIONS, UNILDIFF_PARTS, check_xl_parts
from tests.tiny_autoencoder import make_drm, make_vae
from tests.tiny_clip import tiny_tower
from tests.tiny_stable import NAMES, tiny_adapters, tiny_base
from tests.tiny_xl import tiny_xl_base
from tests.tiny_xl_pipeline import tiny_daff, tiny_xl_adapters

ADAPTER = {"channels": (8, 16), "num_res_blocks": 1, "attention_levels": (0,), "num_heads": 2, "out_channels": 8}
PROMPTS = {"num_prompts": 3, "prompt_dim": 6, "num_prompt_heads": 2, "prompt_head_dim": 4, "num_groups": 4}


@pytest.fixture(scope="module")
def stable() -> dict[str, Any]:
    base = tiny_base()
    return {**base, **tiny_adapters(base["unet"]), "image_encoder": tiny_tower()}


@pytest.fixture(scope="module")
def xl() -> dict[str, Any]:
    base = tiny_xl_base()
    return {**base, **tiny_xl_adapters(base["vae"]), "residual_alignment": None}


def test_parts_of_one_model_belong_together_with_all_that_may_be_left_out_left_out(stable, xl) -> None:
    check_parts(stable)
    check_parts({name: part for name, part in stable.items() if name not in MPERCEIVER_PARTS.optional})
    check_xl_parts(xl)
    check_xl_parts({name: part for name, part in xl.items() if name not in UNILDIFF_PARTS.optional})
    check_xl_parts({**xl, "daff": None, "residual_alignment": ResidualAlignment(8, 16, num_heads=2)})


@pytest.mark.parametrize("name", ["vae", "unet", "text_encoder", "image_encoder", "predictor"])
def test_a_needed_part_of_the_stable_track_is_named(stable, name) -> None:
    with pytest.raises(WeightsError, match=f"^a StableRestorePipeline needs {name}; give all of .*{name}"):
        check_parts({**stable, name: None})


@pytest.mark.parametrize("name", ["vae", "unet", "text_encoder", "text_encoder_2", "tokenizer_2", "lq_encoder"])
def test_a_needed_part_of_the_xl_track_is_named(xl, name) -> None:
    with pytest.raises(WeightsError, match=f"XLRestorePipeline needs {name}; give all of .*{name}"):
        check_xl_parts({one: part for one, part in xl.items() if one != name})


def test_what_works_together_only_is_not_taken_apart(stable) -> None:
    for missing in ("ir_adapter", "injection"):
        with pytest.raises(WeightsError, match="ir_adapter and injection work together only"):
            check_parts({**stable, missing: None})
    with pytest.raises(WeightsError, match="textual_prompts stand beside the words of a cm_adapter"):
        check_parts({**stable, "cm_adapter": None})
    check_parts({**stable, "textual_prompts": None})


def test_a_base_of_the_other_track_is_refused(stable, xl) -> None:
    with pytest.raises(WeightsError):
        check_parts({**stable, "unet": xl["unet"]})
    with pytest.raises(WeightsError):
        check_xl_parts({**xl, "unet": stable["unet"]})


OTHERS = ("rain", "haze", "snow")


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("cm_adapter", CMAdapter(OTHERS, embedding_dim=6, text_dim=8, num_tokens=3, num_heads=2)),
        ("textual_prompts", TextualPromptPool(OTHERS, num_tokens=2, text_dim=8)),
        ("ir_adapter", IRAdapter(OTHERS, **ADAPTER, **PROMPTS)),
        ("drm", make_drm(degradations=OTHERS)),
    ],
)
def test_parts_that_know_other_degradations_are_refused(stable, name, part) -> None:
    expected = f"^{name} knows rain, haze, snow, the predictor rain, haze, jpeg; take all parts from one model$"
    with pytest.raises(WeightsError, match=expected):
        check_parts({**stable, name: part})


def test_the_same_names_in_another_order_are_others(stable) -> None:
    turned = CMAdapter(NAMES[::-1], embedding_dim=6, text_dim=8, num_tokens=3, num_heads=2)
    with pytest.raises(WeightsError, match="cm_adapter knows jpeg, haze, rain"):
        check_parts({**stable, "cm_adapter": turned})


def test_a_refiner_that_did_not_grow_with_the_rest_is_told_how_to(stable) -> None:
    earlier = make_drm(degradations=NAMES[:2])
    with pytest.raises(WeightsError, match=r"drm knows rain, haze, .*, or grow the module .*refiner_few_shot\.yaml"):
        check_parts({**stable, "drm": earlier})


@pytest.mark.parametrize(
    ("name", "part", "message"),
    [
        ("predictor", DegradationPredictor(NAMES, embedding_dim=7, hidden_dim=8), "predictor and image_encoder"),
        (
            "cm_adapter",
            CMAdapter(NAMES, embedding_dim=7, text_dim=8, num_tokens=3, num_heads=2),
            "cm_adapter and image_encoder do not fit: 7 and 6",
        ),
        (
            "cm_adapter",
            CMAdapter(NAMES, embedding_dim=6, text_dim=12, num_tokens=3, num_heads=2),
            "cm_adapter and text_encoder do not fit: 12 and 8",
        ),
        (
            "ir_adapter",
            IRAdapter(NAMES, **{**ADAPTER, "in_channels": 5}, **PROMPTS),
            "ir_adapter and unet do not fit: 5 and 4",
        ),
        (
            "ir_adapter",
            IRAdapter(NAMES, **{**ADAPTER, "out_channels": 16}, **PROMPTS),
            "ir_adapter and injection do not fit: 16 and 8",
        ),
        (
            "ir_adapter",
            IRAdapter(NAMES, **{**ADAPTER, "channels": (8, 16, 16)}, **PROMPTS),
            "ir_adapter and injection do not fit: 3 and 2",
        ),
        (
            "injection",
            InjectionLayers((8, 8), 1, feature_channels=8, num_groups=4),
            r"injection and unet do not fit: \[8, 8\] and \[8, 16\]",
        ),
        ("drm", make_drm(4), r"drm and vae do not fit: \[8, 16, 16, 16\] and \[8, 8, 16\]"),
        ("image_encoder", tiny_tower(projection_dim=10), "predictor and image_encoder do not fit: 6 and 10"),
    ],
)
def test_widths_that_do_not_meet_are_told_in_the_stable_track(stable, name, part, message) -> None:
    with pytest.raises(WeightsError, match=message):
        check_parts({**stable, name: part})


@pytest.mark.parametrize(
    ("replaced", "message"),
    [
        ({"daff": tiny_daff(lq_channels=24)}, "daff and lq_encoder do not fit: 24 and 16"),
        ({"daff": tiny_daff(text_dim=24)}, "daff and both text encoders do not fit: 24 and 20"),
        ({"daff": tiny_daff(block_out_channels=(16, 32))}, "daff and unet do not fit: 16 and 8"),
        (
            {"daff": tiny_daff(lq="latent", lq_channels=16, block_out_channels=(16, 32))},
            "daff and lq_encoder do not fit: 16 and 8",
        ),
        (
            {"daff": None, "residual_alignment": ResidualAlignment(8, 12, num_heads=2)},
            "residual_alignment and lq_encoder do not fit: 12 and 16",
        ),
        (
            {"daff": None, "residual_alignment": ResidualAlignment(12, 16, num_heads=2)},
            "residual_alignment and unet do not fit: 12 and 8",
        ),
        (
            {"lq_encoder": LQEncoder((8, 16, 16), 1, norm_num_groups=4)},
            r"lq_encoder and vae do not fit: \[8, 16, 16\] and \[8, 8, 16\]",
        ),
        (
            {"daem": DetailExpertModule((8, 16, 16), (8, 8, 8), head_dim=4)},
            r"daem and vae do not fit: \[8, 16, 16\] and \[8, 8, 16\]",
        ),
        ({"vae": make_vae(4)}, "lq_encoder and vae do not fit"),
    ],
)
def test_widths_that_do_not_meet_are_told_in_the_xl_track(xl, replaced, message) -> None:
    with pytest.raises(WeightsError, match=message):
        check_xl_parts({**xl, **replaced})


def test_encoders_in_each_others_place_are_told_apart(xl) -> None:
    with pytest.raises(WeightsError, match="do not fit"):
        check_xl_parts({**xl, "text_encoder_2": xl["text_encoder"]})


def test_a_fusion_takes_its_place_alone(xl) -> None:
    with pytest.raises(WeightsError, match="daff and residual_alignment take one place in the U-Net"):
        check_xl_parts({**xl, "residual_alignment": ResidualAlignment(8, 16, num_heads=2)})
    assert set(FUSIONS) <= set(UNILDIFF_PARTS.optional)


def test_a_fusion_that_reads_no_text_fits_any_text_encoder(xl) -> None:
    check_xl_parts({**xl, "daff": tiny_daff(text_dim=None)})
