"""Networks under torch.compile."""

import pytest
import torch

from ldrestore.regressors.catalog import REGRESSORS
from tests.regressors.test_contract import TINY, tiny

ONE_OF_EACH = {record.target: record.name for record in REGRESSORS}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex")  # MoCE-IR's spectra
@pytest.mark.parametrize("name", sorted(ONE_OF_EACH.values()))
def test_a_compiled_network_gives_the_same_pictures(name):
    assert REGRESSORS.get(name).target in TINY
    network = tiny(name)
    compiled = torch.compile(network)
    with torch.no_grad():
        for size in ((32, 32), (48, 64)):
            lq = torch.rand(1, 3, *size)
            torch.testing.assert_close(compiled(lq), network(lq), rtol=1e-4, atol=1e-5)
