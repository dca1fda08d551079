"""The yardstick of the speed figures: the same function, computed in another way."""

import pytest
import torch

from ldrestore.evaluation.plain_blocks import plain_blocks
from ldrestore.regressors.factory import create_regressor

U = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1, 1], "dec_blk_nums": [1, 1]}
TRANSFORMER = {"dim": 4, "num_blocks": [1, 1, 1, 1], "num_refinement_blocks": 1, "heads": [1, 1, 2, 4]}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("nafnet", U),
        ("instructir", U),
        ("restormer", TRANSFORMER),
        ("restormer_biasfree", TRANSFORMER),
        ("moce_ir", {**TRANSFORMER, "dim": 8, "num_dec_blocks": [1, 1, 1]}),
    ],
)
def test_plain_blocks_give_the_same_pictures(name, options):
    torch.manual_seed(0)
    network = create_regressor(name, **options).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
        lq = torch.rand(2, 3, 16, 24)
        expected = network(lq)
        with plain_blocks():
            plain = network(lq)
        again = network(lq)
    torch.testing.assert_close(plain, expected, rtol=1e-4, atol=1e-5)
    assert not torch.equal(plain, expected)  # it did go another way
    assert torch.equal(again, expected)
