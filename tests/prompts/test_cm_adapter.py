"""The adapter is the published one: the authors' implementation gave the golden outputs, see tests/parity_rule.py."""

import math
from pathlib import Path

import pytest
import torch
from diffusers.models import attention_dispatch
from safetensors.torch import load_file
from torch.nn import functional as F

from ldrestore.errors import ConfigError, ShapeError
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.weights.fitting import load_strictly
from tests.parity_rule import checkpoint

FIXTURES = Path(__file__).parent / "fixtures"


def tiny(names=("haze", "rain", "snow"), seed=0):
    torch.manual_seed(seed)
    return CMAdapter(names, embedding_dim=6, text_dim=8, num_tokens=3, num_heads=2)


def test_published_weights_compute_what_the_authors_code_computes():
    with torch.device("meta"):
        adapter = CMAdapter()
    adapter = adapter.to_empty(device="cpu")
    load_strictly(adapter, checkpoint(FIXTURES / "mperceiver_cm_inv.txt"), source="mperceiver_cm_inv")
    golden = load_file(FIXTURES / "mperceiver_cm_inv.safetensors")
    with torch.no_grad():
        words = adapter(golden["input_0"])
    assert words.shape == (1, 9, 16, 1024)
    for index in range(9):
        expected = golden[f"output_{index}"]
        assert (words[:, index] - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_keys_and_shapes_are_the_published_ones():
    with torch.device("meta"):
        weights = CMAdapter().state_dict()
    rows = [f"{key} {'x'.join(map(str, value.shape))}" for key, value in weights.items()]
    assert rows == (FIXTURES / "mperceiver_cm_inv.txt").read_text(encoding="utf-8").splitlines()


def test_it_follows_equation_2():
    adapter, embeddings = tiny(), torch.randn(2, 6)
    torch.nn.init.normal_(adapter.norm.weight)
    words = adapter(embeddings)
    assert words.shape == (2, 3, 3, 8)
    for picture in range(2):
        mapped = adapter.proj.weight @ embeddings[picture] + adapter.proj.bias
        tokens = [
            F.layer_norm(mapped[8 * n : 8 * n + 8], (8,), adapter.norm.weight, adapter.norm.bias) for n in range(3)
        ]
        for index, attention in enumerate(adapter.attns):
            query, key, value = (
                [linear.weight @ token for token in tokens]
                for linear in (attention.to_q, attention.to_k, attention.to_v)
            )
            for n in range(3):
                heads = []
                for head in (slice(0, 4), slice(4, 8)):
                    scores = torch.stack([query[n][head] @ other[head] / math.sqrt(4) for other in key]).softmax(dim=0)
                    heads.append(sum(score * other[head] for score, other in zip(scores, value, strict=True)))
                expected = attention.to_out[0].weight @ torch.cat(heads) + attention.to_out[0].bias
                torch.testing.assert_close(words[picture, index, n], expected)


def test_all_parameters_get_gradients():
    adapter = tiny()
    adapter(torch.randn(2, 6)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in adapter.parameters())


def test_it_survives_saving(tmp_path):
    adapter = tiny()
    adapter.save_pretrained(tmp_path)
    loaded = CMAdapter.from_pretrained(tmp_path)
    embeddings = torch.randn(1, 6)
    assert loaded.names == ("haze", "rain", "snow")
    assert torch.equal(loaded(embeddings), adapter(embeddings))


def test_the_chosen_backend_computes_the_attention(monkeypatch):
    adapter, calls = tiny(), []
    chosen = attention_dispatch.AttentionBackendName._NATIVE_MATH
    registry = attention_dispatch._AttentionBackendRegistry
    math_attention = registry._backends[chosen]
    before = registry.get_active_backend()[0]

    def watched(*args, **kwargs):
        calls.append(chosen)
        return math_attention(*args, **kwargs)

    monkeypatch.setitem(registry._backends, chosen, watched)
    try:
        adapter.set_attention_backend("_native_math")
        adapter(torch.randn(1, 6))
    finally:
        registry.set_active_backend(before)
    assert calls == [chosen] * 3


def test_growing_keeps_the_old_words_to_the_bit(tmp_path):
    adapter, embeddings = tiny(), torch.randn(2, 6)
    before = {key: value.clone() for key, value in adapter.state_dict().items()}
    words = adapter(embeddings)
    adapter.grow(["jpeg", "moire"], generator=torch.Generator().manual_seed(1))
    after = adapter.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    assert len(after) == len(before) + 2 * 5
    grown = adapter(embeddings)
    assert grown.shape == (2, 5, 3, 8) and torch.equal(grown[:, :3], words)
    again = tiny()
    again.grow(["jpeg", "moire"], generator=torch.Generator().manual_seed(1))
    assert torch.equal(again(embeddings), grown)
    adapter.save_pretrained(tmp_path)
    loaded = CMAdapter.from_pretrained(tmp_path)
    assert loaded.names == ("haze", "rain", "snow", "jpeg", "moire") and torch.equal(loaded(embeddings), grown)


def test_grown_attentions_are_trained_if_the_old_ones_are_and_in_their_type():
    adapter = tiny().requires_grad_(False).bfloat16().eval()
    adapter.grow(["jpeg"])
    new = adapter.attns[-1]
    assert not new.training and not new.to_q.weight.requires_grad and new.to_q.weight.dtype == torch.bfloat16


def test_growing_takes_new_names_only():
    adapter = tiny()
    with pytest.raises(ConfigError, match="rain: there already"):
        adapter.grow(["rain", "jpeg"])
    assert len(adapter.attns) == 3


def test_wrong_sizes_are_refused():
    with pytest.raises(ConfigError, match="a multiple of num_heads"):
        CMAdapter(text_dim=10, num_heads=4)
    with pytest.raises(ConfigError, match="different names of degradations"):
        tiny(())
    with pytest.raises(ShapeError, match=r"expected embeddings \(B, 6\), got \(1, 5, 6\); average those of several"):
        tiny()(torch.zeros(1, 5, 6))
