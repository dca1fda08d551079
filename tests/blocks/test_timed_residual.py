"""The residual block of diffusion U-Nets, with and without a timestep."""

import pytest
import torch

from ldrestore.blocks.timed_residual import TimedResidualBlock
from ldrestore.errors import InputError


def filled(**options: int | None) -> TimedResidualBlock:
    """A block none of whose layers is silent."""
    torch.manual_seed(0)
    block = TimedResidualBlock(4, **{"out_channels": 6, "temb_dim": 5, "num_groups": 2, **options})
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return block


@pytest.mark.parametrize("temb_dim", [None, 5])
def test_it_starts_as_its_skip_connection(temb_dim: int | None) -> None:
    features, temb = torch.randn(2, 4, 3, 5), None if temb_dim is None else torch.randn(2, 5)
    same = TimedResidualBlock(4, out_channels=4, temb_dim=temb_dim, num_groups=2)
    assert torch.equal(same(features, temb), features)
    wider = TimedResidualBlock(4, out_channels=6, temb_dim=temb_dim, num_groups=2)
    assert torch.equal(wider(features, temb), wider.skip_connection(features))


def test_a_timestep_shifts_each_channel_alike_at_all_places() -> None:
    block, features = filled(), torch.randn(1, 4, 3, 5)
    inner: list[torch.Tensor] = []
    block.out_layers.register_forward_pre_hook(lambda _, inputs: inner.append(inputs[0]))
    early, late = torch.randn(2, 1, 5)
    for temb in (early, late):
        block(features, temb)
    shift = inner[1] - inner[0]
    expected = block.emb_layers(late) - block.emb_layers(early)
    torch.testing.assert_close(shift, expected[..., None, None].expand(1, 6, 3, 5), rtol=1e-4, atol=1e-5)


def test_each_picture_has_a_timestep_of_its_own() -> None:
    block, features, temb = filled(), torch.randn(3, 4, 3, 5), torch.randn(3, 5)
    alone = [block(features[i : i + 1], temb[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(block(features, temb), torch.cat(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("temb_dim", "out_channels"), [(5, 6), (5, 4), (None, 6), (None, 4)])
def test_names_are_those_of_the_original_checkpoints(temb_dim: int | None, out_channels: int) -> None:
    layers = ["in_layers.0", "in_layers.2", "out_layers.0", "out_layers.3"]
    layers += ["emb_layers.1"] if temb_dim else []
    layers += ["skip_connection"] if out_channels != 4 else []
    keys = filled(temb_dim=temb_dim, out_channels=out_channels).state_dict().keys()
    assert keys == {f"{layer}.{name}" for layer in layers for name in ("weight", "bias")}


def test_it_says_what_it_takes() -> None:
    with pytest.raises(InputError, match="takes a timestep embedding; build it with the other temb_dim"):
        filled()(torch.randn(1, 4, 3, 3))
    with pytest.raises(InputError, match="takes no timestep embedding"):
        filled(temb_dim=None)(torch.randn(1, 4, 3, 3), torch.randn(1, 5))


def test_gradients_are_exact() -> None:
    block = filled().double()
    features, temb = torch.randn(1, 4, 2, 2, dtype=torch.float64), torch.randn(1, 5, dtype=torch.float64)
    assert torch.autograd.gradcheck(block, (features.requires_grad_(), temb.requires_grad_()))
