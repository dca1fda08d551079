"""Stage 1 of UniLDiff in several processes, as a script: `python tiny_fusion.py CONFIG FOLDER [NAME] [--shard]`.

It leaves the folder of a run, and beside it what every process holds in the end, if each holds all; with `--shard`
FSDP2 shares the weights out as `configs/accelerate/fsdp_xl.yaml` says.
"""

import argparse
import os
from pathlib import Path

import torch
import yaml
from tiny_run import shard_on_cpu

from ldrestore.training.networks.xl_restorer import XLRestorer
from ldrestore.training.tasks import fusion as trainer
from ldrestore.training.tasks.fusion_config import FusionTrainingConfig
from ldrestore.training.trainers import train_by_config

FSDP = Path(__file__).parents[2] / "configs/accelerate/fsdp_xl.yaml"

create_restorer = trainer.create_restorer
networks: list[XLRestorer] = []


def create_kept_restorer(config: FusionTrainingConfig) -> XLRestorer:
    """As the trainer creates it, and kept."""
    networks.append(create_restorer(config))
    return networks[-1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("name", nargs="?", default="two")
    parser.add_argument("--shard", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.shard:
        units = yaml.safe_load(FSDP.read_text(encoding="utf-8"))["fsdp_config"]
        shard_on_cpu(
            FSDP_AUTO_WRAP_POLICY=units["fsdp_auto_wrap_policy"],
            FSDP_TRANSFORMER_CLS_TO_WRAP=units["fsdp_transformer_layer_cls_to_wrap"],
        )
    trainer.create_restorer = create_kept_restorer
    assert train_by_config(options.config, overrides=[f"run.output_dir={options.folder / options.name}"], resume=None)
    if not options.shard:
        torch.save(networks[-1].state_dict(), options.folder / f"{options.name}_{os.environ['RANK']}.pt")
