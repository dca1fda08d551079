"""MoCE-IR is the published one: the authors' implementation gave the golden outputs."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ldrestore.conversion import convert
from ldrestore.errors import ConfigError, WeightsError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.complexity_experts import ComplexityExpert, ExpertLayer
from ldrestore.regressors.factory import create_regressor
from ldrestore.regressors.moce_ir import (
    DecoderBlock,
    EncoderBlock,
    FrequencyEmbedding,
    HighPass,
    options_of_checkpoint,
)
from tests.parity_rule import checkpoint

FIXTURES = Path(__file__).parent / "fixtures"
TINY = {
    "dim": 16,
    "num_blocks": [1, 1, 1, 1],
    "num_dec_blocks": [2, 1, 1],
    "num_refinement_blocks": 1,
    "heads": [1, 1, 2, 4],
}
BLOCKS = ["level3.block1", "level2.block1", "level1.block1", "level1.block2"]


def tiny(**options):
    """A network whose routers disagree, and with strong opinions."""
    torch.manual_seed(0)
    network = create_regressor("moce_ir", **{**TINY, **options})
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if "gate" in key:
                parameter.mul_(30)
    return network.eval()


def pictures(count=6):
    """Pictures that differ in light and grain, so that routers tell them apart."""
    generator = torch.Generator().manual_seed(0)
    grain = torch.randn(count, 3, 24, 19, generator=generator)
    return torch.linspace(0, 1, count)[:, None, None, None] + torch.linspace(1, 0, count)[:, None, None, None] * grain


@pytest.mark.parametrize(
    ("architecture", "row"), [("moce_ir", "moce_ir"), ("moce_ir_s", "moce_ir_s"), ("moce_ir", "moce_ir_s")]
)
def test_a_converted_checkpoint_computes_what_the_authors_code_computes(architecture, row, tmp_path):
    weights = checkpoint(FIXTURES / f"{row}.txt")
    published = {f"net.{key}": value for key, value in weights.items()}
    torch.save({"state_dict": published, "epoch": 119}, tmp_path / "last.ckpt")
    folder = convert(architecture, tmp_path / "last.ckpt", tmp_path / "out")
    network = FastRestorePipeline.from_pretrained(folder).regressor
    golden = load_file(FIXTURES / f"{row}.safetensors")
    with torch.no_grad():
        restored = network(golden["input_0"])
    assert (restored - golden["output_0"]).abs().max() <= 1e-4 * golden["output_0"].abs().max()
    assert all(torch.equal(weights[key], value) for key, value in network.state_dict().items())  # complexity, too


def test_the_small_one_under_the_name_of_the_other_size_is_refused(tmp_path):
    torch.save(tiny().state_dict(), tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="another layout than moce_ir_s"):
        convert("moce_ir_s", tmp_path / "other.pth", tmp_path / "out")


def test_the_layout_is_read_off_the_shapes():
    network = tiny(num_experts=3, rank=4)
    found = options_of_checkpoint(network.state_dict())
    again = create_regressor("moce_ir", **found)
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in network.state_dict().items()
    }


@pytest.mark.parametrize(
    ("dim", "num_experts", "rank"),
    [(16, 2, 6), (16, 3, 3), (24, 2, 24), (48, 3, 5), (8, 4, 1)],
)
def test_the_base_of_the_ranks_is_read_off_them_though_they_are_rounded_down(
    dim: int, num_experts: int, rank: int
) -> None:
    with torch.device("meta"):
        network = create_regressor("moce_ir", **{**TINY, "dim": dim, "num_experts": num_experts, "rank": rank})
        found = options_of_checkpoint(network.state_dict())
        again = create_regressor("moce_ir", **found)
    assert (found["dim"], found["num_experts"]) == (dim, num_experts)
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in network.state_dict().items()
    }


def test_a_batch_gives_what_its_pictures_give_alone():
    network, lq = tiny(), pictures()
    with torch.no_grad():
        both = network(lq)
        singles = torch.cat([network(picture) for picture in lq.split(1)])
    torch.testing.assert_close(both, singles, rtol=1e-4, atol=1e-5)
    chosen = {name: probabilities.argmax(dim=1) for name, probabilities in network.usage(lq).items()}
    assert any(len(experts.unique()) > 1 for experts in chosen.values())


def test_usage_gives_a_row_for_each_picture_and_block():
    usage = tiny().usage(pictures())
    assert list(usage) == BLOCKS
    for probabilities in usage.values():
        assert probabilities.shape == (6, 4)
        torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(6))


def test_only_the_chosen_experts_compute():
    network, lq = tiny(), pictures()
    counts = {}
    for name, module in network.named_modules():
        if isinstance(module, ComplexityExpert):
            module.register_forward_hook(lambda _, args, __, name=name: counts.update({name: len(args[0])}))
    usage = network.usage(lq)
    places = [(2 - index, place) for index, count in ((2, 1), (1, 1), (0, 2)) for place in range(count)]
    expected = {}
    for (level, place), probabilities in zip(places, usage.values(), strict=True):
        for expert in probabilities.argmax(dim=1).tolist():
            key = f"dec.{level}.2.layers.{place}.adapter.experts.{expert}.0"
            expected[key] = expected.get(key, 0) + 1
    assert counts == expected


def test_noise_is_off_at_inference_unless_released():
    lq = pictures(1)
    quiet, noisy = tiny(), tiny(routing_noise="released")
    assert all(torch.equal(*rows) for rows in zip(quiet.usage(lq).values(), quiet.usage(lq).values(), strict=True))
    first, second = noisy.usage(lq), noisy.usage(lq)
    assert all((first[name] - second[name]).abs().sum() > 0 for name in BLOCKS)
    quiet.train()
    assert all((quiet.usage(lq)[name] - first[name]).abs().sum() > 0 for name in BLOCKS)
    off = tiny(routing_noise="never").train()
    assert torch.equal(off(lq), off(lq))


@pytest.mark.parametrize("expert", range(4))
def test_all_pictures_take_a_fixed_expert_and_train_it_whole(expert):
    network, lq = tiny(expert=expert), pictures(2)
    restored, losses = network(lq, return_auxiliary=True)
    assert losses["balance"] == 0
    restored.square().sum().backward()
    for key, parameter in network.named_parameters():
        is_used = f".experts.{expert}." in key or not any(part in key for part in ("experts", "routing", "freq_embed"))
        assert (parameter.grad is not None and parameter.grad.abs().sum() > 0) == is_used, key
    for probabilities in network.usage(lq).values():
        assert probabilities.argmax(dim=1).tolist() == [expert] * 2


def test_routers_learn_from_the_balance_alone():
    network, lq = tiny(), pictures()
    routing = {key: value for key, value in network.named_parameters() if "routing" in key or "freq_embed" in key}
    restored, losses = network(lq, return_auxiliary=True)
    scale = max(
        value.abs().max()
        for value in torch.autograd.grad(restored.square().mean(), network.output.parameters(), retain_graph=True)
    )
    of_picture = torch.autograd.grad(restored.square().mean(), routing.values(), retain_graph=True)
    assert all(gradient.abs().max() < 1e-4 * scale for gradient in of_picture)
    of_balance = torch.autograd.grad(losses["balance"], routing.values())
    assert all(gradient.abs().sum() > 0 for gradient in of_balance)


def test_the_auxiliary_loss_is_the_mean_over_the_routers_and_knows_the_costs():
    lq, found = pictures(), {}
    for with_complexity in (True, False):
        network = tiny(with_complexity=with_complexity)
        restored, losses = network(lq, return_auxiliary=True)
        assert list(losses) == ["balance"]
        assert torch.equal(restored, network(lq))
        _, routings = network._restored(lq)
        routers = [module for name, module in network.named_modules() if name.endswith("adapter.routing")]
        each = [router.balance(routing) for router, routing in zip(routers, routings, strict=True)]
        torch.testing.assert_close(losses["balance"], sum(each) / 4)
        found[with_complexity] = losses["balance"].item()
    assert found[True] != found[False]


def test_options_that_make_no_network_are_refused():
    with pytest.raises(ConfigError, match="three num_dec_blocks"):
        create_regressor("moce_ir", num_dec_blocks=[1, 1])
    with pytest.raises(ConfigError, match="expert must lie in"):
        create_regressor("moce_ir", **TINY, expert=4)


def test_the_high_pass_begins_as_the_laplacian_of_all_neighbours_and_is_trained() -> None:
    high_pass, features = HighPass(2), torch.randn(1, 2, 5, 6)
    padded, expected = torch.nn.functional.pad(features, (1, 1, 1, 1)), torch.empty(1, 2, 5, 6)
    for row in range(5):
        for column in range(6):
            around = padded[..., row : row + 3, column : column + 3].sum(dim=(2, 3))
            expected[..., row, column] = 9 * features[..., row, column] - around
    torch.testing.assert_close(high_pass(features), expected, rtol=1e-4, atol=1e-5)
    assert all(parameter.requires_grad for parameter in high_pass.parameters())
    even = high_pass(torch.full((1, 2, 5, 5), 0.7))
    torch.testing.assert_close(even[..., 1:-1, 1:-1], torch.zeros(1, 2, 3, 3), rtol=0, atol=1e-5)


def test_the_embedding_of_frequencies_is_a_perceptron_of_their_means() -> None:
    torch.manual_seed(0)
    embedding, latent = FrequencyEmbedding(4), torch.randn(2, 4, 5, 3)
    means = torch.nn.functional.gelu(embedding.high_conv[0](latent)).mean(dim=(2, 3))
    first, _, second = embedding.mlp
    hidden = torch.nn.functional.gelu(means @ first.weight.T + first.bias)
    assert hidden.shape == (2, 8)
    torch.testing.assert_close(embedding(latent), hidden @ second.weight.T + second.bias, rtol=1e-4, atol=1e-5)


def decoder_block() -> DecoderBlock:
    torch.manual_seed(0)
    return DecoderBlock(8, num_heads=2, adapter=ExpertLayer(8, frequency_dim=3, noise="never")).eval()


def test_a_decoder_block_asks_the_shared_branch_with_what_the_expert_made() -> None:
    block, features, frequencies = decoder_block(), torch.randn(2, 8, 6, 5), torch.randn(2, 3)
    normed = block.norms[0](features)
    shared = block.shared(block.proj[0](normed))
    adapted, expected_routing = block.adapter(block.proj[1](normed), shared, frequencies)
    hidden = features + block.mixer(adapted, shared)
    found, routing = block(features, frequencies)
    torch.testing.assert_close(found, hidden + block.ffn(block.norms[1](hidden)), rtol=1e-4, atol=1e-5)
    assert torch.equal(routing.logits, expected_routing.logits)


@torch.no_grad()
def test_how_sure_a_router_is_changes_nothing_as_long_as_it_chooses_alike() -> None:
    block, features, frequencies = decoder_block(), torch.randn(2, 8, 6, 5), torch.randn(2, 3)
    before, unsure = block(features, frequencies)
    for gate in (block.adapter.routing.gate[2], block.adapter.routing.freq_gate):
        gate.weight.mul_(20)
    after, sure = block(features, frequencies)
    assert torch.equal(unsure.probabilities.argmax(dim=1), sure.probabilities.argmax(dim=1))
    assert (sure.probabilities.max(dim=1).values - unsure.probabilities.max(dim=1).values).min() > 0.05
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5)


def test_an_encoder_block_is_restormers_with_biases_and_twice_the_channels() -> None:
    torch.manual_seed(0)
    block, features = EncoderBlock(6, num_heads=3), torch.randn(1, 6, 4, 5)
    hidden = features + block.mixer(block.norms[0](features))
    torch.testing.assert_close(block(features), hidden + block.ffn(block.norms[1](hidden)))
    assert block.ffn.project_out.weight.shape == (6, 12, 1, 1)
    assert {key.rpartition(".")[2] for key in block.state_dict()} == {"weight", "bias", "temperature"}
