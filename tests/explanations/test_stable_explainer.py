"""What explains models of the stable track: one picture, and many."""

import sys

import pytest

from ldrestore.errors import InputError, MissingExtraError
from ldrestore.explanations.stable_explainer import StableExplainer
from ldrestore.options import StableRestoreOptions
from tests.tiny_stable import NAMES, tiny_stable


@pytest.fixture(scope="module")
def pipeline():
    return tiny_stable()


def test_options_of_the_sampling_are_refused_where_nothing_is_sampled(pipeline):
    StableExplainer(pipeline, StableRestoreOptions()).check_folder()
    given = StableRestoreOptions(degradations="rain", num_inference_steps=3, seed=1)
    with pytest.raises(InputError, match=r"--degradation, --steps, --seed: of a folder nothing is restored"):
        StableExplainer(pipeline, given).check_folder()
    with pytest.raises(InputError, match=r"^--seed: "):
        StableExplainer(pipeline, StableRestoreOptions(seed=0)).check_folder()


def test_options_reach_the_sampling_of_one_picture(pipeline, photo):
    options = StableRestoreOptions(degradations={"haze": 1.0}, num_inference_steps=2, seed=3)
    finding = StableExplainer(pipeline, options).explain(photo(), gt=None, name="a.png")
    document = finding.document
    assert document["is_given"] and document["estimate"]["haze"] == 1
    assert document["sampling"]["num_steps"] == 2 and document["record"]["options"]["seed"] == 3
    assert list(document["differences"]) == ["restored - input"]
    assert "The probabilities P, given with the call" in finding.page and "2 steps, seed 3" in finding.page


def test_many_pictures_are_told_of_by_name(pipeline, photo):
    explainer = StableExplainer(pipeline, StableRestoreOptions())
    for index, name in enumerate(("b.png", "sub/a.png")):
        explainer.look_at(photo(index), name=name)
    finding = explainer.report()
    assert [one["name"] for one in finding.document["pictures"]] == ["b.png", "sub/a.png"]
    assert finding.document["degradations"] == list(NAMES)
    assert sum(finding.document["mean"]) == pytest.approx(1, abs=1e-5)  # of rounded numbers


def test_a_package_that_is_missing_is_named_before_anything_is_restored(pipeline, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)
    with pytest.raises(MissingExtraError, match="scikit-learn"):
        StableExplainer(pipeline, StableRestoreOptions())
