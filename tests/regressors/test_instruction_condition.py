import math

import pytest
import torch

from ldrestore.regressors.instruction_condition import InstructionConditionBlock


def filled(text_dim):
    block = InstructionConditionBlock(3, text_dim=text_dim)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return block.double()


def literal_input_of_the_block(block, hidden_states, embedding):
    """(gamma x + beta) m with m = sigmoid(W t + b), one channel at a time."""
    masked = torch.empty_like(hidden_states)
    for b, text in enumerate(embedding.tolist()):
        for c in range(hidden_states.shape[1]):
            products = [w * t for w, t in zip(block.fc.weight[c].tolist(), text, strict=True)]
            mask = 1 / (1 + math.exp(-(sum(products) + block.fc.bias[c].item())))
            affine = block.gamma[0, c] * hidden_states[b, c] + block.beta[0, c]
            masked[b, c] = affine * mask
    return masked


def test_it_follows_the_equations():
    block, hidden_states, embedding = filled(5), torch.randn(2, 3, 4, 6).double(), torch.randn(2, 5).double()
    with torch.no_grad():
        expected = block.block(literal_input_of_the_block(block, hidden_states, embedding)) + hidden_states
        torch.testing.assert_close(block(hidden_states, embedding), expected)


@pytest.mark.parametrize("text_dim", [None, 5])
def test_it_starts_as_the_identity(text_dim):
    hidden_states = torch.randn(2, 3, 4, 6)
    assert torch.equal(InstructionConditionBlock(3, text_dim=text_dim)(hidden_states, torch.randn(2, 5)), hidden_states)


def test_without_text_the_mask_is_one():
    block, hidden_states = filled(None), torch.randn(1, 3, 4, 6).double()
    expected = block.block(block.gamma * hidden_states + block.beta) + hidden_states
    torch.testing.assert_close(block(hidden_states, None), expected)
    assert "fc.weight" not in block.state_dict()
