import torch

from ldrestore.regressors.prompt_injection import Prompt, PromptedTransformerBlock


def block_of(injector, seed=0):
    torch.manual_seed(seed)
    block = PromptedTransformerBlock(8, num_heads=2, prompt_dim=16, injector=injector)
    with torch.no_grad():  # the two weights and the norm start too alike to tell them apart
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return block


def prompt_of(num_tokens, batch=2):
    tokens = torch.randn(batch, num_tokens, 16)
    shares = torch.cat([torch.ones(batch, 1), torch.rand(batch, num_tokens - 1) + 0.1], dim=1)
    return Prompt(tokens[:, 0], tokens, shares)


def literal_cross_attention(block, features, tokens, shares, gate):
    """One position of one picture, with each projection carried out where it is written."""
    weights = torch.cat([block.feature_weight, block.prompt_weight]).softmax(dim=0)
    normed = block.prompt_norm(tokens)  # (T, D)
    query = block.cross_attn_q(features) * weights[0]  # (C,)
    keys, values = (project(normed) * weights[1] for project in (block.cross_attn_k, block.cross_attn_v))
    attention = ((keys @ query) / len(query) ** 0.5 + shares.log()).softmax(dim=0)  # (T,)
    return gate * block.cross_attn_out(attention @ values)


def test_the_released_term_is_the_cross_attention_to_a_single_key():
    block, prompt, features = block_of("released"), prompt_of(1), torch.randn(2, 8, 3, 4)
    term = block.constant_term(prompt)
    for picture in range(2):
        for row, column in ((0, 0), (2, 3)):
            position = features[picture, :, row, column]
            expected = literal_cross_attention(block, position, prompt.tokens[picture], torch.ones(1), gate=1)
            torch.testing.assert_close(term[picture, :, 0, 0], expected)


def test_the_spatial_term_is_the_gated_cross_attention_of_each_position():
    block, prompt, features = block_of("spatial"), prompt_of(5), torch.randn(2, 8, 3, 4)
    term = block.spatial_term(features, prompt)
    assert term.shape == features.shape
    for picture in range(2):
        for row in range(3):
            for column in range(4):
                position = features[picture, :, row, column]
                gate = 2 * torch.sigmoid(block.injection_gate(position))
                tokens, shares = prompt.tokens[picture], prompt.shares[picture]
                expected = literal_cross_attention(block, position, tokens, shares, gate)
                torch.testing.assert_close(term[picture, :, row, column], expected)


def test_the_block_lets_the_attention_see_the_prompt_and_keeps_the_plain_residual():
    for injector in ("released", "spatial"):
        block, prompt, features = block_of(injector), prompt_of(3), torch.randn(2, 8, 5, 4)
        weight = torch.cat([block.feature_weight, block.prompt_weight]).softmax(dim=0)[0]
        term = block.spatial_term(features, prompt) if injector == "spatial" else block.constant_term(prompt)
        attended = features + block.attn(block.norm1(features * weight + term))
        torch.testing.assert_close(block(features, prompt), attended + block.ffn(block.norm2(attended)))


def test_the_spatial_term_varies_over_positions_where_the_released_one_is_constant():
    prompt, features = prompt_of(5), torch.randn(2, 8, 6, 7)
    assert block_of("released").constant_term(prompt).shape == (2, 8, 1, 1)
    block = block_of("spatial")
    with torch.no_grad():  # the choice alone, without the gate
        block.injection_gate.weight.zero_()
    assert (block.spatial_term(features, prompt).std(dim=(2, 3)) > 1e-3).all()


def test_the_spatial_injector_trains_what_the_released_one_cannot():
    prompt, features = prompt_of(5), torch.randn(2, 8, 6, 7)
    block = block_of("spatial")
    block(features, prompt).square().sum().backward()
    names = ("cross_attn_q", "cross_attn_k", "cross_attn_v", "injection_gate")
    assert all(block.get_submodule(name).weight.grad.abs().sum() > 1e-3 for name in names)
    released = block_of("released")
    frozen = {key for key, parameter in released.named_parameters() if not parameter.requires_grad}
    assert frozen == {f"cross_attn_{which}.{leaf}" for which in "qk" for leaf in ("weight", "bias")}


def test_with_one_key_and_an_untrained_gate_the_spatial_injector_is_the_released_one():
    released, prompt, features = block_of("released"), prompt_of(1), torch.randn(2, 8, 6, 7)
    spatial = PromptedTransformerBlock(8, num_heads=2, prompt_dim=16, injector="spatial")
    missing = spatial.load_state_dict(released.state_dict(), strict=False)
    assert (missing.missing_keys, missing.unexpected_keys) == (["injection_gate.weight", "injection_gate.bias"], [])
    torch.testing.assert_close(spatial(features, prompt), released(features, prompt))


def test_a_prompt_that_is_likelier_from_the_start_is_chosen_more():
    block, prompt, features = block_of("spatial"), prompt_of(2), torch.randn(2, 8, 3, 4)
    certain = prompt._replace(shares=torch.tensor([[1.0, 1e-9]] * 2))
    alone = Prompt(prompt.representation, prompt.tokens[:, :1], prompt.shares[:, :1])
    torch.testing.assert_close(block.spatial_term(features, certain), block.spatial_term(features, alone))
