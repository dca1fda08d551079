"""MMFE-IR matches the printed parameter counts, and its settings change what they say."""

import pytest
import torch
from torch.nn import functional as F

from ldrestore.conversion import convert
from ldrestore.errors import ConfigError, InputError, ShapeError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from ldrestore.regressors.frequency_experts import guidance_matching
from ldrestore.regressors.mmfe_ir import options_of_checkpoint

TINY = {"dim": 4, "num_blocks": [1] * 4, "num_refinement_blocks": 1, "heads": [1, 1, 2, 4], "embedding_width": 6}
PLACES = ["encoder_2", "encoder_3", "encoder_4", "decoder_4", "decoder_3", "decoder_2"]
NOTHING = {"encoder_embedding": None, "decoder_embedding": None, "expert_levels": ()}
ROWS = {
    "baseline": (NOTHING, 26.1266, 26.1),
    "fusion in the encoder": (NOTHING | {"encoder_embedding": "image"}, 30.0037, 30.0),
    "fusion in the decoder": (NOTHING | {"decoder_embedding": "joint"}, 30.1887, 30.2),
    "experts": (NOTHING | {"expert_levels": (2, 3, 4)}, 29.5635, 29.6),
    "full": ({}, 37.5026, 37.5),
    "1 expert": ({"num_experts": 1}, 35.8925, 35.9),
    "2 experts": ({"num_experts": 2}, 36.1225, 36.1),
    "4 experts": ({"num_experts": 4}, 36.5825, 36.6),
    "16 experts": ({"num_experts": 16}, 39.3427, 39.3),
    "low band kept": ({"expert_domain": "frequency_with_low"}, 38.0872, 38.1),
}
"""Row of the paper's Tables 4a, 5a and S1: settings, our count and the printed one, in millions."""


def millions(**options):
    with torch.device("meta"):
        network = create_regressor("mmfe_ir", **options)
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


def tiny(**options):
    torch.manual_seed(0)
    return create_regressor("mmfe_ir", **{**TINY, "num_experts": 3, **options}).eval()


@pytest.mark.parametrize("row", ROWS)
def test_parameters_match_the_printed_counts(row):
    options, ours, printed = ROWS[row]
    assert millions(**options) == pytest.approx(ours, abs=1e-4)
    assert round(ours, 1) == printed
    assert round(millions(**options, mgfb="shared_projection"), 1) == printed


def test_the_equations_as_printed_are_a_million_short_and_narrow_guides_need_less():
    assert millions(mgfb="literal") == pytest.approx(37.5026 - 1.047, abs=1e-3)
    assert millions(embedding_width=896) < millions(embedding_width=1536) < millions()


def test_without_guidance_it_is_a_restormer():
    network = tiny(**NOTHING)
    body = create_regressor("restormer", **{key: TINY[key] for key in TINY if key != "embedding_width"}).eval()
    body.load_state_dict(network.state_dict())
    lq = torch.rand(1, 3, 11, 13)
    assert torch.equal(network(lq), body(lq))
    assert network.usage(lq) == {}
    assert network(lq, return_auxiliary=True)[1]["guidance_matching"] == 0
    with pytest.raises(InputError, match="without experts"):
        network.expert_maps(lq)


@pytest.mark.parametrize("mgfb", ["channel", "literal", "shared_projection"])
def test_a_batch_gives_what_singles_give(mgfb):
    network, lq, embedding = tiny(mgfb=mgfb), torch.rand(2, 3, 18, 21), torch.randn(2, 3, 6)
    with torch.no_grad():
        both = network(lq, embedding)
        singles = [network(lq[i : i + 1], embedding[i : i + 1]) for i in range(2)]
        said_to_both = network(lq, embedding[:1])
    torch.testing.assert_close(both, torch.cat(singles))
    torch.testing.assert_close(said_to_both[:1], both[:1])
    assert (said_to_both[1] - both[1]).abs().max() > 0


@pytest.mark.parametrize(
    ("options", "used"),
    [
        ({}, (0, 1, 2)),
        ({"encoder_embedding": "joint", "decoder_embedding": "image"}, (0, 1, 2)),
        ({"decoder_embedding": None}, (0, 2)),
        ({"encoder_embedding": None}, (1, 2)),
        ({"encoder_embedding": "joint"}, (1, 2)),
        ({"decoder_embedding": None, "encoder_embedding": None}, (2,)),
        ({"expert_levels": ()}, (0, 1)),
    ],
)
def test_each_embedding_enters_where_the_settings_say(options, used):
    network, lq = tiny(**options), torch.rand(1, 3, 16, 16)
    embedding = torch.randn(1, 3, 6, requires_grad=True)
    network(lq, embedding).square().sum().backward()
    assert tuple(embedding.grad[0].any(dim=1).nonzero().flatten().tolist()) == used


def test_exchanged_embeddings_are_the_same_network_told_the_other_way_round():
    network, exchanged = tiny(), tiny(encoder_embedding="joint", decoder_embedding="image")
    exchanged.load_state_dict(network.state_dict())
    lq, embedding = torch.rand(1, 3, 16, 16), torch.randn(1, 3, 6)
    assert torch.equal(network(lq, embedding), exchanged(lq, embedding[:, [1, 0, 2]]))


@pytest.mark.parametrize(("domain", "channels"), [("frequency", 9), ("frequency_with_low", 12), ("spatial", 3)])
def test_experts_see_their_domain_at_the_size_of_the_features(domain, channels):
    network, lq = tiny(expert_domain=domain), torch.rand(1, 3, 16, 24)
    inputs = {}
    for place, experts in network.mofe.items():
        experts.experts_in.register_forward_pre_hook(lambda _, given, place=place: inputs.update({place: given[0]}))
    network(lq)
    assert list(inputs) == PLACES
    for place, bands in inputs.items():
        shrunk = 2 ** (int(place[-1]) - 1)
        assert bands.shape == (1, channels, 16 // shrunk, 24 // shrunk)
    if domain == "spatial":
        torch.testing.assert_close(inputs["encoder_3"], F.interpolate(lq, scale_factor=0.25, mode="area"))
    constant = torch.full_like(lq, 0.3)
    network(constant)
    assert bool(inputs["encoder_2"].any()) == (domain != "frequency")


def test_experts_stand_at_one_scale_alone_if_asked():
    network, lq = tiny(expert_levels=[3], num_experts=5), torch.rand(2, 3, 16, 16)
    usage = network.usage(lq, torch.randn(2, 3, 6))
    assert {place: weights.shape for place, weights in usage.items()} == {"encoder_3": (2, 5), "decoder_3": (2, 5)}


def test_usage_is_what_the_routers_make_of_the_answer():
    network, lq, embedding = tiny(), torch.rand(2, 3, 9, 10), torch.randn(2, 3, 6)
    usage = network.usage(lq, embedding)
    assert list(usage) == PLACES
    for place, weights in usage.items():
        torch.testing.assert_close(weights, torch.sigmoid(embedding[:, 2] @ network.mofe[place].router.weight.T))
    assert all((weights == 0.5).all() for weights in network.usage(lq).values())


def test_the_loss_is_the_mean_over_the_routers():
    network, lq, embedding = tiny(), torch.rand(3, 3, 9, 10), torch.randn(3, 3, 6)
    restored, losses = network(lq, embedding, return_auxiliary=True)
    torch.testing.assert_close(restored, network(lq, embedding))
    each = [guidance_matching(embedding[:, 2], weights) for weights in network.usage(lq, embedding).values()]
    torch.testing.assert_close(losses["guidance_matching"], sum(each) / 6)
    assert losses["guidance_matching"] > 0
    assert network(lq, return_auxiliary=True)[1]["guidance_matching"] == 0


def test_the_map_of_an_expert_is_the_change_without_it():
    network, lq, embedding = tiny(), torch.rand(2, 3, 9, 10), torch.randn(2, 3, 6)
    maps = network.expert_maps(lq, embedding)
    assert maps.shape == (2, 3, 9, 10)
    assert (maps > 0).any(dim=(2, 3)).all()
    with torch.no_grad():
        restored = network(lq, embedding)
        for experts in network.mofe.values():
            experts.experts_out.weight[:, : len(experts.projection.weight)] = 0  # the first expert
        torch.testing.assert_close(maps[:, 0], (restored - network(lq, embedding)).abs().mean(dim=1))


def test_a_prompt_encoder_needs_no_guide():
    network, lq = tiny(guide="prompt_encoder"), torch.rand(2, 3, 17, 10)
    restored, losses = network(lq, return_auxiliary=True)
    torch.testing.assert_close(restored[:1], network(lq[:1]))
    (restored.square().sum() + losses["guidance_matching"]).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())
    usage = network.usage(lq)["encoder_2"]
    assert (usage[0] - usage[1]).abs().max() > 0
    with pytest.raises(InputError, match="its own prompt encoder and takes no embedding"):
        network(lq, torch.randn(2, 3, 6))


@pytest.mark.parametrize("guide", ["embedding", "prompt_encoder"])
def test_without_guidance_there_is_no_guide(guide):
    network, lq = tiny(**NOTHING, guide=guide), torch.rand(1, 3, 9, 8)
    assert network.embedding_shape is None
    network(lq).square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_embeddings_of_another_guide_are_refused():
    network, lq = tiny(), torch.rand(2, 3, 8, 8)
    with pytest.raises(ShapeError, match=r"expected embeddings 6 wide, got 9.*cache.*another guide"):
        network(lq, torch.randn(2, 3, 9))
    for shape in ((2, 6), (2, 2, 6), (3, 3, 6)):
        with pytest.raises(ShapeError, match=r"expected embedding of shape \(2, 3, 6\), got"):
            network(lq, torch.randn(*shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": [1, 2]}, "four levels"),
        ({"mgfb": "chanel"}, "mgfb must be one of channel, literal, shared_projection, got 'chanel'"),
        ({"guide": "mllm"}, "guide must be one of"),
        ({"encoder_embedding": "answer"}, "encoder_embedding must be one of image, joint, None"),
        ({"expert_levels": [1, 2]}, "expert_levels are some of 2, 3 and 4"),
        ({"expert_levels": [2, 2]}, "each once"),
        ({"num_experts": 0}, "num_experts must be at least 1, got 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        create_regressor("mmfe_ir", **{**TINY, **options})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mgfb": "literal", "guide": "prompt_encoder", "expert_domain": "spatial"},
        {"mgfb": "shared_projection", "expert_levels": (), "encoder_embedding": None},
        {"encoder_embedding": None, "decoder_embedding": None, "expert_domain": "frequency_with_low"},
        {"expert_levels": (2, 4), "num_experts": 5, "decoder_embedding": None},
    ],
)
def test_the_layout_is_read_off_the_shapes(options):
    network = tiny(**options)
    again = create_regressor("mmfe_ir", **options_of_checkpoint(network.state_dict()))
    assert {key: value.shape for key, value in again.state_dict().items()} == {
        key: value.shape for key, value in network.state_dict().items()
    }
    assert {key: again.config[key] for key in options if key not in ("mgfb",)} == {
        key: value for key, value in options.items() if key not in ("mgfb",)
    }


def test_trained_weights_become_a_folder(tmp_path):
    network, lq = tiny(), torch.rand(1, 3, 9, 8)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "trained.pth")
    folder = convert("mmfe_ir", tmp_path / "trained.pth", tmp_path / "out")
    again = FastRestorePipeline.from_pretrained(folder).regressor
    assert torch.equal(again(lq), network(lq))
