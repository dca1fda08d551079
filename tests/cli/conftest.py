import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from ldrestore.cli.main import make_app


@pytest.fixture
def call():
    """Run the command line in this process; the result has exit_code, stdout and stderr."""
    runner = CliRunner()

    def run(*words):
        return runner.invoke(make_app(), [str(word) for word in words], prog_name="ldrestore", catch_exceptions=False)

    return run


def write_picture(path, *, seed=0, mode="RGB", height=20, width=24):
    """Write a random picture; folders on the way are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width, len(mode)) if len(mode) > 1 else (height, width)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels, mode="RGBA" if mode == "RGBA" else None).save(path)
    return path


@pytest.fixture
def picture():
    """`picture(path, seed=.., mode=..)` writes a random picture and gives its path."""
    return write_picture


@pytest.fixture
def folder(tmp_path):
    """A folder of three pictures, one of them in a sub-folder, and a text file."""
    root = tmp_path / "in"
    write_picture(root / "a.png", seed=1)
    write_picture(root / "b.jpg", seed=2)
    write_picture(root / "sub" / "c.tif", seed=3)
    (root / "notes.txt").write_text("no picture")
    return root


@pytest.fixture
def instructed_model(tmp_path, monkeypatch):
    """Folder of a tiny InstructIR with its head, whose encoder lies in the cache of the Hub."""
    from tests.tiny_instructed import fill_cache, tiny_instructed

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    tiny_instructed(fill_cache(tmp_path / "cache")).save_pretrained(tmp_path / "instructed")
    return tmp_path / "instructed"


@pytest.fixture(scope="session")
def stable_model(tmp_path_factory):
    """Folder of a real, tiny stable pipeline, which knows rain, haze and jpeg."""
    from ldrestore.guides.loading_quietly import without_progress_bar
    from tests.tiny_stable import tiny_stable

    folder = tmp_path_factory.mktemp("models") / "tiny_stable"
    with without_progress_bar():
        tiny_stable().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Folder of a real, tiny fast pipeline."""
    import torch

    from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
    from ldrestore.regressors.factory import create_regressor

    torch.manual_seed(0)
    network = create_regressor("nafnet", width=4, enc_blk_nums=(1,), middle_blk_num=1, dec_blk_nums=(1,))
    folder = tmp_path_factory.mktemp("model")
    FastRestorePipeline(regressor=network.eval()).save_pretrained(folder)
    return folder
