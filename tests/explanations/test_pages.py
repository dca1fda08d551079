import json
import re

import pytest
import torch

from ldrestore.explanations.fast_explainer import finding_of_explanation, finding_of_report
from ldrestore.explanations.fast_explanation import describe_model, explain
from ldrestore.explanations.usage_report import report_usage


def shown(page):
    return set(re.findall(r"!\[[^]]+\]\(([^)]+)\)", page))


@pytest.mark.parametrize("name", ["nafnet", "prompted_nafnet", "datprl_ir", "moce_ir", "mmfe_ir"])
def test_the_page_shows_every_figure(pipeline, photo, name):
    found = explain(pipeline(name), photo(), gt=photo(1))
    finding = finding_of_explanation(found, name="a.png")
    assert shown(finding.page) == set(finding.figures)


def test_the_document_holds_the_numbers(pipeline, photo):
    embedding = torch.ones(3, 6)
    found = explain(pipeline("mmfe_ir"), photo(), gt=photo(1), embedding=embedding)
    document = json.loads(json.dumps(finding_of_explanation(found, name="a.png").document, allow_nan=False))
    assert [entry["name"] for entry in document["usage"]] == list(found.usage)
    for entry, weights in zip(document["usage"], found.usage.values(), strict=True):
        assert entry["weights"] == pytest.approx(weights, abs=1e-6)
    assert document["expert_maps"][2]["max"] == pytest.approx(float(found.expert_maps[2].max()), abs=1e-6)
    assert document["differences"]["restored - gt"]["psnr"] == pytest.approx(
        found.differences["restored - gt"].psnr, abs=1e-6
    )
    assert document["picture"]["name"] == "a.png" and document["is_told"] is True
    assert document["record"]["tile_plan"] == found.record["tile_plan"]
    assert finding_of_explanation(found, name="a.png").document == finding_of_explanation(found, name="a.png").document


def test_the_page_says_what_is_not_there(pipeline, photo):
    assert (
        "NAFNet has no prompts or experts"
        in finding_of_explanation(explain(pipeline("nafnet"), photo()), name="a").page
    )
    silent = finding_of_explanation(explain(pipeline("mmfe_ir"), photo()), name="a").page
    assert "Neither an instruction nor an embedding was given" in silent


def test_the_page_says_that_a_large_picture_was_cut(pipeline, photo):
    page = finding_of_explanation(explain(pipeline("moce_ir"), photo(shape=(16, 520, 3))), name="a").page
    assert "those of the 512 × 16 pixels at the middle of the picture" in page
    assert "| level2.block1 |" in page


def test_names_cannot_break_the_page(pipeline, photo):
    page = finding_of_explanation(explain(pipeline("nafnet"), photo()), name="a`\n# b.png").page
    assert page.startswith("# What NAFNet does with `a' # b.png`\n")


def test_a_report_has_a_table_of_shares(pipeline):
    model = describe_model(pipeline("moce_ir").regressor)
    usages = {"a": {"level3.block1": (0.9, 0.1)}, "b": {"level3.block1": (0.2, 0.8)}}
    report = report_usage(model, usages, num_cut=1)
    page = finding_of_report(report).page
    assert "| block | expert 0 | expert 1 |" in page and "| level3.block1 | 50% | 50% |" in page
    assert "Larger than 512 × 512 pixels: 1. Of these only" in page
    assert shown(page) == set(finding_of_report(report).figures)
    document = json.loads(json.dumps(finding_of_report(report).document, allow_nan=False))
    assert document["shares"] == [{"name": "level3.block1", "shares": [0.5, 0.5]}]
    assert document["usage"][0]["weights"] == [[0.9, 0.1], [0.2, 0.8]]
