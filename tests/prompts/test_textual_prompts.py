import pytest
import torch

from ldrestore.errors import ConfigError, ShapeError, UnknownNameError
from ldrestore.prompts.textual_prompts import TextualPromptPool


def tiny(names=("haze", "rain", "snow"), **options):
    torch.manual_seed(0)
    return TextualPromptPool(names, num_tokens=2, text_dim=8, **options)


def test_it_has_the_released_layout_and_spread():
    pool = TextualPromptPool()
    assert {key: tuple(value.shape) for key, value in pool.state_dict().items()} == {"tp": (9, 16, 1024)}
    assert pool.tp.std().item() == pytest.approx(0.02, rel=0.02) and abs(pool.tp.mean().item()) < 1e-3


@pytest.mark.parametrize("order", ["released", "paper"])
def test_prompts_stand_beside_the_pictures_words_in_the_chosen_order(order):
    pool, e_cm = tiny(order=order), torch.randn(4, 3, 5, 8)
    words = pool(e_cm)
    assert words.shape == (4, 3, 7, 8)
    for picture in range(4):
        for index in range(3):
            parts = [pool.tp[index], e_cm[picture, index]]
            expected = torch.cat(parts if order == "released" else parts[::-1])
            assert torch.equal(words[picture, index], expected)


def test_it_survives_saving(tmp_path):
    pool = tiny(order="paper")
    pool.save_pretrained(tmp_path)
    loaded = TextualPromptPool.from_pretrained(tmp_path)
    assert torch.equal(loaded.tp, pool.tp)
    assert loaded.names == pool.names and loaded.config["order"] == "paper"


def test_growing_keeps_old_prompts_to_the_bit(tmp_path):
    pool = tiny()
    before = pool.tp.detach().clone()
    pool.grow(["jpeg"], generator=torch.Generator().manual_seed(1))
    assert pool.tp.shape == (4, 2, 8) and torch.equal(pool.tp[:3], before) and pool.tp.requires_grad
    again = tiny()
    again.grow(["jpeg"], generator=torch.Generator().manual_seed(1))
    assert torch.equal(again.tp, pool.tp)
    pool.save_pretrained(tmp_path)
    loaded = TextualPromptPool.from_pretrained(tmp_path)
    assert loaded.names == ("haze", "rain", "snow", "jpeg") and torch.equal(loaded.tp, pool.tp)
    with pytest.raises(ConfigError, match="jpeg: there already"):
        pool.grow(["jpeg"])


def test_wrong_sizes_are_refused():
    with pytest.raises(UnknownNameError, match="unknown order of prompts 'papr'; did you mean 'paper'"):
        tiny(order="papr")
    with pytest.raises(ConfigError, match="sizes must be positive"):
        TextualPromptPool(num_tokens=0)
    with pytest.raises(ShapeError, match=r"expected words of shape \(B, 3, K, 8\), got \(1, 2, 5, 8\)"):
        tiny()(torch.zeros(1, 2, 5, 8))
