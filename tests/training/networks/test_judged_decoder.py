"""The refined decoder and its judge: whose gradients reach whom, and when the judge takes part."""

import copy

import pytest
import torch

from ldrestore.refiners.refined_decoder import encode_picture
from ldrestore.training.losses.discriminator import PatchDiscriminator
from ldrestore.training.networks.judged_decoder import JudgedDecoder
from tests.tiny_autoencoder import make_drm, trained


@pytest.fixture
def network(base):
    torch.manual_seed(0)
    return JudgedDecoder(base, trained(make_drm()), PatchDiscriminator(4, num_layers=2)).train()


@pytest.fixture
def inputs(base):
    """Latents and features of two pictures, P, and their ground truth."""
    lq, gt = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(1)).unbind()
    picture = encode_picture(base.vae, lq)
    return picture.latents, picture.features, torch.full((2, 3), 1 / 3), gt


def reached(module):
    """Whether gradients reached a module."""
    return any(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in module.parameters())


def test_the_judge_comes_in_after_so_many_passes_in_training(network, inputs):
    scores = [network(*inputs, judges_from=2).gt_scores is not None for _ in range(4)]
    assert scores == [False, False, True, True]
    assert int(network.num_passes) == 4
    assert int(network.state_dict()["num_passes"]) == 4  # a run that goes on counts on


def test_passes_that_do_not_train_are_neither_counted_nor_judged(network, inputs):
    network.eval()
    assert network(*inputs, judges_from=0).restored_scores is None
    assert int(network.num_passes) == 0
    network.train()
    assert network(*inputs, judges_from=None).restored_scores is None
    assert network(*inputs[:3], judges_from=0).restored_scores is None  # no ground truth


def test_scores_of_the_module_do_not_train_the_judge(network, inputs):
    network(*inputs, judges_from=0).restored_scores.sum().backward()
    assert reached(network.drm) and not reached(network.judge)


def test_scores_of_the_judge_do_not_train_the_module(network, inputs):
    judged = network(*inputs, judges_from=0)
    (judged.detached_scores.sum() + judged.gt_scores.sum()).backward()
    assert reached(network.judge) and not reached(network.drm)
    torch.testing.assert_close(judged.detached_scores, judged.restored_scores, rtol=0.05, atol=0.01)  # a norm moves


def test_without_a_judge_the_decoder_only_decodes(base, network, inputs):
    alone = JudgedDecoder(base, network.drm, None).train()
    judged = alone(*inputs, judges_from=0)
    assert judged.restored_scores is None and judged.restored.dtype == torch.float32
    assert not any(key.startswith(("judge.", "base.")) for key in alone.state_dict())


def test_one_backward_pass_is_two_steps_of_a_game(network: JudgedDecoder, inputs: tuple) -> None:
    """The gradients of the sum are those of each loss upon its own part."""
    latents, features, probabilities, gt = inputs

    def scored() -> tuple[torch.Tensor, torch.Tensor]:
        torch.manual_seed(0)
        judged = network.eval().train()(latents, features, probabilities, gt, judges_from=0)
        module = (judged.restored - gt).abs().mean() - judged.restored_scores.mean()
        return module, judged.detached_scores.mean() - judged.gt_scores.mean()

    def gradients(of: str, part: str) -> dict[str, torch.Tensor]:
        network.load_state_dict(state)
        network.zero_grad(set_to_none=True)
        module, judge = scored()
        {"sum": module + judge, "drm": module, "judge": judge}[of].backward()
        found = network.get_submodule(part).named_parameters()
        return {name: weight.grad.clone() for name, weight in found if weight.grad is not None}

    state = {key: value.clone() for key, value in network.state_dict().items()}
    for part in ("drm", "judge"):
        together, alone = gradients("sum", part), gradients(part, part)
        assert together.keys() == alone.keys() and together
        for name, gradient in together.items():
            torch.testing.assert_close(gradient, alone[name], msg=name)


def test_a_copy_shares_the_base_and_counts_for_itself(network: JudgedDecoder, inputs: tuple) -> None:
    network(*inputs, judges_from=None)
    copied = copy.deepcopy(network)
    copied(*inputs, judges_from=None)
    assert copied.base is network.base
    assert (int(network.num_passes), int(copied.num_passes)) == (1, 2)
