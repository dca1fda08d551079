import sys
from pathlib import Path

import pytest
from accelerate.state import AcceleratorState, GradientState

sys.path.insert(0, str(Path(__file__).parent))  # tiny_run is a script too, which launchers start


@pytest.fixture(autouse=True)
def fresh_accelerate():
    """accelerate keeps its settings for the whole process; each test starts without."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
