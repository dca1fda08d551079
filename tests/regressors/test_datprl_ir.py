"""DATPRL-IR is the published one: the authors' implementation gave the golden outputs."""

from argparse import Namespace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from ldrestore.conversion import convert
from ldrestore.errors import ConfigError, ShapeError, WeightsError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.datprl_ir import options_of_checkpoint
from ldrestore.regressors.factory import create_regressor, record_of
from tests.parity_rule import checkpoint

FIXTURES = Path(__file__).parent / "fixtures"
TINY = {
    "dim": 8,
    "num_blocks": [1, 2, 1, 1],
    "dec_blk_nums": [2, 1, 1],
    "num_refinement_blocks": 1,
    "heads": [1, 1, 2, 4],
    "prompt_dim": 16,
    "pool_sizes": [6, 4],
    "top_k": [3, 2],
}
LOSSES = ["alignment", "diversity", "balance", "contrastive"]


def tiny(seed=0, **options):
    torch.manual_seed(seed)
    return create_regressor("datprl_ir", **{**TINY, **options}).eval()


def wrapped(weights, name):
    """A checkpoint as the authors publish it: of BasicSR for several domains, of Lightning for natural pictures."""
    if name == "datprl_ir":
        return {"params": weights}
    named = {f"net.{key}": value for key, value in weights.items()}
    return {"state_dict": named, "hyper_parameters": Namespace(lr=1e-5), "epoch": 3}


@pytest.mark.parametrize("name", ["datprl_ir", "datprl_ir_task_only"])
def test_a_converted_checkpoint_computes_what_the_authors_code_computes(name, tmp_path):
    torch.save(wrapped(checkpoint(FIXTURES / f"{name}.txt"), name), tmp_path / "published.pth")
    folder = convert(name, tmp_path / "published.pth", tmp_path / "out")
    network = FastRestorePipeline.from_pretrained(folder).regressor
    assert record_of(network).name == name
    assert network.config["injector"] == "released"
    golden = load_file(FIXTURES / f"{name}.safetensors")
    with torch.no_grad():
        restored = network(golden["input_0"])
    assert (restored - golden["output_0"]).abs().max() <= 1e-4 * golden["output_0"].abs().max()


def test_the_layout_for_several_domains_is_refused_under_the_name_of_the_other(tmp_path):
    torch.save({"params": tiny().state_dict()}, tmp_path / "published.pth")
    with pytest.raises(WeightsError, match=r"another layout than datprl_ir_task_only .*; it is datprl_ir$"):
        convert("datprl_ir_task_only", tmp_path / "published.pth", tmp_path / "out")
    weights = tiny().state_dict()
    del weights["latent_blocks.0.cross_attn_q.weight"]  # carried without use, but part of the layout
    torch.save(weights, tmp_path / "cut.pth")
    with pytest.raises(WeightsError, match=r"missing latent_blocks\.0\.cross_attn_q\.weight"):
        convert("datprl_ir", tmp_path / "cut.pth", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"injector": "spatial", "value_num_tokens": 3},
        {"domain_source": "text"},
        {"domain_source": "none"},
        {"with_task_pool": False},
        {"domain_source": "text", "with_task_pool": False},
        {"domain_source": "none", "with_task_pool": False},
    ],
)
def test_the_layout_is_read_off_the_shapes(options):
    network = tiny(**options)
    again = create_regressor("datprl_ir", **options_of_checkpoint(network.state_dict()))
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in network.state_dict().items()
    }
    for key, value in options.items():
        assert again.config[key] == value


@pytest.mark.parametrize("injector", ["released", "spatial"])
def test_batches_give_what_singles_give(injector):
    network, lq = tiny(injector=injector), torch.rand(3, 3, 21, 18)
    with torch.no_grad():
        both, singles = network(lq), torch.cat([network(picture[None]) for picture in lq])
    torch.testing.assert_close(both, singles)


def test_sides_are_padded_with_zeros():
    network, lq = tiny(), torch.rand(1, 3, 13, 16)
    padded = F.pad(lq, (0, 0, 0, 3))
    torch.testing.assert_close(network(lq), network(padded)[..., :13, :])


def test_the_fusion_asks_with_the_domain_and_answers_with_the_task():
    network = tiny()
    domain, task = torch.randn(2, 16), torch.randn(2, 16)
    attention = network.prompt_cross_attention
    values = task @ attention.in_proj_weight[32:].T + attention.in_proj_bias[32:]  # one key: every head attends to it
    fused = network.prompt_fusion_norm(attention.out_proj(values) + domain)
    first, _, _, second = network.prompt_fusion_ffn
    torch.testing.assert_close(network._fused(domain, task), fused + second(F.gelu(first(fused))))


def test_own_losses_are_those_of_the_pools_and_change_no_pixel():
    network, lq = tiny(), torch.rand(2, 3, 16, 16)
    restored, losses = network(lq, torch.randn(2, 16), return_auxiliary=True)
    assert list(losses) == LOSSES
    assert all(loss.shape == () and loss.dtype == torch.float32 and loss > 0 for loss in losses.values())
    assert torch.equal(restored, network(lq))


def test_the_text_moves_the_domain_pool_and_nothing_behind_it():
    network, lq = tiny(), torch.rand(2, 3, 16, 16)
    network(lq, torch.randn(2, 16), return_auxiliary=True)[1]["alignment"].backward()
    reached = {key.partition(".")[0] for key, parameter in network.named_parameters() if parameter.grad is not None}
    assert reached == {"domain_prompt_pool", "domain_mapper", "patch_embed"}


def test_without_text_there_is_no_alignment():
    losses = tiny()(torch.rand(1, 3, 16, 16), return_auxiliary=True)[1]
    assert losses["alignment"].item() == 0
    assert not losses["alignment"].requires_grad
    assert losses["diversity"].requires_grad


def test_usage_tells_the_weights_of_the_chosen_prompts():
    usage = tiny().usage(torch.rand(2, 3, 16, 16))
    assert {name: tuple(weights.shape) for name, weights in usage.items()} == {"domain": (2, 6), "task": (2, 4)}
    for name, top_k in (("domain", 3), ("task", 2)):
        assert (usage[name] > 0).sum(dim=1).tolist() == [top_k, top_k]
        torch.testing.assert_close(usage[name].sum(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    ("options", "pools", "parts"),
    [
        ({"domain_source": "none"}, {"task"}, {"degradation_prompt_pool", "degradation_mapper"}),
        ({"with_task_pool": False}, {"domain"}, {"domain_prompt_pool", "domain_mapper"}),
        ({"domain_source": "none", "with_task_pool": False}, set(), set()),
        (
            {"domain_source": "text"},
            {"task"},
            {
                "degradation_prompt_pool",
                "degradation_mapper",
                "prompt_cross_attention",
                "prompt_fusion_norm",
                "prompt_fusion_ffn",
            },
        ),
    ],
)
def test_an_ablation_takes_out_what_it_says(options, pools, parts):
    network, lq = tiny(**options), torch.rand(2, 3, 16, 16)
    body = {"patch_embed", "output", "latent_blocks", "refinement"}
    built = {name for name, _ in network.named_children()} - body
    assert {name for name in built if not name.startswith(("encoder", "decoder", "up", "down", "reduce"))} == parts
    assert network.usage(lq).keys() == pools
    restored, losses = network(lq, torch.randn(2, 16), return_auxiliary=True)
    assert (restored.shape, list(losses)) == (lq.shape, LOSSES)
    assert losses["alignment"].requires_grad == ("domain" in pools)
    assert losses["balance"].requires_grad == bool(pools)


def test_the_baseline_is_a_plain_restormer_of_the_same_size():
    network = tiny(domain_source="none", with_task_pool=False)
    assert not [key for key in network.state_dict() if "prompt" in key or "cross_attn" in key]


def test_pool_sizes_and_choices_follow_the_configuration():
    usage = tiny(pool_sizes=[3, 7], top_k=[1, 5]).usage(torch.rand(1, 3, 16, 16))
    assert [(weights.shape[1], int((weights > 0).sum())) for weights in usage.values()] == [(3, 1), (7, 5)]


def test_a_text_in_place_of_the_domain_pool_guides_its_own_picture():
    network, lq, text = tiny(domain_source="text"), torch.rand(2, 3, 16, 16), torch.randn(2, 16)
    with torch.no_grad():
        both = network(lq, text)
        torch.testing.assert_close(both, torch.cat([network(lq[i : i + 1], text[i : i + 1]) for i in range(2)]))
        torch.testing.assert_close(both, network(lq, 9 * text), atol=1e-4, rtol=1e-4)  # its scale is not the cache's
        assert (network(lq, text[:1])[1] - both[1]).abs().max() > 1e-5
        torch.testing.assert_close(network(lq), network(lq, torch.zeros(1, 16)))
    assert record_of(network).takes_embedding
    assert not record_of(tiny()).takes_embedding


@pytest.mark.parametrize("options", [{}, {"domain_source": "none"}, {"domain_source": "text"}])
def test_the_spatial_injector_trains_queries_keys_and_pools(options):
    network, lq = tiny(injector="spatial", **options), torch.rand(2, 3, 16, 16)
    network(lq, torch.randn(2, 16)).square().sum().backward()
    assert all(parameter.requires_grad for parameter in network.parameters())
    names = [key for key in network.state_dict() if "cross_attn_" in key or "prompt_keys" in key]
    blocks = [key for key in names if key.endswith(("cross_attn_q.weight", "cross_attn_k.weight", "prompt_keys"))]
    assert len(blocks) > 10
    assert all(network.get_parameter(key).grad.abs().sum() > 0 for key in blocks)


def test_noise_tries_other_prompts_in_training_alone():
    network, lq = tiny(pool_sizes=[16, 16], top_k=[2, 2]), torch.rand(8, 3, 16, 16)
    first, second = network.usage(lq), network.usage(lq)
    assert all(torch.equal(first[name], second[name]) for name in first)
    network.train()
    first, second = network.usage(lq), network.usage(lq)
    assert all(not torch.equal(first[name] > 0, second[name] > 0) for name in first)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_blocks": [1, 1]}, "four num_blocks and heads"),
        ({"top_k": [3]}, "pool_sizes and top_k of two pools"),
        ({"domain_source": "clip"}, "domain_source must be one of pool, text, none, got 'clip'"),
        ({"injector": "other"}, "injector must be one of released, spatial, got 'other'"),
        ({"prompt_dim": 12}, "prompt_dim of 8, got 8 and 12"),
        ({"injector": "spatial", "domain_source": "text", "with_task_pool": False}, "it needs a pool"),
    ],
)
def test_options_that_make_no_network_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        tiny(**options)


def test_text_features_of_another_width_are_refused():
    with pytest.raises(ShapeError, match=r"expected embedding of shape \(2, 16\), got \(2, 8\)"):
        tiny()(torch.rand(2, 3, 16, 16), torch.randn(2, 8))
