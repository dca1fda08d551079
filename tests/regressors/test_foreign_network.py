"""Networks of spandrel, seen through what spandrel says of them."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ldrestore.errors import WeightsError, WeightsUnavailableError
from ldrestore.regressors.foreign_network import NOT_STATED, ForeignNetwork, load_foreign


class Doubling(nn.Module):
    """Each pixel twice along each side, and a little brighter."""

    def __init__(self) -> None:
        super().__init__()
        self.lift = nn.Parameter(torch.tensor(0.125))

    def forward(self, lq: Tensor) -> Tensor:
        return lq.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) + self.lift


def descriptor(**changes: Any) -> Any:
    """What spandrel would tell of it; calls are kept in `calls`."""
    model, calls = Doubling(), []

    class Described(SimpleNamespace):
        def __call__(self, lq: Tensor) -> Tensor:
            calls.append(tuple(lq.shape))
            with torch.inference_mode():
                return self.model(lq)

    facts = {
        "model": model,
        "calls": calls,
        "architecture": SimpleNamespace(name="Doubler"),
        "input_channels": 3,
        "output_channels": 3,
        "size_requirements": SimpleNamespace(multiple_of=4, minimum=8, square=False),
        "tiling": SimpleNamespace(name="SUPPORTED"),
        "purpose": "SR",
        "scale": 2,
        "tags": ["64nf"],
        "supports_half": False,
        "supports_bfloat16": True,
    }
    return Described(**{**facts, **changes})


def test_its_facts_are_those_that_spandrel_tells() -> None:
    facts = ForeignNetwork(descriptor(), licence="MIT").facts
    assert (facts.architecture, facts.purpose, facts.scale, facts.channels) == ("Doubler", "SR", 2, 3)
    assert (facts.size_multiple, facts.smallest_side, facts.tags, facts.licence) == (4, 8, ("64nf",), "MIT")


@pytest.mark.parametrize(
    ("tiling", "square", "takes_tiles"),
    [("SUPPORTED", False, True), ("SUPPORTED", True, False), ("DISCOURAGED", False, False), ("INTERNAL", False, False)],
)
def test_tiles_are_taken_where_a_part_is_restored_as_within_the_whole(
    tiling: str, square: bool, takes_tiles: bool
) -> None:
    sizes = SimpleNamespace(multiple_of=1, minimum=0, square=square)
    network = ForeignNetwork(
        descriptor(tiling=SimpleNamespace(name=tiling), size_requirements=sizes), licence=NOT_STATED
    )
    assert network.facts.takes_tiles is takes_tiles


@pytest.mark.parametrize(("given", "made"), [(4, 4), (3, 1), (2, 3)])
def test_other_channels_than_one_or_three_are_refused(given: int, made: int) -> None:
    with pytest.raises(WeightsError, match=f"Doubler takes {given} channels and gives {made}; expected 1 or 3"):
        ForeignNetwork(descriptor(input_channels=given, output_channels=made), licence="MIT")


@pytest.mark.parametrize(
    ("network_channels", "picture_channels", "calls"),
    [(3, 3, [(1, 3, 4, 6)]), (3, 1, [(1, 3, 4, 6)]), (1, 3, [(1, 1, 4, 6)] * 3), (1, 1, [(1, 1, 4, 6)])],
)
def test_grey_and_coloured_pictures_go_through_either_network(
    network_channels: int, picture_channels: int, calls: list[tuple[int, ...]]
) -> None:
    described = descriptor(input_channels=network_channels, output_channels=network_channels)
    network, lq = ForeignNetwork(described, licence="MIT"), torch.rand(1, picture_channels, 4, 6)
    restored = network(lq)
    assert described.calls == calls
    torch.testing.assert_close(restored, lq.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3) + 0.125)
    restored.mul_(2)  # no tensor of inference mode, which could not be changed


def test_a_number_type_that_it_does_not_compute_in_is_refused_and_others_give_float32() -> None:
    network = ForeignNetwork(descriptor(), licence="MIT")
    with pytest.raises(WeightsError, match=r"Doubler does not compute in torch\.float16; leave --dtype out"):
        network.to(torch.device("cpu"), torch.float16)
    assert network.dtype == torch.float32
    network.to(torch.device("cpu"), torch.bfloat16)
    assert (network.dtype, network.device) == (torch.bfloat16, torch.device("cpu"))
    assert network(torch.rand(1, 3, 4, 4)).dtype == torch.float32


def test_pickles_are_for_the_converter_and_missing_and_damaged_files_say_so(tmp_path: Any) -> None:
    with pytest.raises(WeightsError, match=r"x\.pth may be a pickle.*ldrestore convert spandrel"):
        load_foreign(tmp_path / "x.pth")
    with pytest.raises(WeightsUnavailableError, match=r"x\.safetensors"):
        load_foreign(tmp_path / "x.safetensors")
    (tmp_path / "y.safetensors").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match=r"y\.safetensors"):
        load_foreign(tmp_path / "y.safetensors")
    save_file({"weight": torch.tensor([float("nan")])}, tmp_path / "z.safetensors")
    with pytest.raises(WeightsError, match=r"z\.safetensors"):
        load_foreign(tmp_path / "z.safetensors")


def test_weights_that_spandrel_does_not_know_are_refused_by_their_file(tmp_path: Any) -> None:
    save_file({"nobody.knows.weight": torch.ones(2)}, tmp_path / "own.safetensors")
    with pytest.raises(WeightsError, match=r"own\.safetensors holds no network that spandrel .* recognises"):
        load_foreign(tmp_path / "own.safetensors")
