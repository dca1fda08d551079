import json

import pytest

from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.pipelines.pipeline_stable_restore import StableRestorePipeline
from tests.tiny_stable import tiny_base, tiny_stable, tiny_tower


def save_exports(root):
    """A base with its tower, and what both stages exported."""
    stable = tiny_stable()
    with without_progress_bar():
        for name, part in {**tiny_base(), "image_encoder": tiny_tower()}.items():
            part.save_pretrained(root / "base" / name)
    for name in ("predictor", "cm_adapter", "textual_prompts", "ir_adapter", "injection"):
        getattr(stable, name).save_pretrained(root / "stage1" / name)
    stable.drm.save_pretrained(root / "stage2/drm")
    return root / "base", root / "stage1", root / "stage2"


def test_exports_become_a_model_that_restores(call, folder, tmp_path):
    result = call("assemble", *save_exports(tmp_path), "--out", tmp_path / "model")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == f"{tmp_path / 'model'}\n"
    words = ("--model", tmp_path / "model", "--device", "cpu", "--steps", "1")
    assert call("restore", folder / "a.png", tmp_path / "x.png", *words).exit_code == 0


def test_adapters_alone_leave_the_base_where_it_is(call, tmp_path):
    result = call("assemble", *save_exports(tmp_path), "--out", tmp_path / "adapters", "--adapters-only")
    assert result.exit_code == 0, result.stderr
    names = {path.name for path in (tmp_path / "adapters").iterdir()}
    assert "adapters.json" in names and not names & {"unet", "vae", "text_encoder"}
    assert result.stderr.startswith("warning: the base lies on this disk alone") and "--published-as" in result.stderr


def test_adapters_upon_a_local_base_restore_with_that_base_given(call, folder, tmp_path):
    exports = save_exports(tmp_path)
    call("assemble", *exports, "--out", tmp_path / "adapters", "--adapters-only")
    restore = ("restore", folder / "a.png", tmp_path / "x.png", "--device", "cpu", "--steps", "1")
    result = call(*restore, "--model", tmp_path / "adapters", "--base", exports[0])
    assert result.exit_code == 0, result.stderr
    result = call("info", tmp_path / "adapters", "--base", exports[0], "--json")
    assert json.loads(result.stdout)["degradations"] == ["rain", "haze", "jpeg"]
    words = ("--model", tmp_path / "adapters", "--base", exports[0], "--device", "cpu", "--out", tmp_path / "why")
    assert call("explain", folder, *words).exit_code == 0
    result = call(*restore, "--model", "default", "--base", exports[0], "--overwrite")
    assert result.exit_code == 2 and "is a whole model, and base is for adapters alone" in result.stderr


def test_the_pointer_names_where_the_base_is_published(call, tmp_path):
    exports = save_exports(tmp_path)
    words = (*exports, "--out", tmp_path / "adapters", "--published-as")
    for wrong in ("not a name", tmp_path, "alone"):
        result = call("assemble", *words, wrong, "--adapters-only")
        assert result.exit_code == 2 and "--published-as takes a Hub repository" in result.stderr
    assert "give it with --adapters-only" in call("assemble", *words, "someone/base").stderr
    for known in ("stable-diffusion-2-1-base", "someone/other"):
        elsewhere = ("assemble", known, *exports[1:], "--out", tmp_path / "adapters")
        result = call(*elsewhere, "--published-as", "someone/base", "--adapters-only")
        assert result.exit_code == 2 and f"is for a base on this disk, and {known} is none" in result.stderr
    result = call("assemble", *words, "someone/base", "--adapters-only")
    assert result.exit_code == 0 and result.stderr == ""
    assert json.loads((tmp_path / "adapters/adapters.json").read_text())["base"]["name"] == "someone/base"


def test_a_tower_on_this_disk_alone_is_warned_of(call, folder, tmp_path):
    exports = save_exports(tmp_path)
    words = (*exports, "--image-encoder", exports[0] / "image_encoder", "--published-as", "someone/base")
    result = call("assemble", *words, "--out", tmp_path / "adapters", "--adapters-only")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.startswith("warning: CLIP's tower lies on this disk alone") and "--base" in result.stderr
    words = ("--model", tmp_path / "adapters", "--base", exports[0], "--device", "cpu", "--steps", "1")
    assert call("restore", folder / "a.png", tmp_path / "x.png", *words).exit_code == 0


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (OSError(28, "No space left on device"), 1, "cannot be written (No space left on device); make room"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_interrupted_or_failed_writing_leaves_nothing(call, tmp_path, monkeypatch, error, code, message):
    exports = save_exports(tmp_path)
    before = sorted(tmp_path.iterdir())

    def fail(self, folder):
        folder.mkdir()
        (folder / "half.txt").write_text("half")
        raise error

    monkeypatch.setattr(StableRestorePipeline, "save_pretrained", fail)
    result = call("assemble", *exports, "--out", tmp_path / "model")
    assert result.exit_code == code and message in result.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_nothing_is_overwritten(call, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/notes.txt").write_text("mine")
    result = call("assemble", *save_exports(tmp_path), "--out", tmp_path / "model")
    assert result.exit_code == 2
    assert "is not empty" in result.stderr


def test_parts_that_are_missing_are_named(call, tmp_path):
    base, _, stage2 = save_exports(tmp_path)
    result = call("assemble", base, stage2, "--out", tmp_path / "model")
    assert result.exit_code == 1
    assert "needs predictor" in result.stderr
    assert not (tmp_path / "model").exists()
