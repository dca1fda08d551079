import json
import sys

import pytest
import torch

pytest.importorskip("torchvision", reason="transformers shows pictures to Qwen2.5-VL with it")
from ldrestore.errors import OtherGuideError
from ldrestore.guides.clip_text import ClipTextEncoder
from ldrestore.guides.embedding_cache import load_embedding_cache, picture_key
from ldrestore.guides.multimodal_guide import load_multimodal_guide
from ldrestore.images.files import read_photo
from ldrestore.jobs.plan import plan_pictures
from tests.tiny_guide import write_tiny_guide

CPU = ("--device", "cpu")


@pytest.fixture(scope="module")
def tiny_guide(tmp_path_factory):
    return write_tiny_guide(tmp_path_factory.mktemp("models") / "tiny-guide")


def statuses(result):
    return {entry["input"].rpartition("/")[2]: entry["status"] for entry in json.loads(result.stdout)["results"]}


def test_a_folder_becomes_a_cache(call, folder, tiny_guide, tmp_path):
    out = tmp_path / "c.safetensors"
    result = call("guide", folder, out, "--guide", tiny_guide, *CPU, "-r", "--json")
    assert result.exit_code == 0, result.stderr
    assert statuses(result) == {"a.png": "done", "b.jpg": "done", "c.tif": "done"}
    cache, guide = load_embedding_cache(out, expected_shape=(3, 16)), load_multimodal_guide(tiny_guide)
    assert cache.identity == guide.identity and len(cache) == 3
    for name in ("a.png", "sub/c.tif"):
        photo = read_photo(folder / name)
        torch.testing.assert_close(cache.get(picture_key(photo)), guide([photo])[0])


def test_a_second_run_goes_on_and_knows_renamed_pictures(call, folder, tiny_guide, tmp_path):
    out = tmp_path / "c.safetensors"
    assert call("guide", folder / "a.png", out, "--guide", tiny_guide, *CPU).exit_code == 0
    assert len(load_embedding_cache(out)) == 1
    (folder / "a.png").rename(folder / "z.png")
    result = call("guide", folder, out, "--guide", tiny_guide, *CPU, "--json")
    assert statuses(result) == {"z.png": "skipped", "b.jpg": "done"}
    assert len(load_embedding_cache(out)) == 2


def test_one_bad_picture_is_named_and_the_rest_is_done(call, folder, tiny_guide, tmp_path):
    (folder / "a.png").write_bytes(b"")
    result = call("guide", folder, tmp_path / "c.safetensors", "--guide", tiny_guide, *CPU, "--json")
    assert result.exit_code == 1
    assert f"failed: {folder / 'a.png'}: the file is empty" in result.stderr
    assert statuses(result) == {"a.png": "failed", "b.jpg": "done"}
    assert len(load_embedding_cache(tmp_path / "c.safetensors")) == 1


def test_a_cache_of_another_guide_or_question_is_refused(call, folder, tiny_guide, tmp_path):
    out = tmp_path / "c.safetensors"
    call("guide", folder, out, "--guide", tiny_guide, *CPU)
    before = out.read_bytes()
    other = write_tiny_guide(tmp_path / "other", seed=1, width=24)
    for words in (("--guide", other), ("--guide", tiny_guide, "--question", "What rain?")):
        result = call("guide", folder, out, *words, *CPU)
        assert result.exit_code == 2
        assert "error: the embeddings of" in result.stderr and "expected" in result.stderr
    assert out.read_bytes() == before
    with pytest.raises(OtherGuideError):
        load_embedding_cache(out, expected_shape=(3, 24))


def test_captions_become_text_features(call, folder, tmp_path, monkeypatch):
    model = torch.nn.Module()
    model.embedding = torch.nn.Embedding(128, 6)
    model.encode_text = lambda tokens: model.embedding(tokens).mean(dim=1)
    encoder = ClipTextEncoder(
        model, lambda texts: torch.tensor([[len(text)] for text in texts]), name="tiny", sha256=None, width=6
    )
    monkeypatch.setattr("ldrestore.guides.clip_text.load_clip_text", lambda *args, **options: encoder)
    (tmp_path / "captions.csv").write_text("path,text\na.png,heavy rain\nsub/c.tif,haze\n", encoding="utf-8")
    out = tmp_path / "text.safetensors"
    result = call("guide", folder, out, "--captions", tmp_path / "captions.csv", "-r", "--json")
    assert result.exit_code == 1
    assert f"failed: {folder / 'b.jpg'}: {tmp_path / 'captions.csv'} has no caption for b.jpg" in result.stderr
    cache = load_embedding_cache(out, expected_shape=(6,))
    torch.testing.assert_close(cache.get(picture_key(read_photo(folder / "a.png"))), encoder(["heavy rain"])[0])
    assert len(cache) == 2


def test_captions_without_open_clip_name_the_extra(call, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    (tmp_path / "captions.csv").write_text("path,text\na.png,rain\n", encoding="utf-8")
    result = call("guide", folder, tmp_path / "c.safetensors", "--captions", tmp_path / "captions.csv")
    assert result.exit_code == 1
    assert "pip install 'ldrestore[clip]'" in result.stderr


def test_a_guide_out_of_reach_names_the_ways_out(call, folder, tmp_path):
    result = call("guide", folder, tmp_path / "c.safetensors")
    assert result.exit_code == 1
    assert "cannot be fetched from the Hub" in result.stderr and "HF_ENDPOINT" in result.stderr
    assert not (tmp_path / "c.safetensors").exists()


@pytest.mark.parametrize(
    ("out", "words", "message"),
    [
        ("c.bin", (), "OUT must be a file that ends with .safetensors"),
        ("none/c.safetensors", (), "there is no folder"),
        ("c.safetensors", ("--question", " "), "the question is empty"),
        ("c.safetensors", ("--captions", "none.csv"), "none.csv cannot be read as captions"),
        ("c.safetensors", ("--captions", "c.csv", "--question", "x"), "give one of them"),
        ("c.safetensors", ("--device", "tpu9"), "expected a device"),
    ],
)
def test_a_wrong_call_writes_nothing(call, folder, tiny_guide, tmp_path, out, words, message):
    guide = () if "--captions" in words else ("--guide", tiny_guide)
    result = call("guide", folder, tmp_path / out, *guide, *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_missing_source_and_a_damaged_cache_are_told_before_a_guide_is_loaded(call, folder, tmp_path):
    result = call("guide", tmp_path / "none", tmp_path / "c.safetensors")
    assert result.exit_code == 2 and "no file or folder at" in result.stderr
    (tmp_path / "c.safetensors").write_bytes(b"x" * 20)
    result = call("guide", folder, tmp_path / "c.safetensors")
    assert result.exit_code == 1 and "no intact safetensors file" in result.stderr
    assert (tmp_path / "c.safetensors").read_bytes() == b"x" * 20


def test_a_folder_without_pictures_needs_no_guide(call, tmp_path):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    result = call("guide", tmp_path / "in", tmp_path / "c.safetensors")
    assert result.exit_code == 0
    assert "no pictures found in IN; look into its sub-folders with --recursive" in result.stderr
    assert not (tmp_path / "c.safetensors").exists()


def test_all_pictures_of_a_plan_go_into_one_file(folder, tmp_path):
    plan = plan_pictures(str(folder), str(tmp_path / "c.safetensors"), is_recursive=True)
    assert [job.name for job in plan.jobs] == ["a.png", "b.jpg", "sub/c.tif"]
    assert {job.target for job in plan.jobs} == {tmp_path / "c.safetensors"}
    assert len(plan.ignored) == 1
