"""Stage 1 of UniLDiff in several processes, as a script: `python tiny_fusion.py CONFIG FOLDER`.

It leaves the folder of a run, and beside it what every process holds in the end.
"""

import argparse
import os
from pathlib import Path

import torch

from ldrestore.training.networks.xl_restorer import XLRestorer
from ldrestore.training.tasks import fusion as trainer
from ldrestore.training.tasks.fusion_config import FusionTrainingConfig
from ldrestore.training.trainers import train_by_config

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
    options = parser.parse_args()
    torch.set_num_threads(1)
    trainer.create_restorer = create_kept_restorer
    assert train_by_config(options.config, overrides=[f"run.output_dir={options.folder / 'two'}"], resume=None)
    torch.save(networks[-1].state_dict(), options.folder / f"two_{os.environ['RANK']}.pt")
