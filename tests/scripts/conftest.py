import cv2
import numpy as np
import pytest
from measurement_file import as_row

from ldrestore.images.inputs import to_photo
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from ldrestore.structures import FIRST_SET


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


@pytest.fixture
def document():
    """Measurements with one row of most sections."""
    names = ["a.png", "b.png"]

    def row(before, after, **others):
        gain = [b - a for a, b in zip(before, after, strict=True)]
        return as_row(names, {"input_psnr": before, "restored_psnr": after, "gain_psnr": gain, **others})

    predicted = {"0.4": {"rain": 1, "snow": 1}, "1.0": {"rain": 2}}
    return {
        "protocol": "uint8",
        "model": {
            "name": "default",
            "architecture": "Net",
            "parameters": 1234567,
            "file_bytes": 2_500_000,
            "file_sha256": "0",
        },
        "pictures": names,
        "rows": {
            "degradations": {
                "gaussian_noise(sigma_255=15)": row([24.0, 25.0], [33.0, 34.0], opencv_nlm_psnr=[29.0, 30.0]),
                "haze": row([14.0, 15.0], [20.0, 19.0], dark_channel_psnr=[19.0, 19.5]),
                "rain": row([23.0, 23.0], [25.0, 24.0]),
            },
            "clean": {"clean": row([100.0, 100.0], [41.0, 40.0])},
            "mixtures": {
                "mid6/rain_noise_blur": row(
                    [16.0, 16.0], [20.0, 20.0], input_stlpips=[0.5, 0.5], restored_stlpips=[0.6, 0.6]
                )
            },
            "real": {"polyu": row([35.0, 36.0], [35.1, 36.1])},
            "estimate": {name: {**as_row(names, {"top1": [1.0, 0.5]}), "predicted": predicted} for name in FIRST_SET},
            "speed": {
                "megapixel": {
                    "threads": 2,
                    "opencv_threads": 2,
                    "megapixels": 1.0,
                    "repeats": 5,
                    "seconds": 1.2,
                    "opencv_nlm_seconds": 1.0,
                    "ratio": 1.2,
                    "ratio_range": [1.1, 1.3],
                }
            },
        },
    }
