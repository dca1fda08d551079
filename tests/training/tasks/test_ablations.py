"""Every row of docs/ablations.md is built, trained on one batch and held against the config without it."""

import re
import shlex
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pytest
import torch
import yaml
from skimage import data, io
from torch.utils.data import default_collate

from ldrestore.config import load_config
from ldrestore.guides.embedding_cache import EmbeddingWriter, picture_key
from ldrestore.guides.guide_identity import GuideIdentity
from ldrestore.images.files import read_photo
from ldrestore.regressors.catalog import REGRESSORS
from ldrestore.regressors.factory import create_regressor
from ldrestore.training.config import StageConfig
from ldrestore.training.tasks.regressor import check_conditions, prepare_regressor
from ldrestore.training.tasks.regressor_config import RegressorTrainingConfig
from tests.tiny_encoder import write_tiny_encoder

ROOT = Path(__file__).parents[3]
STAGE = StageConfig(patch_size=32, batch_size=4, steps=1)
EPOCH = 1
"""One in which a picture comes without an instruction."""

SENTENCES = {"noise": {"gaussian_noise": ["remove the noise"]}, "rain": {"rain": ["remove the rain"]}}


@dataclass(frozen=True)
class Row:
    """One row of a table, and the configs that the table is for."""

    title: str
    configs: tuple[str, ...]
    overrides: tuple[str, ...]


def read_rows():
    """All rows of the documentation."""
    rows, configs, section = [], (), ""
    for line in (ROOT / "docs/ablations.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("Configs: "):
            configs = tuple(re.findall(r"`(configs/[^`]+)`", line))
        elif (found := re.fullmatch(r"\| (.+?) \| `(.+)` \|", line)) is not None:
            rows.append(Row(f"{section}: {found[1]}", configs, tuple(shlex.split(found[2]))))
    return rows


ROWS = read_rows()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures, a sentence encoder and sentences."""
    folder = tmp_path_factory.mktemp("ablations")
    (folder / "pictures").mkdir()
    for number, picture in enumerate((data.chelsea(), data.coffee(), data.astronaut(), data.immunohistochemistry())):
        io.imsave(folder / f"pictures/{number}.png", picture[100:180, 100:180])
    write_tiny_encoder(folder / "encoder")
    (folder / "sentences.yaml").write_text(yaml.safe_dump(SENTENCES))
    return folder


@lru_cache
def outline(name, options):
    """Names and shapes of a network's weights."""
    with torch.device("meta"):
        network = create_regressor(name, **yaml.safe_load(options))
    return network, [(key, tuple(weight.shape)) for key, weight in network.named_parameters()]


def built(path, overrides):
    """What tells a network of full size and its losses from others; it is not run."""
    config = load_config(RegressorTrainingConfig, ROOT / path, overrides)
    network, shapes = outline(config.network.name, yaml.safe_dump(dict(config.network.options)))
    check_conditions(config, network)
    return shapes, config.loss


@lru_cache
def trained(path, overrides, folder):
    """What tells a tiny network from others: shapes, the loss of a batch, and what it restores."""
    mixture = "[{recipe: gaussian_noise, weight: 1}, {recipe: rain, weight: 1}]"
    own = [*overrides, f"data={{folders: [{folder / 'pictures'}], mixture: {mixture}}}", "validation=null"]
    config = load_config(RegressorTrainingConfig, ROOT / path, own)
    if config.instructions is not None:
        own += [f"instructions.encoder={folder / 'encoder'}", f"instructions.sentences={folder / 'sentences.yaml'}"]
    if config.embeddings is not None:
        network, _ = outline(config.network.name, yaml.safe_dump(dict(config.network.options)))
        own.append(f"embeddings.cache={write_cache(folder, network.embedding_shape)}")
    config = load_config(RegressorTrainingConfig, ROOT / path, own)
    prepared = prepare_regressor(config)
    network, task = prepared.network, prepared.task
    dataset = task.dataset(STAGE)
    batch = default_collate([dataset[(EPOCH, index)] for index in range(4)])
    torch.manual_seed(0)
    loss, parts = task.loss(network.train(), batch)
    loss.backward()
    assert loss.isfinite() and all(part.isfinite() for part in parts.values())
    assert set(config.loss.auxiliary) <= parts.keys()
    weights = [parameter for parameter in network.parameters() if parameter.requires_grad]
    assert all(weight.grad.isfinite().all() for weight in weights if weight.grad is not None)
    if not REGRESSORS.get(config.network.name).routes_to_one:
        assert all(weight.grad is not None for weight in weights)  # several processes refuse what has none
    inputs = {key: batch[key] for key in ("embedding", "sentence") if key in batch}
    with torch.no_grad():
        restored = network.eval()(batch["lq"], **inputs)
    assert restored.isfinite().all()
    return [tuple(weight.shape) for weight in network.parameters()], loss.item(), restored.double().sum().item()


def write_cache(folder, shape):
    """A cache of embeddings of this shape, of all pictures."""
    path = folder / f"{'_'.join(map(str, shape))}.safetensors"
    identity = GuideIdentity(name="tiny", sha256=None, question=None, shape=tuple(shape))
    with EmbeddingWriter(path, identity) as writer:
        for number, file in enumerate(sorted((folder / "pictures").iterdir())):
            writer.add(
                picture_key(read_photo(file)), torch.randn(shape, generator=torch.Generator().manual_seed(number))
            )
    return path


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
def test_an_ablation_trains_and_changes_something(row, folder):
    has_changed = []
    for path in row.configs:
        kind = (lambda *call: trained(*call, folder)) if "-tiny" in path else built
        has_changed.append(kind(path, row.overrides) != kind(path, ()))
    assert any(has_changed)


def test_the_ablations_of_the_papers_are_all_there():
    words = {word for row in ROWS for word in row.overrides}
    assert len(ROWS) > 60 and all(row.configs and row.overrides for row in ROWS)
    assert words >= {
        *(f"network.options.expert={index}" for index in range(4)),
        *(f"network.options.num_experts={count}" for count in (1, 2, 4, 8, 16)),
        *(f"network.options.expert_domain={domain}" for domain in ("frequency_with_low", "spatial")),
        *("network.options.encoder_embedding=joint", "network.options.decoder_embedding=image"),
        *("network.options.guide=prompt_encoder", "loss.auxiliary.guidance_matching=null"),
        *("network.options.domain_source=none", "network.options.with_task_pool=false", "network.name=datprl_ir_text"),
        *("network.options.injector=spatial", "network.options.with_complexity=false"),
        *("network.options.routing_noise=released", "network.options.with_text=false"),
    }
    assert any("pool_sizes" in word for word in words) and any("top_k" in word for word in words)
