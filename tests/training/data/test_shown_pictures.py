"""Which of a pair a prior is shown, and what the caption says of it."""

import pytest
import torch

from ldrestore.degradations.recipes import list_degradations
from ldrestore.training.data.shown_pictures import show_pictures

KNOWN = list_degradations()


@pytest.fixture
def batch():
    severities = torch.zeros(64, len(KNOWN))
    severities[:, KNOWN.index("rain")], severities[:, KNOWN.index("jpeg")] = 0.4, 0.9
    return {"lq": torch.ones(64, 3, 2, 2), "gt": torch.zeros(64, 3, 2, 2), "severities": severities}


def shown(batch, share, names=("rain", "haze")):
    return show_pictures(batch, names, degraded_share=share, generator=torch.Generator().manual_seed(0))


def test_clean_pictures_have_no_severities_and_degraded_ones_their_own(batch):
    pictures, severities = shown(batch, 0.5)
    is_degraded = pictures[:, 0, 0, 0] == 1
    assert 16 < is_degraded.sum() < 48
    assert torch.equal(pictures[is_degraded], batch["lq"][is_degraded])
    assert torch.equal(severities[is_degraded], torch.tensor([[0.4, 0.0]]).expand(int(is_degraded.sum()), 2))
    assert severities[~is_degraded].abs().sum() == 0


@pytest.mark.parametrize(("share", "expected"), [(0.0, "gt"), (1.0, "lq")])
def test_the_share_may_be_none_or_all(batch, share, expected):
    assert torch.equal(shown(batch, share)[0], batch[expected])


def test_names_are_told_in_their_own_order_and_none_may_be(batch):
    _, severities = shown(batch, 1.0, names=("jpeg", "rain"))
    torch.testing.assert_close(severities[0], torch.tensor([0.9, 0.4]))
    assert shown(batch, 1.0, names=())[1].shape == (64, 0)


def test_equal_generators_show_equal_pictures(batch):
    assert torch.equal(shown(batch, 0.5)[0], shown(batch, 0.5)[0])
