"""The small encoder that stands in for a guide."""

import torch

from ldrestore.regressors.prompt_encoder import PromptEncoder


def test_pictures_of_any_size_give_embeddings_of_their_own():
    torch.manual_seed(0)
    encoder, lq = PromptEncoder(4, num_embeddings=3, embedding_width=5), torch.rand(2, 3, 9, 1)
    embeddings = encoder(lq)
    assert embeddings.shape == (2, 3, 5)
    torch.testing.assert_close(embeddings[:1], encoder(lq[:1]))
    assert (embeddings[0] - embeddings[1]).abs().max() > 0
