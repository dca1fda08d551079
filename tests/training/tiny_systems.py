"""Two steps of the tiny config of each system, also as a script: `python tiny_systems.py FOLDER [key=value ...]`."""

import argparse
from pathlib import Path

import torch
import yaml
from accelerate.state import AcceleratorState, GradientState
from skimage import data, io

from ldrestore.training.trainers import train_by_config
from tests.tiny_encoder import write_tiny_encoder

CONFIGS = Path(__file__).parents[2] / "configs"
SYSTEMS = ("nafnet", "restormer", "promptir", "instructir", "moce_ir", "datprl_ir", "mmfe_ir")
SENTENCES = {"noise": {"gaussian_noise": ["remove the noise"]}}


def write_inputs(folder: Path) -> None:
    """Pictures, a sentence encoder and sentences."""
    (folder / "pictures").mkdir()
    io.imsave(folder / "pictures/cat.png", data.chelsea()[100:180, 100:180])
    io.imsave(folder / "pictures/coffee.png", data.coffee()[100:180, 100:180])
    write_tiny_encoder(folder / "encoder")
    (folder / "sentences.yaml").write_text(yaml.safe_dump(SENTENCES))


def train_tiny(system: str, folder: Path, *, output_dir: Path, overrides: list[str], resume: str | None = None) -> bool:
    """Train as the system's tiny config says, for a few steps on small pictures."""
    own = [
        *(f"run.output_dir={output_dir}", "run.device=cpu", "run.num_workers=0", "validation=null"),
        f"data={{folders: [{folder / 'pictures'}], mixture: [{{recipe: gaussian_noise, weight: 1}}]}}",
        "stages=[{patch_size: 16, batch_size: 2, steps: 4}]",
        *("optimizer.warmup_steps=0", "run.log_every=1", "run.checkpoint_every=2"),
    ]
    if system == "instructir":
        own += [f"instructions.encoder={folder / 'encoder'}", f"instructions.sentences={folder / 'sentences.yaml'}"]
    return train_by_config(CONFIGS / f"{system}-tiny.yaml", overrides=[*own, *overrides], resume=resume)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.distributed.destroy_process_group = lambda *_: None  # all runs share one; it cannot be made twice
    for name in SYSTEMS:
        assert train_tiny(name, options.folder, output_dir=options.folder / "two" / name, overrides=options.overrides)
        AcceleratorState._reset_state()
        GradientState._reset_state()
