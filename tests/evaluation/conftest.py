import cv2
import numpy as np
import pytest

from ldrestore.images.inputs import to_photo


@pytest.fixture
def scene():
    """(72, 96, 3) uint8: patches of saturated and dark colours with soft shading."""
    colours = np.random.default_rng(3).uniform(0, 200, (9, 12, 3)).astype(np.float32)
    colours[..., 1] *= np.random.default_rng(4).integers(0, 2, (9, 12))
    patches = cv2.resize(colours, (96, 72), interpolation=cv2.INTER_NEAREST)
    shading = np.linspace(0.7, 1.0, 96, dtype=np.float32)[None, :, None]
    return np.rint(patches * shading).astype(np.uint8)


@pytest.fixture
def write(scene):
    """`write(path, shift=.., size=(H, W))` writes a part of the scene, rolled and brightened by `shift`."""

    def make(path, *, shift=0, size=(24, 32)):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.clip(np.roll(scene, shift, axis=1)[: size[0], : size[1]].astype(int) + shift, 0, 255)
        to_photo(pixels.astype(np.uint8)).save(path, overwrite=True)
        return path

    return make


@pytest.fixture(scope="session")
def tiny_fast(tmp_path_factory):
    """Folder of a real, tiny fast pipeline."""
    import torch

    from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
    from ldrestore.regressors.factory import create_regressor

    torch.manual_seed(0)
    network = create_regressor("nafnet", width=4, enc_blk_nums=(1,), middle_blk_num=1, dec_blk_nums=(1,))
    folder = tmp_path_factory.mktemp("models") / "tiny"
    FastRestorePipeline(regressor=network.eval()).save_pretrained(folder)
    return folder
