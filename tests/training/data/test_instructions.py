import json
from pathlib import Path

import pytest
import torch
import yaml
from skimage import data, io
from torch import nn

from ldrestore.datasets.synthetic import RecipeShare, SyntheticDataConfig, SyntheticDataset
from ldrestore.errors import ConfigError, WeightsError
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.factory import create_regressor
from ldrestore.regressors.instruction_head import CLASSES, InstructionHead
from ldrestore.training.data.guidance_config import InstructionConfig
from ldrestore.training.data.instructions import (
    NO_CLASS,
    InstructedDataset,
    InstructedRegressor,
    Instructions,
    class_loss,
)
from ldrestore.training.trainers import train_by_config
from tests.tiny_encoder import write_tiny_encoder

SENTENCES = {
    "noise": {"gaussian_noise": ["remove the noise", "remove noise ."]},
    "rain": {"rain": ["remove the rain"]},
    "outside": {"off_topic": ["it is it"]},
}
TINY = {"width": 4, "middle_blk_num": 1, "enc_blk_nums": [1], "dec_blk_nums": [1], "txtdim": 6}


@pytest.fixture
def encoder(tmp_path):
    return write_tiny_encoder(tmp_path / "encoder")


@pytest.fixture
def sentences(tmp_path):
    path = tmp_path / "sentences.yaml"
    path.write_text(yaml.safe_dump(SENTENCES))
    return path


@pytest.fixture
def instructions(encoder, sentences):
    return Instructions(InstructionConfig(encoder=str(encoder), sentences=sentences, untold_share=0.25))


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    io.imsave(folder / "cat.png", data.chelsea()[:96, :128])
    return folder


def instructed(pictures, instructions, recipe):
    config = SyntheticDataConfig(folders=(pictures,), mixture=(RecipeShare(recipe=recipe, weight=1.0),))
    return InstructedDataset(SyntheticDataset(config, patch_size=16, seed=0), instructions, seed=0)


def test_a_sentence_is_about_what_the_picture_suffers_from(pictures, instructions):
    dataset = instructed(pictures, instructions, "gaussian_noise")
    items = [dataset[(epoch, 0)] for epoch in range(60)]
    labelled = [item for item in items if item["class_index"] != NO_CLASS]
    assert 0.5 < len(labelled) / len(items) < 0.95
    assert {item["class_index"] for item in labelled} == {CLASSES.index("noise")}
    rows = instructions.topics["gaussian_noise"]
    assert len({tuple(item["sentence"].tolist()) for item in labelled}) == 2
    assert all(any(torch.equal(item["sentence"], instructions.vectors[row]) for row in rows) for item in labelled)
    untold = next(item for item in items if item["class_index"] == NO_CLASS)
    assert torch.equal(untold["sentence"], instructions.neutral)


def test_a_mixture_is_told_of_by_one_of_its_degradations(pictures, instructions):
    dataset = instructed(pictures, instructions, "rain+gaussian_noise+jpeg")
    classes = {dataset[(epoch, 0)]["class_index"] for epoch in range(40)}
    assert classes == {CLASSES.index("noise"), CLASSES.index("rain"), NO_CLASS}


def test_nothing_is_said_of_what_no_sentence_fits(pictures, instructions):
    dataset = instructed(pictures, instructions, "haze")
    assert {dataset[(epoch, 0)]["class_index"] for epoch in range(10)} == {NO_CLASS}


def test_pictures_are_the_same_with_and_without_sentences(pictures, instructions):
    dataset = instructed(pictures, instructions, "rain")
    assert torch.equal(dataset[(3, 0)]["lq"], dataset.dataset[(3, 0)]["lq"])
    assert torch.equal(dataset[(3, 0)]["sentence"], dataset[(3, 0)]["sentence"])


def test_the_head_tells_the_network_what_the_sentences_say(instructions):
    torch.manual_seed(0)
    network = create_regressor("instructir", **TINY)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    head = instructions.create_head(txtdim=6)
    model = InstructedRegressor(network, head)
    lq, sentence = torch.rand(2, 3, 16, 16), instructions.vectors[:2]
    embedding, expected_logits = head(sentence)
    restored, logits = model(lq, sentence=sentence)
    torch.testing.assert_close(restored, network(lq, embedding=embedding))
    assert torch.equal(logits, expected_logits)
    assert torch.equal(model.eval()(lq, sentence=sentence), restored)


def test_validation_hears_of_the_first_degradation_that_has_a_sentence(instructions):
    row = instructions.topics["rain"][0]
    assert torch.equal(instructions.sentence_of("haze+rain"), instructions.vectors[row])
    assert torch.equal(instructions.sentence_of("haze"), instructions.neutral)
    assert torch.equal(instructions.sentence_of("clean"), instructions.neutral)


def test_the_class_loss_is_the_mean_over_told_pictures():
    logits = torch.randn(3, 7)
    expected = nn.functional.cross_entropy(logits[:2], torch.tensor([1, 4]))
    torch.testing.assert_close(class_loss(logits, torch.tensor([1, 4, NO_CLASS])), expected)
    assert class_loss(logits, torch.full((3,), NO_CLASS)) == 0


def test_network_and_head_are_trained_exported_and_resumed(tmp_path, encoder, sentences, pictures):
    values = {
        "run": {"output_dir": str(tmp_path / "run"), "device": "cpu", "num_workers": 0, "log_every": 2},
        "network": {"name": "instructir", "options": TINY},
        "instructions": {"encoder": str(encoder), "sentences": str(sentences), "class_weight": 2.0},
        "data": {"folders": [str(pictures)], "mixture": [{"recipe": "gaussian_noise", "weight": 1}]},
        "stages": [{"patch_size": 16, "batch_size": 4, "steps": 4}],
        "validation": {"folder": str(pictures), "recipes": ["rain", "clean"], "num_pictures": 1, "crop_size": 32},
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(values))
    assert train_by_config(path, overrides=[], resume=None)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert lines[0]["instruction"] > 0 and "validation/gain/rain" in lines[-1]
    torch.manual_seed(0)
    create_regressor("instructir", **TINY)
    untrained = Instructions(InstructionConfig(encoder=str(encoder), sentences=sentences)).create_head(txtdim=6)
    pipeline = FastRestorePipeline.from_pretrained(tmp_path / "run/export")
    assert pipeline.instruction_head.config["encoder_sha256"] == untrained.config["encoder_sha256"]
    assert not torch.equal(pipeline.instruction_head.fc2.bias, untrained.fc2.bias)
    head = pipeline.instruction_head
    neutral = Instructions(InstructionConfig(encoder=str(encoder), sentences=sentences)).neutral
    torch.testing.assert_close(head.neutral, head(neutral[None])[0][0])
    assert train_by_config(path, overrides=[], resume="auto")


def test_a_head_of_another_encoder_or_width_is_refused(tmp_path, encoder, sentences):
    InstructionHead(encoder_name="other", encoder_dim=8, txtdim=6).save_pretrained(tmp_path / "other")
    config = InstructionConfig(encoder=str(encoder), sentences=sentences, head=tmp_path / "other")
    with pytest.raises(WeightsError, match="this head reads vectors of"):
        Instructions(config).create_head(txtdim=6)
    identity = Instructions(config).encoder.identity
    InstructionHead(identity.name, identity.sha256, encoder_dim=8, txtdim=5).save_pretrained(tmp_path / "narrow")
    config = InstructionConfig(encoder=str(encoder), sentences=sentences, head=tmp_path / "narrow")
    with pytest.raises(ConfigError, match="the head gives 5 values, the network takes 6"):
        Instructions(config).create_head(txtdim=6)


def test_values_out_of_range_are_refused(tmp_path, encoder):
    with pytest.raises(ConfigError, match="untold_share in"):
        InstructionConfig(untold_share=1.5)
    (tmp_path / "none.yaml").write_text(yaml.safe_dump({"outside": {"off_topic": ["it is"]}}))
    with pytest.raises(ConfigError, match="has no sentence about a degradation"):
        Instructions(InstructionConfig(encoder=str(encoder), sentences=tmp_path / "none.yaml"))


@pytest.mark.parametrize(("share", "is_told"), [(0.0, True), (1.0, False)])
def test_the_share_of_untold_pictures_may_be_none_or_all(
    pictures: Path, encoder: Path, sentences: Path, share: float, is_told: bool
) -> None:
    instructions = Instructions(InstructionConfig(encoder=str(encoder), sentences=sentences, untold_share=share))
    dataset = instructed(pictures, instructions, "rain")
    assert {dataset[(epoch, 0)]["class_index"] != NO_CLASS for epoch in range(12)} == {is_told}


def test_pairs_of_files_that_name_nothing_are_validated_under_the_neutral_instruction(
    tmp_path: Path, encoder: Path, sentences: Path, pictures: Path
) -> None:
    """Nobody knows what was done to them; a recipe of no such name ended the run at its first validation."""
    folders = {"lq_folder": str(pictures), "gt_folder": str(pictures)}
    values = {
        "run": {"output_dir": str(tmp_path / "run"), "device": "cpu", "num_workers": 0},
        "network": {"name": "instructir", "options": TINY},
        "instructions": {"encoder": str(encoder), "sentences": str(sentences)},
        "data": {"folders": [str(pictures)], "mixture": [{"recipe": "gaussian_noise", "weight": 1}]},
        "stages": [{"patch_size": 16, "batch_size": 1, "steps": 1}],
        "validation": {"pairs": folders, "crop_size": 32},
    }
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(values))
    assert train_by_config(path, overrides=[], resume=None)
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert last["validation/gain/pairs"] <= 0  # they are clean already


def test_pairs_that_say_what_they_suffer_from_are_told_of_it(instructions: Instructions) -> None:
    assert torch.equal(instructions.sentence_of("pairs"), instructions.neutral)
    row = instructions.topics["gaussian_noise"][0]
    assert torch.equal(instructions.sentence_of("gaussian_noise+jpeg"), instructions.vectors[row])


def test_the_encoder_is_frozen_and_the_head_reads_what_it_says(instructions: Instructions) -> None:
    assert not any(vector.requires_grad for vector in (instructions.vectors, instructions.neutral))
    model = InstructedRegressor(create_regressor("instructir", **TINY), instructions.create_head(txtdim=6))
    restored, logits = model(torch.rand(2, 3, 16, 16), sentence=instructions.vectors[:2])
    class_loss(logits, torch.tensor([1, 2])).backward(retain_graph=True)
    reached = {name.partition(".")[0] for name, weight in model.named_parameters() if weight.grad is not None}
    assert reached == {"head"}  # what is asked for is read from the sentence alone
    restored.square().mean().backward()
    assert all(weight.grad is not None for name, weight in model.named_parameters() if name.startswith("regressor."))


def test_class_losses_of_half_precision_are_float32_and_give_untold_pictures_no_gradient() -> None:
    logits = torch.randn(2, 7, dtype=torch.bfloat16, requires_grad=True)
    loss = class_loss(logits, torch.tensor([3, NO_CLASS]))
    loss.backward()
    assert loss.dtype == torch.float32
    assert logits.grad[0].abs().sum() > 0 and logits.grad[1].abs().sum() == 0


def test_a_picture_has_another_sentence_in_another_epoch_or_run(pictures: Path, instructions: Instructions) -> None:
    drawn = [
        [
            tuple(
                InstructedDataset(
                    instructed(pictures, instructions, "gaussian_noise").dataset, instructions, seed=seed
                )[(epoch, 0)]["sentence"].tolist()
            )
            for epoch in range(12)
        ]
        for seed in (0, 1)
    ]
    assert len(set(drawn[0])) == 3 and drawn[0] != drawn[1]  # two sentences, and the neutral one
