import pytest
import torch

from ldrestore.regressors.factory import create_regressor
from tests.checkpoints.mutated_checkpoints import OPTIONS, judge_all


@pytest.fixture
def weights():
    torch.manual_seed(0)
    return create_regressor("nafnet", **OPTIONS).state_dict()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param(range(100), marks=pytest.mark.e2e),
        pytest.param(range(100, 1100), marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
    ids=["100", "1000"],
)
def test_mutants_load_right_or_are_refused_by_name(numbers, weights, tmp_path):
    fates = judge_all(numbers, weights, lambda number: tmp_path / str(number))
    print(fates)
    assert fates["wrapped, loaded"] == fates["cut, refused"] == fates["recorded, refused"] == len(numbers) // 4
    assert sum(fates.values()) == len(numbers)
