"""The files for accelerate's launcher, as accelerate reads them."""

from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file

from tests.tiny_xl import tiny_unet

FOLDER = Path(__file__).parents[2] / "configs/accelerate"


def read(name):
    return load_config_from_file(str(FOLDER / name))


@pytest.mark.parametrize(
    ("name", "kind", "num_processes"),
    [
        ("cpu.yaml", "NO", 1),
        ("one_device.yaml", "NO", 1),
        ("multi_gpu.yaml", "MULTI_GPU", 4),
        ("fsdp.yaml", "FSDP", 4),
        ("fsdp_xl.yaml", "FSDP", 4),
        ("deepspeed_zero2.yaml", "DEEPSPEED", 4),
    ],
)
def test_a_file_says_how_processes_share_the_work(name, kind, num_processes):
    config = read(name)
    assert config.distributed_type.value == kind and config.num_processes == num_processes


def test_deepspeed_shares_out_gradients_and_states_and_keeps_all_on_the_gpus():
    settings = read("deepspeed_zero2.yaml").deepspeed_config
    assert settings["zero_stage"] == 2 and settings["zero3_init_flag"] is False
    assert settings["offload_optimizer_device"] == settings["offload_param_device"] == "none"


def test_what_fsdp_shares_out_by_itself_is_in_sdxls_unet():
    units = read("fsdp_xl.yaml").fsdp_config["fsdp_transformer_layer_cls_to_wrap"].split(",")
    assert set(units) <= {type(module).__name__ for module in tiny_unet().modules()}
