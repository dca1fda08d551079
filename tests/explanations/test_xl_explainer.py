"""What explains models of the XL track: the texts, DAFF's attention step by step, the experts of the decoder."""

import json

import numpy as np
import pytest
import torch

from ldrestore.adapters.stream_blocks import StreamAttention
from ldrestore.errors import InputError
from ldrestore.explanations.alignment_watch import watched_alignment
from ldrestore.explanations.xl_explainer import XLExplainer
from ldrestore.explanations.xl_explanation import explain_xl
from ldrestore.options import XLRestoreOptions
from ldrestore.tracks import TRACKS
from tests.tiny_xl_pipeline import tiny_alignment, tiny_daem, tiny_xl

OPTIONS = XLRestoreOptions(num_inference_steps=3, instruction="remove the rain", seed=2)


@pytest.fixture(scope="module")
def pipeline():
    return tiny_xl(daem=tiny_daem(routing="patch", patch_size=4))


def test_a_page_tells_of_texts_steps_attention_and_experts(pipeline, photo):
    finding = XLExplainer(pipeline, OPTIONS).explain(photo(), gt=photo(1), name="a.png")
    document = json.loads(json.dumps(finding.document))
    assert set(finding.figures) <= set(TRACKS.get("xl").figures) and "alignment.png" in finding.figures
    assert all(f"({name})" in finding.page for name in finding.figures)
    assert "instruction: `remove the rain`" in finding.page and "3 steps, seed 2" in finding.page
    timesteps = [one["timestep"] for one in document["alignment"]]
    assert timesteps == sorted(timesteps, reverse=True) and len(timesteps) == 3
    assert all(0 < one["share"] < 1 for one in document["alignment"])
    assert [one["name"] for one in document["experts"]] == ["level 0", "level 1", "level 2"]
    assert all(sum(one["shares"]) == pytest.approx(1, abs=1e-5) for one in document["experts"])
    assert len(document["sampling"]["estimates"]) == 3


def test_maps_lie_over_the_picture_and_watching_changes_nothing(pipeline, photo):
    before = pipeline.restore(photo(), OPTIONS).records[0]["output_sha256"]
    found = explain_xl(pipeline, photo(), OPTIONS)
    assert found.sampled.record["output_sha256"] == before
    assert {one.share.shape for one in found.alignments} == {(3, 3)}  # 20 x 24 pixels, tokens of 8 x 8
    assert all(one.middle.sum() == pytest.approx(1, abs=1e-4) for one in found.alignments)
    assert all(0 < one.at_place <= 1 + 1e-4 for one in found.alignments)  # a sum of single-precision shares
    assert [one.first.shape for one in found.experts.values()] == [(5, 6), (3, 3), (2, 2)]
    guided = explain_xl(pipeline, photo(), XLRestoreOptions(num_inference_steps=2, guidance_scale=3.0))
    assert len(guided.sampled.estimates) == 2


def test_attention_that_is_told_is_that_of_the_definition():
    torch.manual_seed(0)
    module, query, key = StreamAttention(), torch.randn(1, 8, 2, 4), torch.randn(1, 8, 2, 4)
    daff = tiny_xl().daff
    with watched_alignment(daff, [5.0]) as watch:
        watch._timestep, watch._grid = 5.0, (2, 2)
        watch._kept[5.0] = ((2, 2), [])
        watch.look(query, key)
    weights = torch.einsum("nhd,mhd->hnm", query[0], key[0]).div(2).softmax(-1).mean(0)[4:, :4]
    (found,) = watch.alignments()
    np.testing.assert_allclose(found.share.ravel(), weights.sum(1), rtol=1e-4)
    np.testing.assert_allclose(found.middle.ravel(), weights[3] / weights[3].sum(), rtol=1e-4)
    assert not any(hasattr(one.processor, "inner") for one in (module, *daff.modules()) if hasattr(one, "processor"))


def test_what_is_left_out_is_said_and_folders_are_refused(photo):
    bare = tiny_xl(daff=None, residual_alignment=tiny_alignment(), daem=None)
    finding = XLExplainer(bare, OPTIONS).explain(photo(), gt=None, name="a.png")
    assert "has no DAFF" in finding.page and "no experts" in finding.page and "alignment.png" not in finding.figures
    for refused in (XLExplainer(bare, OPTIONS).check_folder, XLExplainer(bare, OPTIONS).report):
        with pytest.raises(InputError, match="name one picture"):
            refused()
