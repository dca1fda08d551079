"""Random weights under the published names; the published file itself is not needed."""

import json

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file

from ldrestore.adapters.fusion_attachment import attach_fusion
from ldrestore.adapters.lq_encoder import LQEncoder
from ldrestore.adapters.residual_alignment import ResidualAlignment
from ldrestore.checkpoints.conversion import convert_faithdiff
from ldrestore.checkpoints.faithdiff_conversion import FaithDiffSizes
from ldrestore.conversion import convert
from ldrestore.errors import InputError, WeightsError
from ldrestore.weights.file_names import ORIGIN_FILE
from tests.adapters.test_faithdiff_layout import published
from tests.tiny_xl import tiny_unet, unet_inputs

PARTS = {"unet": UNet2DConditionModel, "lq_encoder": LQEncoder, "residual_alignment": ResidualAlignment}
SIZES = FaithDiffSizes(
    unet={key: value for key, value in tiny_unet().config.items() if not key.startswith("_")},
    block_out_channels=(8, 16),
    layers_per_block=1,
    norm_num_groups=4,
    num_heads=2,
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "FaithDiff.safetensors"
    save_file({key: value.half().contiguous() for key, value in published().items()}, path)
    return path


def test_its_parts_are_saved_load_and_work_together(file, tmp_path):
    folder = convert_faithdiff(file, tmp_path / "out", sizes=SIZES)
    parts = {name: kind.from_pretrained(folder / name) for name, kind in PARTS.items()}
    weights, known = published(), parts["unet"].state_dict()
    for key, value in tiny_unet().state_dict().items():
        assert torch.equal(known[key].float(), value.half().float())
    added = parts["residual_alignment"].state_dict()["proj_out.weight"]
    assert torch.equal(added.float(), weights["spatial_ch_projs.weight"].half().float())
    for part in parts.values():
        torch.nn.Module.to(part, torch.float32)
    attachment = attach_fusion(parts["unet"], parts["residual_alignment"])
    with torch.no_grad():
        features = parts["lq_encoder"](torch.rand(1, 3, 16, 16)).last
        attachment.set_prepared(parts["residual_alignment"].prepare(features))
        assert parts["unet"](**unet_inputs()).sample.isfinite().all()
    origin = json.loads((folder / ORIGIN_FILE).read_text(encoding="utf-8"))
    assert origin["architecture"] == "faithdiff" and origin["weights_licence"] == "MIT"


def test_files_of_other_sizes_or_kinds_are_refused_and_leave_no_folder(file, tmp_path):
    with pytest.raises(WeightsError, match="does not fit UNet2DConditionModel"):
        convert("faithdiff", file, tmp_path / "out")
    save_file({"a": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="no FaithDiff: it has no denoise_encoder"):
        convert("faithdiff", tmp_path / "other.safetensors", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="takes no instruction head"):
        convert("faithdiff", file, tmp_path / "out", head=file)
