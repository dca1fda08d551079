import numpy as np
import pytest
import torch
from embed_model import embed

from ldrestore.pipelines.pipeline_fast_restore import FastRestorePipeline


def test_weights_are_rounded_and_the_card_stays(pipeline, tmp_path):
    with torch.no_grad():
        for parameter in pipeline.regressor.parameters():
            parameter.normal_(std=0.1)
    pipeline.save_pretrained(tmp_path / "export")
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "README.md").write_text("the card")
    num_bytes = embed(tmp_path / "export", tmp_path / "default")
    embedded = FastRestorePipeline.from_pretrained(tmp_path / "default")
    assert (tmp_path / "default" / "README.md").read_text() == "the card"
    assert num_bytes == 2 * sum(weight.numel() for weight in embedded.regressor.state_dict().values())
    for name, weight in pipeline.regressor.state_dict().items():
        assert torch.equal(embedded.regressor.state_dict()[name], weight.half().float())
    embedded.set_progress_bar_config(disable=True)
    picture = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    before, after = (one(picture, output_type="np").images[0] for one in (pipeline, embedded))
    assert np.abs(before - after).max() < 0.01


def test_weights_beyond_float16_are_refused(pipeline, tmp_path):
    with torch.no_grad():
        pipeline.regressor.intro.weight.fill_(1e6)
    pipeline.save_pretrained(tmp_path / "export")
    with pytest.raises(ValueError, match="does not fit into float16"):
        embed(tmp_path / "export", tmp_path / "default")
    assert not (tmp_path / "default").exists()
