import cv2
import numpy as np
import pytest

from ldrestore.images.inputs import to_photo
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor


@pytest.fixture
def scene():
    """(72, 96, 3) uint8: patches of saturated and dark colours with soft shading."""
    colours = np.random.default_rng(3).uniform(0, 200, (9, 12, 3)).astype(np.float32)
    colours[..., 1] *= np.random.default_rng(4).integers(0, 2, (9, 12))
    patches = cv2.resize(colours, (96, 72), interpolation=cv2.INTER_NEAREST)
    shading = np.linspace(0.7, 1.0, 96, dtype=np.float32)[None, :, None]
    return np.rint(patches * shading).astype(np.uint8)


@pytest.fixture
def folder(tmp_path, scene):
    """Three small pictures a.png, b.png, c.png."""
    path = tmp_path / "pictures"
    path.mkdir()
    for index, name in enumerate("abc"):
        to_photo(np.roll(scene, 7 * index, axis=1)[:40, :48].copy()).save(path / f"{name}.png")
    return path


@pytest.fixture
def pipeline():
    """A tiny restorer without estimate, which counts its calls."""
    network = create_regressor("nafnet", width=4, middle_blk_num=1, enc_blk_nums=[1], dec_blk_nums=[1])
    restorer = FastRestorePipeline(regressor=network.eval())
    restorer.set_progress_bar_config(disable=True)
    return restorer
