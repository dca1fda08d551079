"""Trained parts around a frozen base: which go together, what they make of pictures, how they grow and are saved."""

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from ldrestore.errors import ConfigError, WeightsUnavailableError
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.training.networks.stable_adapters import PART_CLASSES, StableAdapters, load_parts, save_parts
from ldrestore.training.networks.steering import LqFeatures
from tests.tiny_stable import NAMES, tiny_adapters

NOISED, TIMESTEPS = torch.linspace(-1, 1, 512).reshape(2, 4, 8, 8), torch.tensor([3, 700])


@pytest.mark.parametrize("names", [("ir_adapter",), ("injection",), ("textual_prompts",), ()])
def test_parts_that_work_only_together_are_not_taken_apart(base, names):
    parts = tiny_adapters(base.unet)
    with pytest.raises(ConfigError, match=r"ir_adapter and injection go together|know different degradations"):
        StableAdapters(base, {name: parts[name] for name in names})


def test_parts_that_know_different_degradations_are_refused(base):
    parts = tiny_adapters(base.unet)
    other = CMAdapter(("snow",), embedding_dim=6, text_dim=8, num_tokens=3, num_heads=2)
    with pytest.raises(ConfigError, match=r"different degradations: .*snow.*; take them from one run"):
        StableAdapters(base, {"cm_adapter": other, "textual_prompts": parts["textual_prompts"]})


@torch.no_grad()
def test_without_visual_parts_the_bare_base_predicts_under_the_text(adapters, base, steering):
    network = adapters("cm_adapter", "textual_prompts")
    text = network.text(steering)
    bare = base.unet(NOISED, TIMESTEPS, encoder_hidden_states=text).sample
    assert torch.equal(network(NOISED, TIMESTEPS, steering), bare)
    assert not torch.equal(adapters()(NOISED, TIMESTEPS, steering), bare)


@torch.no_grad()
def test_without_a_cm_adapter_the_text_is_empty_and_the_same_for_all_pictures(adapters, steering):
    text = adapters("ir_adapter", "injection").text(steering)
    assert torch.equal(text[0], text[1])
    own = adapters("cm_adapter").text(steering)
    assert own.shape[0] == 2 and not torch.equal(own[0], own[1])


@torch.no_grad()
def test_the_text_is_of_no_timestep(adapters, steering):
    network = adapters()
    text = network.text(steering)
    for timesteps in (TIMESTEPS, torch.tensor([1, 1])):
        expected = network(NOISED, timesteps, steering)
        assert torch.equal(network.predict(NOISED, timesteps, steering, prompt_embeds=text), expected)


def test_a_copy_has_parts_of_its_own_and_the_same_base(adapters):
    network = adapters()
    other = copy.deepcopy(network)
    assert other.base is network.base
    assert all(other.parts[name] is not part for name, part in network.parts.items())
    assert not any(key.startswith("base.") for key in network.state_dict())


def gradients(network, steering):
    """Name to gradient of what was reached, after a pass."""
    network(NOISED, TIMESTEPS, steering).square().mean().backward()
    return {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}


def test_grown_parts_train_the_new_rows_alone(adapters, steering):
    network = adapters()
    network.grow(("snow",), train_shared=False)
    assert network.names == (*NAMES, "snow")
    found = gradients(network, replace(steering, probabilities=torch.full((2, 4), 0.25)))
    assert {name.partition(".")[0] for name in found} <= {"cm_adapter", "textual_prompts", "ir_adapter"}
    pool, prompts = found["textual_prompts.tp"], found["ir_adapter.visual_prompt"]
    assert pool[:3].abs().sum() == 0 and pool[3:].abs().sum() > 0
    assert prompts[:, :3].abs().sum() == 0 and prompts[:, 3:].abs().sum() > 0
    assert {name.split(".")[2] for name in found if name.startswith("cm_adapter.attns")} == {"3"}


def test_what_all_share_may_be_trained_on(adapters, steering):
    network = adapters()
    network.grow(("snow",), train_shared=True)
    found = gradients(network, replace(steering, probabilities=torch.full((2, 4), 0.25)))
    assert any(name.startswith("injection.") for name in found)
    assert found["textual_prompts.tp"][:3].abs().sum() == 0


def test_to_grow_by_nothing_changes_nothing(adapters):
    network = adapters()
    before = {name: weight.requires_grad for name, weight in network.named_parameters()}
    network.grow((), train_shared=False)
    assert network.names == NAMES
    assert {name: weight.requires_grad for name, weight in network.named_parameters()} == before


def test_saved_parts_come_back(adapters, tmp_path):
    network = adapters("cm_adapter", "textual_prompts")
    weights = {key: weight + 1 for key, weight in network.state_dict().items()}
    save_parts(network, weights, tmp_path)
    found = load_parts(tmp_path)
    assert set(found) == {"cm_adapter", "textual_prompts"}
    for name, part in found.items():
        assert all(torch.equal(value, weights[f"{name}.{key}"]) for key, value in part.state_dict().items())
    with pytest.raises(WeightsUnavailableError, match="give the export of an earlier run"):
        load_parts(tmp_path / "cm_adapter")


@pytest.mark.parametrize(
    ("names", "reached"),
    [
        (("cm_adapter",), {"cm_adapter"}),
        (("cm_adapter", "textual_prompts"), {"cm_adapter", "textual_prompts"}),
        (("ir_adapter", "injection"), {"ir_adapter", "injection"}),
        ((), set(PART_CLASSES)),
    ],
)
def test_gradients_reach_the_parts_and_pass_through_the_base(
    adapters: Callable, steering: LqFeatures, names: tuple[str, ...], reached: set[str]
) -> None:
    network = adapters(*names)
    found = gradients(network, steering)
    assert {name.partition(".")[0] for name in found} == reached
    assert all(weight.grad is None for part in network.base.modules() for weight in part.parameters())


def test_what_a_picture_suffers_from_weighs_its_prompts(adapters: Callable, steering: LqFeatures) -> None:
    """Rows of degradations of no probability get no gradient."""
    network = adapters("cm_adapter", "textual_prompts")
    found = gradients(network, replace(steering, probabilities=torch.tensor([[1.0, 0.0, 0.0]] * 2)))
    pool = found["textual_prompts.tp"]
    assert pool[0].abs().sum() > 0 and pool[1:].abs().sum() == 0


def test_names_go_on_in_the_order_in_which_they_are_added(adapters: Callable) -> None:
    network = adapters()
    network.grow(("snow",), train_shared=True)
    network.grow(("low_light", "raindrop"), train_shared=True)
    assert network.names == (*NAMES, "snow", "low_light", "raindrop")
    for name, part in network.parts.items():
        if name != "injection":
            assert tuple(part.config["degradations"]) == network.names
