"""Instructions and guides' embeddings through the fast pipeline."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ldrestore.errors import (
    InputError,
    MissingExtraError,
    ShapeError,
    WeightsError,
    WeightsUnavailableError,
)
from ldrestore.guides.sentence_encoder import PACKAGED_ENCODER, SentenceEncoder
from ldrestore.images.padding import pad_to_multiple
from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline
from ldrestore.regressors.instruction_head import InstructionHead
from tests.tiny_encoder import write_tiny_encoder
from tests.tiny_instructed import ENCODER, fill_cache, tiny_head, tiny_instructed, tiny_network


@pytest.fixture
def encoder_folder(tmp_path, monkeypatch):
    """Folder of the encoder, which the cache of the Hub holds."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return fill_cache(tmp_path / "cache")


@pytest.fixture
def instructed(encoder_folder):
    return tiny_instructed(encoder_folder)


@pytest.fixture
def steerable():
    """An InstructIR without a head, which takes embeddings all the same."""
    pipeline = FastRestorePipeline(tiny_network())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def pixels(pipeline, lq, **options):
    return pipeline(lq, output_type="photo", **options).images[0].pixels


def test_an_instruction_changes_the_result_and_the_same_one_gives_the_same_bytes(instructed, picture):
    lq = picture(20, 18, 3)
    noise, again, rain = (pixels(instructed, lq, instruction=text) for text in ("noise", "noise", "remove the rain !"))
    assert np.array_equal(noise, again)
    assert not np.array_equal(noise, rain)
    assert not np.array_equal(noise, pixels(instructed, lq))


def test_an_instruction_is_its_embedding(instructed, picture):
    lq = picture(33, 17, 3, dtype=np.float32)
    embedding = instructed.understand("remove the rain").embedding
    assert embedding.shape == (1, 6)
    padded = pad_to_multiple(torch.from_numpy(lq).permute(2, 0, 1)[None], instructed.regressor.size_multiple)
    with torch.no_grad():
        expected = instructed.regressor(padded, embedding)[0, :, :33, :17].permute(1, 2, 0).clamp(0, 1)
    restored = pixels(instructed, lq, instruction="remove the rain")
    assert np.abs(restored - expected.numpy()).max() < 1e-6
    assert np.array_equal(restored, pixels(instructed, lq, embedding=embedding))


def test_no_instruction_is_the_neutral_one_and_needs_no_encoder(instructed, encoder_folder, picture):
    lq = picture(9, 9, 3)
    outcome = pixels(instructed, lq, instruction="please restore")
    shutil.rmtree(encoder_folder)
    fresh = FastRestorePipeline(instructed.regressor, instructed.instruction_head)
    assert np.array_equal(pixels(fresh, lq), outcome)
    fresh.instruction_head.neutral = None
    assert np.array_equal(pixels(fresh, lq), pixels(fresh, lq, embedding=torch.zeros(6)))


def test_records_keep_what_was_said_and_understood(instructed, picture):
    lq = picture(8, 8, 3)
    outcome = instructed(lq, instruction="remove the noise").records[0]
    understood = instructed.understand("remove the noise")
    assert outcome["options"]["instruction"] == "remove the noise"
    assert outcome["options"]["embedding_sha256"] is None
    assert outcome["understood"]["class"] == understood.asked_for
    assert 0.5 <= outcome["understood"]["probability"] <= 1
    assert len(outcome["model"]["head_sha256"]) == 64
    assert json.loads(json.dumps(outcome)) == outcome == instructed(lq, instruction="remove the noise").records[0]
    quiet, shown = instructed(lq).records[0], instructed(lq, embedding=np.ones(6)).records[0]
    assert (quiet["options"]["instruction"], quiet["options"]["embedding_sha256"], quiet["understood"]) == (None,) * 3
    assert len(shown["options"]["embedding_sha256"]) == 64
    again = instructed(lq, embedding=torch.ones(1, 6, dtype=torch.float16)).records[0]
    assert again["options"]["embedding_sha256"] == shown["options"]["embedding_sha256"]


def test_embeddings_come_for_all_for_each_or_from_a_function(steerable, picture):
    pictures = [picture(9, 7, 3), picture(8, 8, 3, seed=1)]
    first, second = torch.randn(6), torch.randn(6)
    alone = [pixels(steerable, lq, embedding=one) for lq, one in zip(pictures, (first, second), strict=True)]

    def look_up(photo):
        return first if photo.height == 9 else second.numpy()[None]

    for given in ([first, second], (first[None], second), look_up):
        together = steerable(pictures, embedding=given, output_type="photo").images
        assert all(np.array_equal(photo.pixels, one) for photo, one in zip(together, alone, strict=True))
    shared = steerable(pictures, embedding=first, output_type="photo").images
    assert np.array_equal(shared[0].pixels, alone[0]) and not np.array_equal(shared[1].pixels, alone[1])
    mixed = steerable(pictures, embedding=[None, second], output_type="photo").images
    assert np.array_equal(mixed[0].pixels, pixels(steerable, pictures[0]))
    assert np.array_equal(mixed[1].pixels, alone[1])


@pytest.mark.parametrize("options", [{"self_ensemble": True}, {"tile": 64}, {"scale": 2}])
def test_an_embedding_reaches_every_pass(steerable, picture, options):
    embeddings = []
    steerable.regressor.register_forward_pre_hook(
        lambda _module, _args, kwargs: embeddings.append(kwargs["embedding"]), with_kwargs=True
    )
    embedding = torch.randn(6)
    steerable(picture(70, 66, 3), embedding=embedding, **options)
    assert (
        len(embeddings) == {"self_ensemble": 8, "tile": 1 + 4, "scale": 1}[next(iter(options))]
    )  # a look before tiles
    assert all(torch.equal(one, embedding[None]) for one in embeddings)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_follows_the_same_instruction(instructed, picture, tmp_path, dtype):
    lq = picture(16, 16, 3)
    expected = pixels(instructed, lq, instruction="remove the rain").astype(int)
    instructed.save_pretrained(tmp_path / "model")
    half = FastRestorePipeline.from_pretrained(tmp_path / "model", dtype=dtype)
    output = half(lq, instruction="remove the rain", output_type="photo")
    assert np.abs(output.images[0].pixels - expected).mean() <= (4 if dtype == torch.bfloat16 else 1)
    assert output.records[0]["runtime"]["dtype"] == str(dtype).removeprefix("torch.")


def test_an_overflow_is_computed_again_with_the_same_embedding(steerable, picture, caplog):
    block = steerable.regressor.middle_blks[0]
    with torch.no_grad():  # the gate's product is beyond 65504, the next layer brings it back
        block.conv4.bias.fill_(400)
        block.conv5.weight.mul_(1e-4)
    lq, embedding = picture(8, 8, 3), torch.randn(6)
    expected = pixels(steerable, lq, embedding=embedding).astype(int)
    steerable.to(torch.float16)
    assert np.abs(pixels(steerable, lq, embedding=embedding) - expected).max() <= 3
    assert "float32" in caplog.text


@pytest.mark.parametrize("has_neutral", [True, False])
def test_a_saved_pipeline_follows_instructions_to_the_bit(encoder_folder, picture, tmp_path, has_neutral):
    pipeline = tiny_instructed(encoder_folder, has_neutral=has_neutral)
    pipeline.save_pretrained(tmp_path / "model")
    index = json.loads((tmp_path / "model/model_index.json").read_text(encoding="utf-8"))
    assert index["instruction_head"] == ["ldrestore.regressors.instruction_head", "InstructionHead"]
    loaded = FastRestorePipeline.from_pretrained(tmp_path / "model")
    assert not loaded.instruction_head.training
    lq = picture(33, 17, 3, dtype=np.float32)
    for text in (None, "remove the rain"):
        assert np.array_equal(pixels(loaded, lq, instruction=text), pixels(pipeline, lq, instruction=text))
    loaded.save_pretrained(tmp_path / "again")
    texts = [path.read_text(encoding="utf-8") for path in (tmp_path / "again").rglob("*.json")]
    assert str(tmp_path) not in "".join(texts)


def test_a_pipeline_without_a_head_loads_whether_its_index_names_heads_or_not(steerable, picture, tmp_path):
    steerable.save_pretrained(tmp_path / "model")
    path = tmp_path / "model/model_index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    assert index.pop("instruction_head") == [None, None]
    lq = picture(9, 9, 3)
    for content in ({**index, "instruction_head": [None, None]}, index):
        path.write_text(json.dumps(content), encoding="utf-8")
        loaded = FastRestorePipeline.from_pretrained(tmp_path / "model")
        assert loaded.instruction_head is None
        assert np.array_equal(pixels(loaded, lq), pixels(steerable, lq))
    loaded.save_pretrained(tmp_path / "again")
    assert FastRestorePipeline.from_pretrained(tmp_path / "again").instruction_head is None


def spoil_config(head):
    config = json.loads((head / "config.json").read_text(encoding="utf-8"))
    (head / "config.json").write_text(json.dumps({**config, "txtdmi": 3}), encoding="utf-8")


def widen(head):
    wide = InstructionHead(ENCODER, None, 8, 7)
    shutil.rmtree(head)
    wide.save_pretrained(head)


def drop_neutral(head):
    file = head / "diffusion_pytorch_model.safetensors"
    weights = {key: value for key, value in load_file(file).items() if key != "neutral"}
    save_file(weights, file, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (shutil.rmtree, WeightsError, "config.json cannot be read as JSON"),
        (lambda head: (head / "config.json").write_text("{"), WeightsError, "config.json cannot be read as JSON"),
        (spoil_config, WeightsError, "InstructionHead takes no txtdmi"),
        (
            lambda head: (head / "diffusion_pytorch_model.safetensors").write_bytes(b"xx"),
            WeightsError,
            "no intact safetensors",
        ),
        (
            lambda head: (head / "diffusion_pytorch_model.safetensors").unlink(),
            WeightsUnavailableError,
            "no safetensors weights",
        ),
        (drop_neutral, WeightsError, "missing neutral"),
        (widen, WeightsError, r"gives embeddings of shape \(7,\), InstructIR takes \(6,\)"),
    ],
)
def test_a_damaged_head_is_refused(instructed, tmp_path, damage, error, message):
    instructed.save_pretrained(tmp_path / "model")
    damage(tmp_path / "model/instruction_head")
    with pytest.raises(error, match=message):
        FastRestorePipeline.from_pretrained(tmp_path / "model")


def test_a_head_of_another_class_is_refused(instructed, tmp_path):
    instructed.save_pretrained(tmp_path / "model")
    path = tmp_path / "model/model_index.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"InstructionHead"', '"OtherHead"'), encoding="utf-8")
    with pytest.raises(WeightsError, match="instruction_head:OtherHead, unknown to this version"):
        FastRestorePipeline.from_pretrained(tmp_path / "model")


def test_a_head_and_a_network_that_do_not_fit_are_not_put_together(pipeline, encoder_folder):
    head = tiny_head(SentenceEncoder.from_pretrained(encoder_folder))
    with pytest.raises(WeightsError, match="NAFNet takes no embeddings, so that it can have no instruction head"):
        FastRestorePipeline(pipeline.regressor, head)
    with pytest.raises(WeightsError, match="InstructIR takes no embeddings"):
        FastRestorePipeline(tiny_network(with_text=False), head)


def test_models_that_take_no_instruction_say_what_to_do(pipeline, steerable, picture):
    lq = picture(8, 8, 3)
    with pytest.raises(InputError, match="this model, NAFNet, takes no instructions; leave the instruction out"):
        pipeline(lq, instruction="remove the noise")
    with pytest.raises(InputError, match=r"saved without an instruction head.*--head HEAD"):
        steerable(lq, instruction="remove the noise")
    with pytest.raises(InputError, match="takes no embedding"):
        pipeline(lq, embedding=torch.zeros(6))
    without_text = FastRestorePipeline(tiny_network(with_text=False))
    with pytest.raises(InputError, match="takes no embedding"):
        without_text(lq, embedding=torch.zeros(6))
    with pytest.raises(InputError, match="takes no instructions"):
        without_text.set_sentence_encoder(None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no words"),
        ("убери шум", "is not in English"),
        ("rain " * 300, "has 1500 characters"),
        (7, "has no words"),
    ],
)
def test_what_is_no_instruction_is_refused_before_the_encoder_is_loaded(
    instructed, encoder_folder, picture, text, message
):
    shutil.rmtree(encoder_folder)
    with pytest.raises(InputError, match=message):
        instructed(picture(8, 8, 3), instruction=text)


def test_an_unclear_instruction_is_refused(instructed, picture):
    with torch.no_grad():
        instructed.instruction_head.fc2.weight.zero_()
        instructed.instruction_head.fc2.bias.zero_()
    with pytest.raises(InputError, match="cannot tell what 'it is' asks for"):
        instructed(picture(8, 8, 3), instruction="it is")


def test_an_encoder_that_cannot_be_had_is_named(instructed, encoder_folder, picture, monkeypatch):
    shutil.rmtree(encoder_folder.parent.parent)
    with pytest.raises(WeightsUnavailableError, match=f"read by the sentence encoder {ENCODER}: no folder"):
        instructed(picture(8, 8, 3), instruction="remove the rain")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    instructed.instruction_head.register_to_config(encoder_name=PACKAGED_ENCODER)
    with pytest.raises(MissingExtraError, match=r"ldrestore\[instructions\]"):
        instructed(picture(8, 8, 3), instruction="remove the rain")


def test_another_encoder_is_refused_and_the_own_one_may_lie_anywhere(instructed, encoder_folder, picture, tmp_path):
    copy = SentenceEncoder.from_pretrained(write_tiny_encoder(tmp_path / "copy"))
    other = SentenceEncoder.from_pretrained(write_tiny_encoder(tmp_path / "other", seed=1))
    lq = picture(8, 8, 3)
    expected = pixels(instructed, lq, instruction="remove the rain")
    shutil.rmtree(encoder_folder.parent.parent)
    fill_cache(tmp_path / "cache", seed=1)
    fresh = FastRestorePipeline(instructed.regressor, instructed.instruction_head)
    with pytest.raises(WeightsError, match="this head reads vectors of someone/tiny-encoder"):
        fresh(lq, instruction="remove the rain")
    with pytest.raises(WeightsError, match="this head reads vectors of someone/tiny-encoder"):
        fresh.set_sentence_encoder(other)
    fresh.set_sentence_encoder(copy)
    assert np.array_equal(pixels(fresh, lq, instruction="remove the rain"), expected)


@pytest.mark.parametrize(
    ("embedding", "error", "message"),
    [
        (torch.zeros(7), ShapeError, r"expected an embedding of shape \(6,\) for each picture, got \(7,\)"),
        (torch.zeros(2, 6), ShapeError, "give those of several pictures as a list"),
        (torch.full((6,), torch.nan), InputError, "infinite or undefined"),
        ([torch.zeros(6)] * 2, InputError, "one embedding for each of the 1 pictures, got 2"),
        ("cache.safetensors", InputError, "must be a tensor or an array"),
        (np.array(["words"] * 6), InputError, "must hold floating-point numbers, got an array of <U5"),
        (torch.zeros(6, dtype=torch.int64), InputError, r"must hold floating-point numbers, got torch\.int64"),
        (lambda photo: "nothing", InputError, "must be a tensor or an array"),
    ],
)
def test_wrong_embeddings_are_refused(steerable, picture, embedding, error, message):
    with pytest.raises(error, match=message):
        steerable(picture(8, 8, 3), embedding=embedding)


def test_an_instruction_and_an_embedding_are_one_too_many(instructed, picture):
    with pytest.raises(InputError, match="give an instruction or an embedding"):
        instructed(picture(8, 8, 3), instruction="remove the rain", embedding=torch.zeros(6))
