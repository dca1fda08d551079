"""Embeddings of a guide in training."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from skimage import data, io

from ldrestore.config import build
from ldrestore.datasets.paired import PairedDataConfig, PairedDataset
from ldrestore.errors import EmbeddingCacheError, OtherGuideError
from ldrestore.guides.embedding_cache import EmbeddingWriter, picture_key
from ldrestore.guides.guide_identity import GuideIdentity
from ldrestore.images.files import read_photo
from ldrestore.regressors.factory import create_regressor
from ldrestore.training.data.embeddings import EmbeddedDataset, EmbeddingSource
from ldrestore.training.data.guidance_config import EmbeddingsConfig
from ldrestore.training.tasks.regressor import RegressorTask
from ldrestore.training.tasks.regressor_config import RegressorTrainingConfig
from ldrestore.training.trainers import train_by_config

WIDTH = 5


@pytest.fixture
def pairs(tmp_path):
    """Two pairs of pictures."""
    for folder, brightness in (("lq", 40), ("gt", 0)):
        (tmp_path / folder).mkdir()
        for name, picture in (("cat", data.chelsea()), ("coffee", data.coffee())):
            io.imsave(tmp_path / folder / f"{name}.png", np.minimum(picture[:64, :96], 200) + brightness)
    return PairedDataConfig(lq_folder=tmp_path / "lq", gt_folder=tmp_path / "gt")


@pytest.fixture
def cache(pairs, tmp_path):
    """Embeddings of the degraded pictures: cat is 0 everywhere, coffee 1."""
    path = tmp_path / "guide.safetensors"
    identity = GuideIdentity(name="tiny", sha256=None, question="What is wrong?", shape=(3, WIDTH))
    with EmbeddingWriter(path, identity) as writer:
        for value, file in enumerate(sorted(pairs.lq_folder.iterdir())):
            writer.add(picture_key(read_photo(file)), torch.full((3, WIDTH), float(value)))
    return path


def test_a_crop_has_the_embedding_of_its_file(pairs, cache):
    source = EmbeddingSource(EmbeddingsConfig(cache=cache), shape=(3, WIDTH))
    dataset = EmbeddedDataset(PairedDataset(pairs, patch_size=16, seed=0), source)
    assert len(dataset) == 2
    for epoch in range(2):
        values = [dataset[(epoch, index)]["embedding"] for index in range(2)]
        assert torch.equal(torch.stack(values), torch.tensor([0.0, 1.0])[:, None, None].expand(2, 3, WIDTH))
    assert torch.equal(dataset[(1, 0)]["lq"], dataset.dataset[(1, 0)]["lq"])


def test_another_shape_and_unknown_pictures_are_refused(pairs, cache):
    with pytest.raises(OtherGuideError, match=r"\(3, 5\)"):
        EmbeddingSource(EmbeddingsConfig(cache=cache), shape=(3, WIDTH + 1))
    source = EmbeddingSource(EmbeddingsConfig(cache=cache), shape=(3, WIDTH))
    with pytest.raises(EmbeddingCacheError, match=r"gt/cat\.png: .*ldrestore guide"):
        source.of_file(pairs.gt_folder / "cat.png")


def test_a_guided_network_is_trained_and_validated_from_the_cache(pairs, cache, tmp_path):
    options = {"dim": 4, "num_blocks": [1] * 4, "num_refinement_blocks": 1, "heads": [1, 1, 2, 4], "num_experts": 2}
    folders = {"lq_folder": str(pairs.lq_folder), "gt_folder": str(pairs.gt_folder)}
    values = {
        "run": {"output_dir": str(tmp_path / "run"), "device": "cpu", "num_workers": 0},
        "network": {"name": "mmfe_ir", "options": {**options, "embedding_width": WIDTH}},
        "embeddings": {"cache": str(cache)},
        "loss": {"auxiliary": {"guidance_matching": 0.1}},
        "data": folders,
        "stages": [{"patch_size": 16, "batch_size": 2, "steps": 2}],
        "validation": {"pairs": folders, "crop_size": 32},
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(values))
    assert train_by_config(path, overrides=[], resume=None)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert "validation/gain/pairs" in lines[-1]
    assert any("guidance_matching" in line for line in lines)


def test_text_in_place_of_the_domain_pool_is_heard_in_validation_too(pairs, tmp_path):
    config = build(
        RegressorTrainingConfig,
        {
            "run": {"output_dir": str(tmp_path / "run")},
            "network": {"name": "datprl_ir", "options": {"domain_source": "text", "prompt_dim": 8}},
            "data": {"lq_folder": str(pairs.lq_folder), "gt_folder": str(pairs.gt_folder)},
            "stages": [{"patch_size": 16, "batch_size": 2, "steps": 2}],
            "validation": {"pairs": {"lq_folder": str(pairs.lq_folder), "gt_folder": str(pairs.gt_folder)}},
            "embeddings": {"cache": "unread"},
        },
    )
    options = {"dim": 4, "num_blocks": [1] * 4, "dec_blk_nums": [1] * 3, "heads": [1, 1, 2, 4]}
    network = create_regressor("datprl_ir", **options, **config.network.options)
    heard = []
    network.register_forward_pre_hook(lambda _, args, inputs: heard.append(inputs["embedding"].shape), with_kwargs=True)
    source = SimpleNamespace(of_file=lambda path: torch.ones(8))
    with torch.no_grad():
        RegressorTask(config, embeddings=source).validate(network)
    assert heard == [(1, 8)] * 2


def test_a_file_is_read_for_its_embedding_once(
    pairs: PairedDataConfig, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, path = EmbeddingSource(EmbeddingsConfig(cache=cache), shape=(3, WIDTH)), pairs.lq_folder / "cat.png"
    first = source.of_file(path)
    monkeypatch.setattr("ldrestore.training.data.embeddings.read_photo", None)
    assert torch.equal(source.of_file(path), first) and first.dtype == torch.float32


def test_a_cache_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingCacheError, match=r"nothing\.safetensors"):
        EmbeddingSource(EmbeddingsConfig(cache=tmp_path / "nothing.safetensors"), shape=(3, WIDTH))


def test_files_of_embedded_items_are_those_of_the_data_set(pairs: PairedDataConfig, cache: Path) -> None:
    source = EmbeddingSource(EmbeddingsConfig(cache=cache), shape=(3, WIDTH))
    dataset = EmbeddedDataset(PairedDataset(pairs, patch_size=16, seed=0), source)
    assert [dataset.source_path(index).name for index in range(2)] == ["cat.png", "coffee.png"]
    assert dataset[1].keys() - dataset.dataset[1].keys() == {"embedding"}
