"""Networks of the stable track under torch.compile, with a backend that compiles nothing to machine code."""

import pytest
import torch
from run_files import final_state, metrics
from safetensors.torch import load_file
from stable_runs import NAMES, adapters_config, refiner_config, save_base, save_pictures
from torch import nn

from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.training.trainers import train_by_config

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf"),  # torch's own, in tracing
]


@pytest.fixture(autouse=True)
def quick_backend(monkeypatch):
    """Traces forward and backward passes as torch.compile does, and runs them as they are; counts the networks."""
    compiled = []

    def compile_quickly(network, compile_with=nn.Module.compile):
        compiled.append(network)
        compile_with(network, backend="aot_eager")

    monkeypatch.setattr(nn.Module, "compile", compile_quickly)
    yield compiled
    torch._dynamo.reset()


@pytest.fixture
def inputs(tmp_path):
    """Pictures and a base."""
    torch.manual_seed(1)
    DegradationPredictor(NAMES, embedding_dim=6, hidden_dim=8).save_pretrained(tmp_path / "predictor")
    return save_pictures(tmp_path / "pictures"), save_base(tmp_path / "base")


def assert_compiling_changes_nothing(path, root, compiled):
    """Metrics, weights and names of the weights are those of a run that does not compile."""
    for name in ("plain", "compiled"):
        overrides = [f"run.output_dir={root / name}", f"run.compile={name == 'compiled'}".lower()]
        assert train_by_config(path, overrides=overrides, resume=None)
    assert len(compiled) == 1
    for left, right in zip(metrics(root / "plain"), metrics(root / "compiled"), strict=True):
        assert left == pytest.approx(right, rel=1e-4)
    plain, other = final_state(root / "plain"), final_state(root / "compiled")
    torch.testing.assert_close((plain["model"], plain["ema"]), (other["model"], other["ema"]), rtol=1e-3, atol=1e-4)
    files = sorted(file.relative_to(root / "plain") for file in (root / "plain/export").rglob("*.safetensors"))
    assert files == sorted(file.relative_to(root / "compiled") for file in (root / "compiled/export").rglob("*.safe*"))
    for file in files:
        assert load_file(root / "plain" / file).keys() == load_file(root / "compiled" / file).keys()


def test_compiled_adapters_train_alike(tmp_path, inputs, quick_backend):
    stages = [{"patch_size": 16, "batch_size": 2, "steps": 3}]
    path = adapters_config(tmp_path, *inputs, tmp_path / "predictor", stages=stages)
    assert_compiling_changes_nothing(path, tmp_path, quick_backend)


def test_a_compiled_module_and_its_judge_train_alike(tmp_path, inputs, quick_backend):
    stages = [{"patch_size": 32, "batch_size": 2, "steps": 4}]
    loss = {"perceptual": 0.0, "adversarial_from": 0.5}
    extra = {"predictor": tmp_path / "predictor", "latents": {"sampled_share": 0.0}, "stages": stages, "loss": loss}
    path = refiner_config(tmp_path, *inputs, adapters=None, **extra)
    assert_compiling_changes_nothing(path, tmp_path, quick_backend)
