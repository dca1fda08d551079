"""What a pipeline has changed in its U-Net: attached once, again where a part was replaced, and undone to the bit."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0

from ldrestore.adapters.dispatching_attention import DispatchingAttnProcessor
from ldrestore.adapters.fusion_attachment import FusionAttachment, attach_fusion
from ldrestore.adapters.residual_alignment import ResidualAlignment
from ldrestore.adapters.unet_connection import UNetConnection
from tests.tiny_xl import tiny_unet
from tests.tiny_xl_pipeline import tiny_alignment, tiny_daff

NAMES = ("daff", "residual_alignment")


def connection_of(attach: Callable[..., FusionAttachment] = attach_fusion) -> UNetConnection[FusionAttachment]:
    return UNetConnection(attach, attached=NAMES, attending=("unet", *NAMES))


def parts_of(**replaced: Any) -> dict[str, Any]:
    return {"unet": tiny_unet(), "daff": tiny_daff(), "residual_alignment": None, **replaced}


def changes_of(unet: UNet2DConditionModel) -> list[Any]:
    """All hooks and processors, by the module."""
    hooks = [(dict(one._forward_hooks), dict(one._forward_pre_hooks)) for one in unet.modules()]
    return [hooks, unet.attn_processors]


def kinds_of(unet: UNet2DConditionModel) -> set[type]:
    return {type(one) for one in unet.attn_processors.values()}


def backends_of(part: torch.nn.Module) -> set[Any]:
    processors = [module.processor for module in part.modules() if hasattr(module, "processor")]
    return {str(getattr(one, "_attention_backend", None)) for one in processors}


def test_connecting_twice_attaches_once_and_disconnecting_leaves_the_unet_as_it_was() -> None:
    calls = []

    def attach(unet: Any, part: Any) -> FusionAttachment:
        calls.append((unet, part))
        return attach_fusion(unet, part)

    connection, parts = connection_of(attach), parts_of()
    before = changes_of(parts["unet"])
    connection.connect(parts)
    first = connection.attachment
    connection.connect(parts)
    assert connection.attachment is first and calls == [(parts["unet"], parts["daff"])]
    assert changes_of(parts["unet"]) != before
    connection.disconnect()
    assert connection.attachment is None and changes_of(parts["unet"]) == before
    connection.disconnect()
    assert changes_of(parts["unet"]) == before


def test_the_part_that_there_is_is_attached() -> None:
    alignment = tiny_alignment()
    connection, parts = connection_of(), parts_of(daff=None, residual_alignment=alignment)
    connection.connect(parts)
    assert connection.attachment is not None and connection.attachment.fusion is alignment


def test_a_replaced_part_takes_the_place_of_the_one_before() -> None:
    connection, parts = connection_of(), parts_of()
    connection.connect(parts)
    parts |= {"daff": None, "residual_alignment": tiny_alignment()}
    connection.connect(parts)
    assert connection.attachment is not None and isinstance(connection.attachment.fusion, ResidualAlignment)
    assert len(parts["unet"].conv_in._forward_hooks) == 1


def test_a_replaced_unet_is_attached_to_and_the_old_one_is_given_back() -> None:
    connection, parts = connection_of(), parts_of()
    old = parts["unet"]
    before = changes_of(old)
    connection.connect(parts)
    parts["unet"] = tiny_unet(seed=1)
    connection.connect(parts)
    assert changes_of(old) == before
    assert connection.attachment is not None and connection.attachment.unet is parts["unet"]


def test_a_part_that_was_taken_out_is_detached() -> None:
    connection, parts = connection_of(), parts_of()
    before = changes_of(parts["unet"])
    connection.connect(parts)
    parts["daff"] = None
    connection.connect(parts)
    assert connection.attachment is None and changes_of(parts["unet"]) == before


def test_without_a_part_the_unet_is_left_alone_until_a_backend_is_chosen() -> None:
    connection, parts = connection_of(), parts_of(daff=None)
    connection.connect(parts)
    assert kinds_of(parts["unet"]) == {AttnProcessor2_0}
    connection.choose_backend("native", parts)
    assert kinds_of(parts["unet"]) == {DispatchingAttnProcessor}
    old = parts["unet"]
    parts["unet"] = tiny_unet(seed=1)
    connection.connect(parts)
    assert kinds_of(old) == {AttnProcessor2_0} and kinds_of(parts["unet"]) == {DispatchingAttnProcessor}
    connection.disconnect()
    assert kinds_of(parts["unet"]) == {AttnProcessor2_0}


def test_a_chosen_backend_reaches_unet_and_parts_also_those_that_come_later() -> None:
    connection, parts = connection_of(), parts_of()
    connection.choose_backend("native", parts)
    expected = backends_of(parts["daff"])
    assert "native" in str(expected).lower() and backends_of(parts["unet"]) == expected
    parts |= {"daff": None, "residual_alignment": tiny_alignment()}
    assert backends_of(parts["residual_alignment"]) != expected
    connection.connect(parts)
    assert backends_of(parts["residual_alignment"]) == backends_of(parts["unet"]) == expected
    connection.disconnect()
    assert connection.backend == "native"  # for the next connection


@pytest.mark.parametrize("has_part", [True, False])
def test_a_backend_that_nobody_knows_leaves_all_as_it_was(has_part) -> None:
    connection, parts = connection_of(), parts_of() if has_part else parts_of(daff=None)
    connection.choose_backend("native", parts)
    with pytest.raises(ValueError, match="no-such-backend"):
        connection.choose_backend("no-such-backend", parts)
    assert connection.backend == "native"
    connection.connect(parts)
    assert kinds_of(parts["unet"]) == {DispatchingAttnProcessor}
    assert (connection.attachment is not None) == has_part
    connection.disconnect()
    assert kinds_of(parts["unet"]) == {AttnProcessor2_0}


def test_what_cannot_be_attached_leaves_nothing() -> None:
    connection, parts = connection_of(), parts_of(daff=tiny_daff(block_out_channels=(16, 32)))
    before = changes_of(parts["unet"])
    for _ in range(2):  # the second try is not taken for a connection that exists
        with pytest.raises(ValueError, match="another U-Net's"):
            connection.connect(parts)
        assert connection.attachment is None and changes_of(parts["unet"]) == before


def test_a_compiled_unet_is_connected_by_what_was_compiled() -> None:
    connection, parts = connection_of(), parts_of()
    plain = parts["unet"]
    connection.connect(parts)
    first = connection.attachment
    parts["unet"] = torch.compile(plain, backend="eager")
    connection.connect(parts)
    assert connection.attachment is first and first is not None and first.unet is plain
