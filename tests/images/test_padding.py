import numpy as np
import pytest
import torch

from ldrestore.errors import InputError
from ldrestore.images.padding import crop_to, pad_to_multiple


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 16), (17, 33), (64, 64)])
@pytest.mark.parametrize("multiple", [1, 8, 16, 64])
def test_padding_is_numpys_reflection_and_the_crop_gives_the_picture_back(size, multiple):
    x = torch.rand(2, 3, *size)
    padded = pad_to_multiple(x, multiple)
    missing = [-side % multiple for side in size]
    expected = np.pad(x.numpy(), ((0, 0), (0, 0), (0, missing[0]), (0, missing[1])), mode="reflect")
    assert np.array_equal(padded.numpy(), expected)
    assert torch.equal(crop_to(padded, *size), x)


def test_a_multiple_below_one_is_refused():
    with pytest.raises(InputError, match="got 0"):
        pad_to_multiple(torch.rand(1, 3, 4, 4), 0)
