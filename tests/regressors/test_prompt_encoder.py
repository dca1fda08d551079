"""The small encoder that stands in for a guide."""

import torch
from torch.nn import functional as F

from ldrestore.regressors.prompt_encoder import PromptEncoder


def test_pictures_of_any_size_give_embeddings_of_their_own():
    torch.manual_seed(0)
    encoder, lq = PromptEncoder(4, num_embeddings=3, embedding_width=5), torch.rand(2, 3, 9, 1)
    embeddings = encoder(lq)
    assert embeddings.shape == (2, 3, 5)
    torch.testing.assert_close(embeddings[:1], encoder(lq[:1]))
    assert (embeddings[0] - embeddings[1]).abs().max() > 0


def test_an_embedding_is_a_linear_map_of_the_means_of_three_strided_convolutions() -> None:
    torch.manual_seed(0)
    encoder, lq = PromptEncoder(4, num_embeddings=2, embedding_width=5), torch.rand(2, 3, 18, 11)
    hidden = lq
    for index in (0, 2, 4):
        convolution = encoder.body[index]
        hidden = F.gelu(F.conv2d(hidden, convolution.weight, convolution.bias, stride=2, padding=1))
    assert hidden.shape == (2, 16, 3, 2)
    flat = hidden.mean(dim=(2, 3)) @ encoder.head[0].weight.T + encoder.head[0].bias
    found = encoder(lq)
    for picture in range(2):
        for number in range(2):
            expected = flat[picture, 5 * number : 5 * number + 5]
            torch.testing.assert_close(found[picture, number], expected, rtol=1e-4, atol=1e-5)
