import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when huggingface_hub is imported: no test reaches the network
if "PYTEST_XDIST_WORKER" in os.environ:  # each of several processes keeps to one processor, and so does what it starts
    os.environ["OMP_NUM_THREADS"] = "1"
# Processes that tests start import this checkout, installed or not.
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, (str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH")))
)

import hypothesis
import pytest

pytest_plugins = ["tests.foreign_deprecations", "tests.gpu_results"]

hypothesis.settings.register_profile("ldrestore", deadline=None)  # how long an example takes depends on the machine
hypothesis.settings.load_profile("ldrestore")


def pytest_collection_modifyitems(items):
    """Skip the tests that need a GPU where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
