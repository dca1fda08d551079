from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from accelerate import cpu_offload
from accelerate.hooks import ModelHook, add_hook_to_module
from transformers import CLIPTextModel

from ldrestore.errors import ConfigError, ShapeError
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.prompts.text_sequences import (
    SpecialTokens,
    embed_sequences,
    encode_embeddings,
    mixed_text,
    text_conditioning,
)
from ldrestore.prompts.textual_prompts import TextualPromptPool
from tests.tiny_clip import tiny_text_encoder

NAMES = ("haze", "rain", "snow")
TOKENS = SpecialTokens(start=40, end=41, padding=0)


@pytest.fixture(scope="module")
def encoder():
    return tiny_text_encoder(vocabulary=42)


def parts(order="released"):
    torch.manual_seed(1)
    adapter = CMAdapter(NAMES, embedding_dim=6, text_dim=8, num_tokens=3, num_heads=2)
    pool = TextualPromptPool(NAMES, num_tokens=2, text_dim=8, order=order)
    return adapter, pool


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_words_go_through_as_the_model_itself_takes_them(encoder, implementation):
    encoder.set_attn_implementation(implementation)
    numbers = torch.tensor([[40, 7, 9, 3, 41, *[0] * 7], [40, 1, 41, *[0] * 9]])
    with torch.no_grad():
        expected = encoder(numbers).last_hidden_state
        found = encode_embeddings(encoder, encoder.get_input_embeddings()(numbers))
    encoder.set_attn_implementation("sdpa")
    assert torch.equal(found, expected)


def test_later_words_do_not_reach_earlier_ones(encoder):
    embeddings = torch.randn(1, 12, 8)
    changed = embeddings.clone()
    changed[:, 5] += 1
    before, after = encode_embeddings(encoder, embeddings), encode_embeddings(encoder, changed)
    assert torch.equal(before[:, :5], after[:, :5]) and not torch.equal(before[:, 5:], after[:, 5:])


def test_a_sequence_is_start_words_end_and_padding(encoder):
    words, table = torch.randn(2, 3, 5, 8), encoder.get_input_embeddings().weight
    sequences = embed_sequences(words, text_encoder=encoder, tokens=TOKENS)
    assert sequences.shape == (2, 3, 12, 8)
    for picture in range(2):
        for index in range(3):
            expected = [table[40], *words[picture, index], table[41], *[table[0]] * 5]
            assert torch.equal(sequences[picture, index], torch.stack(expected))


@pytest.mark.parametrize("order", ["released", "paper"])
def test_the_branch_follows_equation_3(encoder, order):
    adapter, pool = parts(order)
    table, embeddings = encoder.get_input_embeddings().weight, torch.randn(2, 6)
    probabilities = torch.rand(2, 3).softmax(dim=1)
    conditioning = text_conditioning(
        embeddings, probabilities, text_encoder=encoder, cm_adapter=adapter, pool=pool, tokens=TOKENS
    )
    e_cm = adapter(embeddings)
    for picture in range(2):
        expected = 0
        for index in range(3):
            words = [pool.tp[index], e_cm[picture, index]]
            words = words if order == "released" else words[::-1]
            sequence = torch.cat([table[40:41], *words, table[41:42], table[:1].expand(5, -1)])
            expected = expected + probabilities[picture, index] * encode_embeddings(encoder, sequence[None])[0]
        torch.testing.assert_close(conditioning.prompt_embeds[picture], expected)
    assert conditioning.names == NAMES and conditioning.probabilities is probabilities


def test_without_the_pool_only_the_pictures_words_are_read(encoder):
    adapter, _ = parts()
    embeddings, probabilities = torch.randn(1, 6), torch.tensor([[0.5, 0.25, 0.25]])
    conditioning = text_conditioning(
        embeddings, probabilities, text_encoder=encoder, cm_adapter=adapter, pool=None, tokens=TOKENS
    )
    expected = mixed_text(adapter(embeddings), probabilities, text_encoder=encoder, tokens=TOKENS)
    assert torch.equal(conditioning.prompt_embeds, expected)


def test_gradients_reach_adapter_and_pool_and_nothing_else(encoder):
    adapter, pool = parts()
    conditioning = text_conditioning(
        torch.randn(2, 6),
        torch.full((2, 3), 1 / 3),
        text_encoder=encoder,
        cm_adapter=adapter,
        pool=pool,
        tokens=TOKENS,
    )
    (conditioning.prompt_embeds * torch.randn(2, 12, 8)).sum().backward()
    for parameter in (*adapter.parameters(), *pool.parameters()):
        assert parameter.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in encoder.parameters())


def test_absent_degradations_are_not_encoded_where_nothing_is_trained(encoder):
    words, probabilities = torch.randn(2, 3, 5, 8), torch.tensor([[1e-9, 1.0, 0.0], [0.0, 0.4, 0.6]])
    batches = []
    handle = encoder.register_forward_pre_hook(lambda module, inputs: batches.append(len(inputs[0])))
    trained = mixed_text(words.requires_grad_(), probabilities, text_encoder=encoder, tokens=TOKENS)
    with torch.no_grad():
        mixed = mixed_text(words, probabilities, text_encoder=encoder, tokens=TOKENS)
    handle.remove()
    assert batches == [6, 4]
    torch.testing.assert_close(mixed, trained.detach())


def test_probabilities_that_are_no_numbers_are_not_hidden(encoder):
    with torch.no_grad():
        mixed = mixed_text(torch.randn(1, 2, 5, 8), torch.full((1, 2), torch.nan), text_encoder=encoder, tokens=TOKENS)
    assert mixed.isnan().all()


def test_learned_words_take_the_encoders_type(encoder):
    half = CLIPTextModel(encoder.config).bfloat16().eval()
    words = torch.randn(1, 2, 5, 8)
    mixed = mixed_text(words, torch.tensor([[0.5, 0.5]]), text_encoder=half, tokens=TOKENS)
    assert mixed.dtype == torch.bfloat16


def test_an_offloaded_encoder_is_fetched_as_if_it_were_called(encoder):
    class Watched(ModelHook):
        fetched = 0

        def pre_forward(self, module, *args, **kwargs):
            Watched.fetched += 1
            return args, kwargs

    offloaded = CLIPTextModel(encoder.config).eval()
    add_hook_to_module(offloaded, Watched())
    encode_embeddings(offloaded, torch.randn(1, 12, 8))
    assert Watched.fetched == 1


def test_an_encoder_whose_weights_are_offloaded_one_by_one_computes_the_same(encoder):
    words, probabilities = torch.randn(1, 3, 5, 8), torch.tensor([[0.2, 0.3, 0.5]])
    expected = mixed_text(words, probabilities, text_encoder=encoder, tokens=TOKENS)
    offloaded = CLIPTextModel(encoder.config).eval()
    offloaded.load_state_dict(encoder.state_dict())
    cpu_offload(offloaded, execution_device=torch.device("cpu"))
    assert offloaded.get_input_embeddings().weight.is_meta
    assert torch.equal(mixed_text(words, probabilities, text_encoder=offloaded, tokens=TOKENS), expected)


def test_threads_that_share_an_encoder_do_not_read_each_others_words(encoder):
    words = torch.randn(4, 1, 12, 8)
    with torch.no_grad():
        expected = [encode_embeddings(encoder, embeddings) for embeddings in words]

    def encode(index):
        with torch.no_grad():
            return all(torch.equal(encode_embeddings(encoder, words[index]), expected[index]) for _ in range(20))

    with ThreadPoolExecutor(max_workers=4) as pool:
        assert all(pool.map(encode, range(4)))


def test_an_encoder_that_fails_reads_tokens_again_afterwards(encoder):
    tokens = torch.tensor([[40, 7, 41, *[0] * 9]])
    expected = encoder(tokens).last_hidden_state
    with pytest.raises(RuntimeError):
        encode_embeddings(encoder, torch.randn(1, 12, 9))
    assert torch.equal(encoder(tokens).last_hidden_state, expected)


def test_the_special_tokens_are_the_tokenizers():
    class Tokenizer:
        bos_token_id, eos_token_id, pad_token_id = 40, 41, 0

    assert SpecialTokens.of(Tokenizer()) == TOKENS
    assert SpecialTokens() == SpecialTokens(start=49406, end=49407, padding=0)


def test_what_does_not_fit_is_refused(encoder):
    adapter, pool = parts()
    options = {"text_encoder": encoder, "tokens": TOKENS}
    with pytest.raises(ShapeError, match="up to 10 words of width 8 between start and end, got 11 of width 8"):
        embed_sequences(torch.zeros(1, 11, 8), **options)
    with pytest.raises(ShapeError, match="got 5 of width 7"):
        embed_sequences(torch.zeros(1, 5, 7), **options)
    with pytest.raises(ConfigError, match="outside a vocabulary of 42; take those of the encoder's tokenizer"):
        embed_sequences(torch.zeros(1, 5, 8), text_encoder=encoder)
    with pytest.raises(ShapeError, match=r"got \(1, 3, 5, 8\) and \(1, 2\)"):
        mixed_text(torch.zeros(1, 3, 5, 8), torch.ones(1, 2), **options)
    pool.grow(["jpeg"])
    with pytest.raises(ConfigError, match="or grow the one that lacks some"):
        text_conditioning(torch.zeros(1, 6), torch.ones(1, 3), cm_adapter=adapter, pool=pool, **options)
