import io
import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch
from PIL import Image

from ldrestore.assets.sentences import OUTSIDE, LabelledSentence
from ldrestore.errors import MissingExtraError
from ldrestore.explanations.drawing import MAX_DRAWN
from ldrestore.explanations.fast_explainer import finding_of_explanation, finding_of_report
from ldrestore.explanations.fast_explanation import describe_model, explain
from ldrestore.explanations.saved_explanation import explanation_files
from ldrestore.explanations.sentence_map import SentenceMap
from ldrestore.explanations.sentence_page import finding_of_sentences
from ldrestore.explanations.usage_report import report_usage


def figures_of(found):
    return finding_of_explanation(found, name="a.png").figures


def report_figures(report):
    return finding_of_report(report).figures


def chunks(png):
    place, found = 8, []
    while place < len(png):
        length = int.from_bytes(png[place : place + 4], "big")
        found.append(png[place + 4 : place + 8].decode())
        place += 12 + length
    return set(found)


@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("nafnet", {"differences.png"}),
        ("prompted_nafnet", {"differences.png", "estimate.png", "usage.png"}),
        ("promptir", {"differences.png", "usage.png"}),
        ("moce_ir", {"differences.png", "usage.png"}),
        ("mmfe_ir", {"differences.png", "usage.png", "expert_maps.png"}),
    ],
)
def test_what_there_is_to_show_is_drawn(pipeline, photo, name, figures):
    found = explain(pipeline(name), photo(), gt=photo(1))
    drawn = figures_of(found)
    assert set(drawn) == figures and figures <= set(explanation_files())
    for png in drawn.values():
        pixels = np.asarray(Image.open(io.BytesIO(png)).convert("L"))
        assert min(pixels.shape) > 150 and pixels.std() > 5


def test_equal_explanations_give_equal_bytes_whatever_the_users_settings(pipeline, photo):
    found = explain(pipeline("prompted_nafnet"), photo())
    first = figures_of(found)
    with mpl.rc_context({"font.size": 20, "text.color": "red"}):
        settings = dict(mpl.rcParams)
        second = figures_of(found)
        assert dict(mpl.rcParams) == settings
    assert first == second
    for png in first.values():
        assert chunks(png) <= {"IHDR", "pHYs", "IDAT", "IEND"}


def test_pictures_of_any_shape_are_drawn_small(pipeline, photo):
    model = pipeline("nafnet")
    for shape in ((1, 1, 3), (300, 4, 1), (6, MAX_DRAWN + 30, 3)):
        png = figures_of(explain(model, photo(shape=shape)))["differences.png"]
        assert max(Image.open(io.BytesIO(png)).size) < 3000


def test_a_report_shows_shares_only_where_there_is_routing(pipeline):
    routing = describe_model(pipeline("moce_ir").regressor)
    rows = {f"level{level}.block1": (0.1, 0.4, 0.3, 0.2) for level in (3, 2, 1)}
    assert set(report_figures(report_usage(routing, {"a": rows}))) == {"usage.png", "routing.png"}
    prompts = describe_model(pipeline("datprl_ir").regressor)
    usage = {"domain": (0.5, 0.5, 0.0), "task": (1.0, 0.0)}
    assert set(report_figures(report_usage(prompts, {"a": usage, "b": usage}))) == {"usage.png"}


def test_sentences_are_drawn_before_and_after():
    names = ["noise", "rain", OUTSIDE, "a_class_of_yours", "noise"]
    points = torch.rand(5, 2, generator=torch.Generator().manual_seed(0)).numpy()
    found = SentenceMap(
        encoder="tiny",
        classes=("noise", "rain"),
        sentences=tuple(LabelledSentence("text", name, "topic") for name in names),
        predicted=("noise",) * 5,
        before=points,
        after=-points,
        silhouette_before=0.1,
        silhouette_after=None,
    )
    figures = finding_of_sentences(found).figures
    assert set(figures) == {"instructions.png"} and figures == finding_of_sentences(found).figures


def test_without_matplotlib_the_extra_is_named(pipeline, photo, monkeypatch):
    found = explain(pipeline("nafnet"), photo())
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"matplotlib is needed .* pip install 'ldrestore\[explain\]'"):
        figures_of(found)
