"""The injection layers are Eq. 5 of MPerceiver and the published ones."""

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch.nn import functional as F

from ldrestore.adapters.attachment import attach
from ldrestore.adapters.injection import (
    InjectionLayer,
    InjectionLayers,
    options_of_checkpoint,
    split_released_unet,
)
from ldrestore.errors import ConfigError, ShapeError
from ldrestore.weights.fitting import check_fit
from tests.adapters.conftest import randomize, tiny_unet
from tests.parity_rule import checkpoint

FIXTURES = Path(__file__).parent / "fixtures"


def group_norm(layer, states):
    """Norm of Eq. 5, group by group."""
    norm, groups = layer.param_free_norm, []
    for group in states.unflatten(1, (norm.num_groups, -1)).unbind(dim=1):
        mean = group.mean(dim=(1, 2, 3), keepdim=True)
        variance = group.var(dim=(1, 2, 3), unbiased=False, keepdim=True)
        groups.append((group - mean) / (variance + 1e-5).sqrt())
    return torch.cat(groups, dim=1) * norm.weight[:, None, None] + norm.bias[:, None, None]


def gamma_and_beta(layer, features):
    """The two convolutions on the shared one, pixel by pixel."""
    shared = layer.mlp_shared[0]
    hidden = slow_conv(features, shared).clamp(min=0)
    return slow_conv(hidden, layer.mlp_gamma), slow_conv(hidden, layer.mlp_beta)


def slow_conv(states, layer):
    padded, (height, width) = F.pad(states, (1, 1, 1, 1)), states.shape[-2:]
    pixels = [
        (padded[:, None, :, y : y + 3, x : x + 3] * layer.weight).sum(dim=(2, 3, 4)) + layer.bias
        for y in range(height)
        for x in range(width)
    ]
    return torch.stack(pixels, dim=-1).unflatten(-1, (height, width))


@pytest.mark.parametrize("injection", ["residual", "released"])
def test_a_layer_is_equation_5(injection):
    torch.manual_seed(0)
    layer = randomize(InjectionLayer(8, feature_channels=6, num_groups=4, injection=injection))
    states, features = torch.randn(2, 8, 3, 4), torch.randn(2, 6, 3, 4)
    gamma, beta = gamma_and_beta(layer, features)
    normed = group_norm(layer, states)
    expected = normed * (1 + gamma) + beta if injection == "released" else states + gamma * normed + beta
    torch.testing.assert_close(layer(states, features), expected, rtol=1e-4, atol=1e-4)


def test_the_residual_layer_starts_as_the_identity():
    states, features = torch.randn(1, 8, 3, 4), torch.randn(1, 6, 3, 4)
    sizes = dict(feature_channels=6, num_groups=4)
    assert torch.equal(InjectionLayer(8, injection="residual", **sizes)(states, features), states)
    assert not torch.allclose(InjectionLayer(8, injection="released", **sizes)(states, features), states, atol=0.1)


def test_half_precision_states_keep_their_type_and_bits():
    layer = InjectionLayer(8, feature_channels=6, num_groups=4, injection="residual")  # float32 beside a half U-Net
    states, features = torch.randn(1, 8, 3, 4).bfloat16(), torch.randn(1, 6, 3, 4)
    assert torch.equal(layer(states, features), states)
    assert torch.equal(layer.bfloat16()(states, features.bfloat16()), states)


@pytest.mark.parametrize("shape", [(1, 6, 3, 3), (2, 6, 3, 4), (1, 6, 1, 1)])
def test_features_that_do_not_lie_over_the_states_are_refused(shape):
    layer = InjectionLayer(8, feature_channels=6, num_groups=4, injection="residual")
    with pytest.raises(ShapeError, match="do not lie over states of shape"):
        layer(torch.randn(1, 8, 3, 4), torch.randn(shape))


def test_stable_diffusion_has_22_layers_of_the_published_size():
    with torch.device("meta"):
        injection = InjectionLayers(injection="released")
    layers = [layer for layer in injection.modules() if isinstance(layer, InjectionLayer)]
    assert len(layers) == 22
    assert round(sum(parameter.numel() for parameter in injection.parameters()) / 1e6, 1) == 59.5


def test_saved_layers_are_the_same(injection, tmp_path):
    randomize(injection).save_pretrained(tmp_path)
    loaded = InjectionLayers.from_pretrained(tmp_path)
    assert loaded.config["injection"] == "residual"
    assert loaded.state_dict().keys() == injection.state_dict().keys()
    assert all(torch.equal(value, injection.state_dict()[key]) for key, value in loaded.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [({"injection": "spade"}, "residual, released, got 'spade'"), ({"block_out_channels": (30,)}, "multiples of num_")],
)
def test_layers_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        InjectionLayers(**options)


def test_a_base_with_uneven_blocks_is_refused():
    with pytest.raises(ConfigError, match="expected one layers_per_block"):
        InjectionLayers.for_unet(tiny_unet(layers_per_block=(1, 2)))


def released_layout():
    """The published file without its numbers: every key, and a tensor of its shape."""
    lines = (FIXTURES / "released_unet.txt").read_text(encoding="utf-8").splitlines()
    shapes = dict(line.split(" ") for line in lines)
    return {key: torch.empty([int(size) for size in shape.split("x")], device="meta") for key, shape in shapes.items()}


def stable_diffusion_unet():
    """The U-Net of Stable Diffusion 2.1, without weights."""
    with torch.device("meta"):
        return UNet2DConditionModel(
            cross_attention_dim=1024, attention_head_dim=(5, 10, 20, 20), use_linear_projection=True
        )


def test_the_released_layout_is_split_into_base_and_layers():
    unet, injection = split_released_unet(released_layout())
    with torch.device("meta"):
        layers = InjectionLayers(**options_of_checkpoint(injection), injection="released")
    check_fit(stable_diffusion_unet(), {key: value.shape for key, value in unet.items()}, source="base")
    check_fit(layers, {key: value.shape for key, value in injection.items()}, source="layers")


def test_each_released_layer_comes_to_its_residual_block():
    places = {
        "input_blocks.1.0": ("down_blocks.0.0", 320),
        "input_blocks.4.0": ("down_blocks.1.0", 640),
        "input_blocks.11.0": ("down_blocks.3.1", 1280),
        "middle_block.2": ("mid_block.1", 1280),
        "output_blocks.0.0": ("up_blocks.0.0", 1280),
        "output_blocks.10.0": ("up_blocks.3.1", 320),
    }
    marks = {
        f"{theirs}.spade.mlp_beta.bias": torch.full((width,), float(number))
        for number, (theirs, (_, width)) in enumerate(places.items())
    }
    _, injection = split_released_unet(released_layout() | marks)
    for number, (ours, width) in enumerate(places.values()):
        assert torch.equal(injection[f"{ours}.mlp_beta.bias"], torch.full((width,), float(number)))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_published_weights_compute_what_the_authors_code_computes():
    base, injection = split_released_unet(checkpoint(FIXTURES / "released_unet.txt"))
    unet = stable_diffusion_unet().eval()
    unet.load_state_dict(base, assign=True)  # 3.5 GB, held once
    with torch.device("meta"):
        layers = InjectionLayers(**options_of_checkpoint(injection), injection="released")
    layers.load_state_dict(injection, assign=True)
    golden = load_file(FIXTURES / "released_unet.safetensors")
    attach(unet, layers).set_features([golden[f"feature_{level}"] for level in range(4)])
    with torch.no_grad():
        found = unet(golden["latents"], golden["timestep"], golden["encoder_hidden_states"]).sample
    assert (found - golden["output"]).abs().max() <= 1e-4 * golden["output"].abs().max()
