import numpy as np
import pytest

from ldrestore.evaluation.studies.study import StudyCall
from ldrestore.guides.loading_quietly import without_progress_bar
from tests.tiny_stable import tiny_stable


@pytest.fixture(scope="session")
def stable_folder(tmp_path_factory):
    """A saved tiny pipeline of the Stable track."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    with without_progress_bar():
        tiny_stable().save_pretrained(folder)
    return folder


@pytest.fixture
def call(tmp_path):
    """`call(*models, **fields)` makes what a study is given, with one picture a dataset."""
    return lambda *models, **fields: StudyCall(
        **{"out_dir": tmp_path / "out", "models": tuple(map(str, models)), "limit": 1} | fields
    )


@pytest.fixture(scope="module")
def distance():
    """ST-LPIPS without weights: the mean absolute difference."""

    class Distance:
        def __init__(self, device):
            pass

        def __call__(self, images, gt):
            return [float(np.abs(image - gt.astype(float)).mean() / 255) for image in images]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ldrestore.metrics.st_lpips.ShiftTolerantDistance", Distance)
        yield
