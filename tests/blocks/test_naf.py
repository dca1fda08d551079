import torch

from ldrestore.blocks.layer_norm import LayerNorm2d
from ldrestore.blocks.naf import NAFBlock, SimpleGate


def randomised(module, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module


def test_layer_norm_matches_the_definition():
    norm = randomised(LayerNorm2d(5))
    x = torch.randn(2, 5, 4, 3)
    centred = x - x.mean(dim=1, keepdim=True)
    expected = centred / (centred.square().mean(dim=1, keepdim=True) + 1e-6).sqrt()
    expected = expected * norm.weight.view(1, 5, 1, 1) + norm.bias.view(1, 5, 1, 1)
    torch.testing.assert_close(norm(x), expected, rtol=1e-4, atol=1e-5)


def test_simple_gate_multiplies_the_halves():
    x = torch.randn(1, 6, 2, 2)
    assert torch.equal(SimpleGate()(x), x[:, :3] * x[:, 3:])


def test_a_new_block_is_the_identity():
    x = torch.randn(2, 4, 5, 7)
    assert torch.equal(NAFBlock(4)(x), x)


def test_block_matches_its_equations():
    block, x = randomised(NAFBlock(4)), torch.randn(1, 4, 6, 5)
    left, right = block.conv2(block.conv1(block.norm1(x))).chunk(2, dim=1)
    gated = left * right
    attention = block.sca[1](gated.mean(dim=(2, 3), keepdim=True))
    y = x + block.conv3(gated * attention) * block.beta
    left, right = block.conv4(block.norm2(y)).chunk(2, dim=1)
    torch.testing.assert_close(block(x), y + block.conv5(left * right) * block.gamma, rtol=1e-4, atol=1e-5)
