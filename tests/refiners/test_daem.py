"""The expert module against a literal version of its equations, one picture at a time."""

import pytest
import torch
from torch.nn import functional as F

from ldrestore.blocks.observation import observed
from ldrestore.blocks.routing import balance_loss
from ldrestore.errors import ConfigError, ShapeError
from ldrestore.refiners.daem import REACHES, DetailExpertModule
from ldrestore.refiners.expert_routing import RoutedExperts, joined_patches, patches_of
from ldrestore.tiling.shared_statistics import measured_statistics, shared_statistics

SMALL = {"block_out_channels": (8, 16), "hidden_channels": (8, 8), "head_dim": 4}


def module_of(**options):
    """A module all of whose parts have an effect."""
    torch.manual_seed(0)
    module = DetailExpertModule(**{**SMALL, **options})
    with torch.no_grad():
        for name, value in module.named_parameters():
            if name.endswith(("beta", "gamma")) or "conv_out" in name:
                value.normal_(std=0.3)
            elif name.endswith("gate.weight"):
                value.normal_(std=20.0)  # the pictures of a test differ little in their means
    return module.eval()


def pictures(batch=3, side=12):
    torch.manual_seed(1)
    return torch.randn(batch, 8, side, side), torch.randn(batch, 8, side, side), torch.rand(batch, 3, side, side)


@torch.no_grad()
@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_it_is_equations_6_to_8_picture_by_picture(top_k):
    module, (hidden, features, lq) = module_of(top_k=top_k), pictures()
    level = module.levels[0]
    results = module(hidden, features, lq, level=0)
    for index in range(len(hidden)):
        x = level.conv_in(torch.cat([hidden[index], features[index], lq[index] * 2 - 1])[None])
        shares = (level.experts.router.gate.weight @ x.mean(dim=(0, 2, 3))).softmax(0)
        best = shares.argsort(descending=True)[:top_k]
        mixed = sum(shares[expert] * level.experts.experts[expert](x) for expert in best)
        expected = hidden[index] + level.conv_out(mixed * level.shared(level.norm(x)))[0]
        torch.testing.assert_close(results[index], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_only_chosen_experts_compute():
    module, (hidden, features, lq) = module_of(), pictures(batch=8)
    experts = dict(enumerate(module.levels[0].experts.experts))
    with observed({"router": module.levels[0].experts.router, **experts}) as outputs:
        module(hidden, features, lq, level=0)
    chosen = outputs.pop("router").probabilities.argmax(dim=1)
    assert 1 < len(chosen.unique()) < 5
    assert set(outputs) == set(chosen.tolist())
    assert all(len(outputs[expert]) == int((chosen == expert).sum()) for expert in outputs)


def test_a_new_module_changes_nothing_to_the_bit():
    module, (hidden, features, lq) = DetailExpertModule(**SMALL), pictures()
    assert torch.equal(module(hidden, features, lq, level=0), hidden)


def test_noise_comes_in_training_alone():
    module, (hidden, features, lq) = module_of(), pictures()
    with observed(module.routers) as outputs:
        module(hidden, features, lq, level=0)
        calm = outputs["level 0"]
        module.train()
        module(hidden, features, lq, level=0)
    assert torch.equal(calm.logits, calm.noisy_logits)
    assert not torch.equal(outputs["level 0"].logits, outputs["level 0"].noisy_logits)


def test_router_and_chosen_experts_learn_from_the_picture_and_the_router_from_the_balance():
    module, (hidden, features, lq) = module_of().train(), pictures()
    with observed(module.routers) as outputs:
        module(hidden, features, lq, level=0).square().mean().backward()
    router = module.levels[0].experts.router.gate.weight
    assert router.grad.any()
    router.grad = None
    with observed(module.routers) as outputs:
        module(hidden, features, lq, level=0)
    balance_loss(outputs["level 0"], correction=0).backward()
    assert router.grad.any()


@torch.no_grad()
def test_the_picture_itself_enters_at_the_full_resolution_alone():
    module, (hidden, features, lq) = module_of(), pictures()
    assert not torch.allclose(
        module(hidden, features, lq, level=0), module(hidden, features, lq.flip(-1), level=0), atol=1e-3
    )
    deep = torch.randn(3, 16, 6, 6)
    assert torch.equal(module(deep, deep, lq, level=1), module(deep, deep, lq.flip(-1), level=1))


def test_experts_see_as_far_as_their_reach():
    torch.manual_seed(0)
    routed = RoutedExperts(4, reaches=REACHES, num_blocks=1, top_k=1, patch_size=None)
    for expert, reach in zip(routed.experts, REACHES, strict=True):
        block = expert[0]
        block.beta.data.fill_(1.0)
        block.sca = torch.nn.Identity()
        x = torch.randn(1, 4, 15, 15, requires_grad=True)
        expert(x)[0, :, 7, 7].sum().backward()
        rows = x.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten()
        assert (7 - rows.min(), rows.max() - 7) == (reach.radius, reach.radius)


@torch.no_grad()
def test_patches_go_apart_and_together():
    torch.manual_seed(0)
    features = torch.randn(2, 3, 8, 12)
    assert torch.equal(joined_patches(patches_of(features, size=4, margin=0), batch=2, grid=(2, 3)), features)
    wide = patches_of(features, size=4, margin=2)
    assert wide.shape == (12, 3, 8, 8)
    assert torch.equal(wide[4], F.pad(features, (2, 2, 2, 2))[0, :, 4:12, 4:12])


@torch.no_grad()
def test_patches_choose_by_themselves():
    module = module_of(routing="patch", patch_size=4)
    hidden, features, lq = pictures(batch=1, side=16)
    hidden[..., 8:] += 2
    with observed(module.routers) as outputs:
        refined = module(hidden, features, lq, level=0)
    assert refined.shape == hidden.shape
    choices = outputs["level 0"].probabilities.argmax(dim=1)
    assert choices.shape == (16,)
    assert len(choices.unique()) > 1
    other = hidden.clone()
    other[..., :4, :4] += 1  # far from the last patch, beyond every expert's reach
    shared = torch.equal(
        module.levels[0].experts(hidden)[..., 12:, 12:], module.levels[0].experts(other)[..., 12:, 12:]
    )
    assert shared


@torch.no_grad()
def test_sides_that_patches_do_not_fill_are_cut_back():
    module = module_of(routing="patch", patch_size=4)
    hidden, features, lq = (one[..., :11, :9] for one in pictures(batch=2))
    assert module(hidden, features, lq, level=0).shape == hidden.shape


@torch.no_grad()
def test_tiles_share_the_decision_of_the_picture():
    module = module_of()
    hidden, features, lq = pictures(batch=1, side=24)
    hidden[..., :12] += 3
    networks = {"daem": module}
    with measured_statistics(networks) as statistics:
        whole = module(hidden, features, lq, level=0)
    for columns in (slice(0, 14), slice(10, 24)):
        with shared_statistics(networks, statistics):
            tile = module(hidden[..., columns], features[..., columns], lq[..., columns], level=0)
        inner = slice(5, 9)  # away from the tile's border
        torch.testing.assert_close(tile[..., 8:16, inner], whole[..., 8:16, columns][..., inner], rtol=1e-4, atol=1e-4)


def test_it_saves_and_loads(tmp_path):
    module = module_of(routing="patch", top_k=2)
    module.save_pretrained(tmp_path)
    loaded = DetailExpertModule.from_pretrained(tmp_path)
    assert loaded.config["routing"] == "patch"
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in module.state_dict().items())


def test_what_cannot_be_built_or_fed_is_refused():
    for options, message in (
        ({"hidden_channels": (8,)}, "one of hidden_channels for each of block_out_channels"),
        ({"hidden_channels": (8, 6)}, "multiples of head_dim 4"),
        ({"routing": "pixel"}, "routing must be one of image, patch"),
        ({"top_k": 5}, r"top_k must lie in \[1, 4\], got 5"),
    ):
        with pytest.raises(ConfigError, match=message):
            DetailExpertModule(**{**SMALL, **options})
    module, (hidden, features, lq) = DetailExpertModule(**SMALL), pictures()
    with pytest.raises(ShapeError, match="expected features of the decoder's shape"):
        module(hidden, features[..., 1:], lq, level=0)
    with pytest.raises(ShapeError, match=r"expected a picture of \(12, 12\) pixels"):
        module(hidden, features, lq[..., 1:], level=0)
