"""Random weights under the published names; the published file itself is not needed."""

import pytest
import torch

from ldrestore.adapters.faithdiff_layout import options_of_alignment, split_faithdiff
from ldrestore.adapters.fusion_attachment import attach_fusion
from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.adapters.residual_alignment import ResidualAlignment
from ldrestore.errors import WeightsError
from tests.tiny_xl import tiny_unet, unet_inputs


def published(channels=8, lq_channels=16):
    """All of the file's own keys at small widths, and those of a small U-Net."""
    torch.manual_seed(0)
    encoder = LQEncoder(block_out_channels=(8, lq_channels), layers_per_block=1, norm_num_groups=4, has_latents=False)
    shapes = {
        "condition_embedding.norm_in.weight": (lq_channels,),
        "condition_embedding.norm_in.bias": (lq_channels,),
        "condition_embedding.conv_in.weight": (lq_channels, lq_channels, 3, 3),
        "condition_embedding.conv_in.bias": (lq_channels,),
        "condition_embedding.conv_out.weight": (channels, lq_channels, 3, 3),
        "condition_embedding.conv_out.bias": (channels,),
        "spatial_ch_projs.weight": (channels, 2 * channels),
        "spatial_ch_projs.bias": (channels,),
    }
    dim = 2 * channels
    for block in range(2):
        for name, shape in {
            "attn.in_proj_weight": (3 * dim, dim),
            "attn.in_proj_bias": (3 * dim,),
            "attn.out_proj.weight": (dim, dim),
            "attn.out_proj.bias": (dim,),
            "ln_1.weight": (dim,),
            "ln_1.bias": (dim,),
            "mlp.c_fc.weight": (2 * dim, dim),
            "mlp.c_fc.bias": (2 * dim,),
            "mlp.c_proj.weight": (dim, 2 * dim),
            "mlp.c_proj.bias": (dim,),
            "ln_2.weight": (dim,),
            "ln_2.bias": (dim,),
        }.items():
            shapes[f"information_transformer_layes.{block}.{name}"] = shape
    weights = {name: torch.randn(shape) * 0.1 for name, shape in shapes.items()}
    weights |= {f"denoise_encoder.{key}": value for key, value in encoder.encoder.state_dict().items()}
    return weights | tiny_unet().state_dict()


def test_every_key_finds_its_place_and_the_parts_work_together():
    weights = published()
    parts = split_faithdiff(weights)
    assert sum(map(len, parts.values())) == len(weights)
    unet, encoder = (
        tiny_unet(seed=9),
        LQEncoder(block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, has_latents=False),
    )
    fusion = ResidualAlignment(**{**options_of_alignment(parts["fusion"]), "num_heads": 2})
    for module, name in ((unet, "unet"), (encoder, "lq_encoder"), (fusion, "fusion")):
        module.load_state_dict(parts[name])
    attachment, given = attach_fusion(unet, fusion), unet_inputs()
    with torch.no_grad():
        attachment.set_prepared(fusion.prepare(encoder(torch.rand(1, 3, 16, 16)).last))
        assert unet(**given).sample.isfinite().all()


def test_the_alignment_is_theirs_step_by_step():
    """conv_in's features and the picture's joined, two blocks, projected, added: as their published code has it."""
    weights = published()
    parts = split_faithdiff(weights)
    fusion = ResidualAlignment(**{**options_of_alignment(parts["fusion"]), "num_heads": 2})
    fusion.load_state_dict(parts["fusion"])
    sample, lq = torch.randn(1, 8, 3, 4), torch.randn(1, 16, 3, 4)
    own = {k.removeprefix("condition_embedding."): v for k, v in weights.items() if k.startswith("condition_")}
    with torch.no_grad():
        features = torch.nn.functional.group_norm(lq, 8, own["norm_in.weight"], own["norm_in.bias"], eps=1e-6)
        features = torch.nn.functional.silu(
            torch.conv2d(features, own["conv_in.weight"], own["conv_in.bias"], padding=1)
        )
        features = torch.conv2d(features, own["conv_out.weight"], own["conv_out.bias"], padding=1)
        tokens = torch.cat([sample, features], dim=1).flatten(2).transpose(1, 2)
        added = fusion.blocks(tokens) @ weights["spatial_ch_projs.weight"].T + weights["spatial_ch_projs.bias"]
        expected = sample + added.transpose(1, 2).unflatten(2, (3, 4))
        result = fusion(sample, torch.tensor(1), fusion.prepare(lq)["conv_in"], place="conv_in")
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


def test_other_files_are_refused():
    weights = published()
    with pytest.raises(WeightsError, match="no FaithDiff: it has no spatial_ch_projs"):
        split_faithdiff({k: v for k, v in weights.items() if not k.startswith("spatial_ch_projs")})
    with pytest.raises(WeightsError, match=r"has no information_transformer_layes\.0\.attn\.other"):
        split_faithdiff(weights | {"information_transformer_layes.0.attn.other": torch.zeros(1)})
