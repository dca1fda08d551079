import pytest
import torch

from ldrestore.guides.clip_tower import ClipTower
from ldrestore.prompts.text_sequences import SpecialTokens
from ldrestore.training.networks.frozen_base import FrozenBase
from ldrestore.training.networks.stable_adapters import PART_CLASSES, StableAdapters
from ldrestore.training.networks.steering import LqFeatures
from tests.tiny_clip import tiny_tower
from tests.tiny_stable import NAMES, tiny_adapters, tiny_base


@pytest.fixture
def base():
    parts = tiny_base()
    tokens = SpecialTokens.of(parts.pop("tokenizer"))
    return FrozenBase(**parts, tower=ClipTower(tiny_tower()), tokens=tokens)


@pytest.fixture
def adapters(base):
    """`adapters(*names)` gives a network of these parts, or of all."""

    def create(*names):
        parts = tiny_adapters(base.unet)
        return StableAdapters(base, {name: parts[name] for name in names or PART_CLASSES})

    return create


@pytest.fixture
def steering():
    """Of two damaged pictures."""
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(2, len(NAMES), generator=generator).softmax(dim=1)
    return LqFeatures(
        torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 1, 6, generator=generator), probabilities
    )
