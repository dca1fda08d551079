import numpy as np
import pytest

from ldrestore.explanations.differences import ExplainedPictures, section_of_differences
from ldrestore.explanations.estimate_section import section_of_estimate, section_of_estimates
from ldrestore.explanations.sections import Section, finding_of
from ldrestore.structures import DegradationEstimate


def test_a_page_is_its_sections_in_their_order():
    sections = [
        Section(document={"first": 1}, heading="One", paragraphs=["a", "b"], figures={"usage.png": b"1"}),
        Section(document={"second": None}, figures={"routing.png": b"2"}),
        Section(heading="Three", paragraphs=["c"]),
    ]
    found = finding_of("What it does", ["lead"], sections, kind="picture", document={"name": "a.png"})
    assert found.page == "# What it does\n\nlead\n\n## One\n\na\n\nb\n\n## Three\n\nc\n"
    assert {key: found.document[key] for key in ("kind", "name", "first", "second")} == {
        "kind": "picture",
        "name": "a.png",
        "first": 1,
        "second": None,
    }
    assert found.figures == {"usage.png": b"1", "routing.png": b"2"}


def test_an_estimate_lists_what_is_likely_and_keeps_all_numbers():
    estimate = DegradationEstimate(("rain", "haze", "jpeg"), (0.2, 0.7, 0.01))
    section = section_of_estimate(estimate, "lead", note="a note")
    assert section.document["estimate"] == {"haze": 0.7, "rain": 0.2, "jpeg": 0.01}
    assert section.paragraphs[:2] == ["lead", "a note"] and "| haze | 0.70 |\n| rain | 0.20 |" in section.paragraphs[2]
    assert "jpeg" not in section.paragraphs[2] and set(section.figures) == {"estimate.png"}
    unsure = section_of_estimate(DegradationEstimate(("rain",), (0.01,)), "lead")
    assert unsure.paragraphs[1] == "None is likelier than 5 %."
    given = section_of_estimate(estimate, "lead", is_given=True)
    assert given.figures != section.figures and "degradations given" in given.paragraphs[-1]
    assert section_of_estimate(None, "lead") == Section(document={"estimate": None})


def test_many_estimates_are_a_table_and_more_their_mean(monkeypatch):
    probabilities = np.array([[0.9, 0.1], [0.5, 0.5]])
    section = section_of_estimates(("rain", "haze"), probabilities, ("a", "b"))
    assert section.document["mean"] == [0.7, 0.3]
    assert section.document["pictures"][1] == {"name": "b", "probabilities": [0.5, 0.5]}
    assert "| rain | 0.70 |" in section.paragraphs[1]
    monkeypatch.setattr("ldrestore.explanations.estimate_section.MAX_TABLE_PICTURES", 1)
    assert section_of_estimates(("rain", "haze"), probabilities, ("a", "b")).figures != section.figures


def test_differences_name_each_result_that_there_is(photo):
    pictures = ExplainedPictures(picture=photo(0), restored=photo(1), gt=photo(2), unrefined=photo(3))
    differences = pictures.differences()
    assert list(differences) == ["restored - input", "input - gt", "unrefined - gt", "restored - gt"]
    section = section_of_differences(pictures, differences)
    assert section.document["differences"]["unrefined - gt"]["psnr"] == pytest.approx(
        differences["unrefined - gt"].psnr, abs=1e-6
    )
    assert section.paragraphs[0].count("\n") == 5  # heading, rule and a row each
    alone = ExplainedPictures(picture=photo(0), restored=photo(0))
    assert alone.differences()["restored - input"].mean == 0
