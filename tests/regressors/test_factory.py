"""Networks by their names, and names by their networks."""

from typing import Any

import pytest
import torch
from torch import nn

from ldrestore.errors import ConfigError, UnknownNameError
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.regressors.factory import (
    create_regressor,
    embedding_shape_in_training,
    embedding_shape_of,
    list_regressors,
    record_of,
    size_multiple_of,
    width_of_embedding,
)

DATPRL: dict[str, Any] = {"dim": 8, "num_blocks": [1] * 4, "dec_blk_nums": [1] * 3, "num_refinement_blocks": 1}


def outline(name: str, **options: Any) -> nn.Module:
    """A network that holds no values."""
    with torch.device("meta"):
        return create_regressor(name, **options)


def test_all_names_are_listed_with_what_they_take() -> None:
    listed = list_regressors()
    assert list(listed) == [record.name for record in REGRESSORS]
    for name, record in listed.items():
        assert record.name == name and record.parameters > 0 and record.macs > 0
        assert record.tasks and record.source and record.licence and record.signature_keys


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("nafnet_gopro_w32", {}, "nafnet_gopro_w32"),
        ("nafnet", {"width": 64}, "nafnet_sidd_w64"),
        ("nafnet_gopro_w64", {}, "nafnet_gopro_w64"),  # of REDS and GoPro the layout is one: the first has it
        ("nafnet_reds_w64", {}, "nafnet_gopro_w64"),
        ("restormer", {"LayerNorm_type": "BiasFree"}, "restormer_biasfree"),
        ("moce_ir", {"dim": 32}, "moce_ir_s"),
        ("moce_ir", {"dim": 16}, "moce_ir"),
    ],
)
def test_a_network_is_the_variant_whose_options_it_has(name: str, options: dict[str, Any], expected: str) -> None:
    assert record_of(outline(name, **options)).name == expected


@pytest.mark.parametrize("name", ["datprl_ir", "datprl_ir_task_only", "datprl_ir_text"])
def test_the_source_of_the_domain_names_the_variant_whatever_the_sizes(name: str) -> None:
    assert record_of(outline(name, **DATPRL)).name == name


def test_a_class_that_nobody_registered_is_refused() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown regressor class 'torch\.nn\.modules\.linear:Linear'"):
        record_of(nn.Linear(1, 1))


def test_an_embedding_is_asked_for_where_it_steers_and_known_where_it_only_trains() -> None:
    steered, aligned, plain = outline("datprl_ir_text", **DATPRL), outline("datprl_ir", **DATPRL), outline("restormer")
    assert embedding_shape_of(steered) == embedding_shape_in_training(steered) == (1024,)
    assert embedding_shape_of(aligned) is None and embedding_shape_in_training(aligned) == (1024,)
    assert embedding_shape_of(plain) is None and embedding_shape_in_training(plain) is None
    assert width_of_embedding(steered) == width_of_embedding(aligned) == 1024
    assert embedding_shape_of(outline("mmfe_ir", embedding_width=896)) == (3, 896)
    assert embedding_shape_of(outline("mmfe_ir", guide="prompt_encoder")) is None
    assert embedding_shape_of(outline("instructir", with_text=False)) is None


@pytest.mark.parametrize(
    ("name", "options", "multiple"),
    [
        ("nafnet", {}, 16),
        ("nafnet", {"enc_blk_nums": (1, 1), "dec_blk_nums": (1, 1), "squeeze": 3}, 12),
        ("instructir", {"enc_blk_nums": (1,), "dec_blk_nums": (1,)}, 2),
        ("grid_nafnet", {"enc_blk_nums": (1, 1), "dec_blk_nums": (1, 1), "squeeze": 1}, 4),
        ("restormer", {}, 8),
    ],
)
def test_sides_are_multiples_of_what_all_levels_halve(name: str, options: dict[str, Any], multiple: int) -> None:
    assert size_multiple_of(outline(name, **options)) == multiple


def test_overrides_win_and_lists_are_as_good_as_tuples() -> None:
    first, second = (outline("nafnet", enc_blk_nums=kind((1, 2)), dec_blk_nums=kind((2, 1))) for kind in (tuple, list))
    assert list(first.state_dict()) == list(second.state_dict())
    assert first.config["width"] == REGRESSORS.get("nafnet").options["width"]


def test_what_a_class_itself_refuses_keeps_its_words() -> None:
    with pytest.raises(ConfigError, match=r"^enc_blk_nums and dec_blk_nums must be equally long"):
        create_regressor("nafnet", enc_blk_nums=(1,), dec_blk_nums=(1, 1))
