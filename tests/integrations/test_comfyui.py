"""The node as ComfyUI loads it: from a folder, under a name of its own, with tensors (B, H, W, C)."""

import importlib.util
import sys

import pytest
import torch
from syntax_trees import ROOT

from ldrestore.errors import InputError


@pytest.fixture(scope="module")
def node_class():
    path = ROOT / "integrations" / "comfyui"
    spec = importlib.util.spec_from_file_location(
        "custom_nodes_ldrestore", path / "__init__.py", submodule_search_locations=[str(path)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module.NODE_CLASS_MAPPINGS["LDRestore"]
    for name in [name for name in sys.modules if name.startswith("custom_nodes_ldrestore")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder of a tiny model."""
    from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
    from ldrestore.regressors.factory import create_regressor

    torch.manual_seed(0)
    network = create_regressor("nafnet", width=4, enc_blk_nums=(1,), middle_blk_num=1, dec_blk_nums=(1,))
    folder = tmp_path_factory.mktemp("node") / "model"
    FastRestorePipeline(regressor=network.eval()).save_pretrained(folder)
    return str(folder)


def run(node_class, image, model, **options):
    known = {"model": "own", "own_model": model, "fidelity": 0.0, "keep_grain": 0.0, "scale": 1}
    return getattr(node_class(), node_class.FUNCTION)(image, **{**known, **options})


@pytest.mark.parametrize("channels", [3, 4])
def test_a_batch_comes_back_in_the_same_layout(node_class, model, channels):
    image = torch.rand(2, 18, 22, channels)
    restored, changes, estimate = run(node_class, image, model, scale=2)
    assert restored.shape == (2, 36, 44, channels) and changes.shape == (2, 36, 44, 3)
    assert restored.dtype == torch.float32 and restored.min() >= 0 and restored.max() <= 1
    assert estimate.splitlines() == ["no estimate"] * 2
    single, _, _ = run(node_class, image[1:], model, scale=2)
    assert torch.equal(single[0], restored[1])


def test_a_mask_keeps_what_is_white_and_fidelity_the_input(node_class, model):
    image, mask = torch.rand(1, 12, 14, 3), torch.zeros(1, 12, 14)
    mask[:, :, 7:] = 1
    restored, changes, _ = run(node_class, image, model, protect=mask)
    assert torch.equal(restored[:, :, 7:], image[:, :, 7:]) and not torch.equal(restored, image)
    assert not changes[:, :, 7:].any()
    assert torch.equal(run(node_class, image, model, fidelity=1.0)[0], image)


def test_options_of_other_models_are_left_out_and_an_instruction_refused(node_class, model):
    image = torch.rand(1, 8, 8, 3)
    assert torch.equal(run(node_class, image, model, seed=5, steps=9)[0], run(node_class, image, model)[0])
    with pytest.raises(InputError):
        run(node_class, image, model, instruction="remove the rain")


def test_the_node_declares_what_it_takes(node_class):
    inputs = node_class.INPUT_TYPES()
    assert "default" in inputs["required"]["model"][0] and inputs["required"]["model"][0][-1] == "own"
    assert len(node_class.RETURN_TYPES) == len(node_class.RETURN_NAMES)


KINDS = {"INT": int, "FLOAT": (int, float), "STRING": str, "IMAGE": torch.Tensor, "MASK": torch.Tensor}
"""What ComfyUI hands on for each of its type names."""


def execute(node_class, **inputs):
    """A small ComfyUI: fills in defaults, checks each value against what the node declares, and calls it by name."""
    declared = node_class.INPUT_TYPES()
    assert declared.keys() <= {"required", "optional", "hidden"}
    values = {}
    for name, (kind, *more) in {**declared["required"], **declared.get("optional", {})}.items():
        settings = more[0] if more else {}
        if name not in inputs and "default" not in settings:
            assert name not in declared["required"], f"{name} is not connected"
            continue
        value = inputs.get(name, settings.get("default"))
        if isinstance(kind, list):  # a choice
            assert value in kind
        else:
            assert isinstance(value, KINDS[kind])
            assert settings.get("min", value) is value or settings["min"] <= value <= settings["max"]
        values[name] = value
    assert not inputs.keys() - values.keys()
    results = getattr(node_class(), node_class.FUNCTION)(**values)
    assert isinstance(results, tuple) and len(results) == len(node_class.RETURN_TYPES)
    for kind, result in zip(node_class.RETURN_TYPES, results, strict=True):
        assert isinstance(result, KINDS[kind])
        assert kind != "IMAGE" or (result.ndim == 4 and result.shape[-1] in (3, 4) and result.dtype == torch.float32)
    return dict(zip(node_class.RETURN_NAMES, results, strict=True))


def test_comfyui_restores_with_what_the_node_declares(node_class):
    noisy = (torch.full((1, 40, 48, 3), 0.5) + 0.1 * torch.randn(1, 40, 48, 3)).clamp(0, 1)
    results = execute(node_class, image=noisy, model="default-fast", protect=torch.zeros(1, 40, 48))
    assert results["image"].shape == noisy.shape and results["image"].std() < 0.5 * noisy.std()
    assert results["changes"].any() and "noise" in results["estimate"]
    with pytest.raises(AssertionError):
        execute(node_class, image=noisy, model="default-fast", scale=9)


def test_comfyui_shows_the_node_under_its_name(node_class):
    module = sys.modules["custom_nodes_ldrestore"]
    assert module.NODE_DISPLAY_NAME_MAPPINGS.keys() == module.NODE_CLASS_MAPPINGS.keys()
    assert node_class.CATEGORY == "image/restoration" and callable(getattr(node_class, node_class.FUNCTION))
