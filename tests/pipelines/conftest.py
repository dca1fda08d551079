import numpy as np
import pytest
import torch

from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from tests.fake_hub import hub  # noqa: F401  a fixture
from tests.recorded_backend import recorded_backend  # noqa: F401  a fixture


def randomised(network, seed=0):
    """A network whose zero-initialised branches are open too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


@pytest.fixture
def pipeline():
    """A tiny pipeline that changes its input visibly."""
    network = create_regressor("nafnet", width=4, middle_blk_num=1, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1])
    pipeline = FastRestorePipeline(regressor=randomised(network))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def local_pipeline(pipeline):
    """One whose result at a pixel depends on near pixels alone: its global channel attention is switched off."""
    with torch.no_grad():
        for name, parameter in pipeline.regressor.named_parameters():
            if ".sca." in name:
                parameter.fill_(1.0 if name.endswith("bias") else 0.0)
    return pipeline


@pytest.fixture
def picture():
    """Makes a seeded random picture of a shape and type."""

    def make(*shape, dtype=np.uint8, seed=0):
        values = np.random.default_rng(seed).random(shape, dtype=np.float32)
        top = {"uint8": 255, "uint16": 65535, "float32": 1}[np.dtype(dtype).name]
        return (values * top).astype(dtype)

    return make
