"""What explains models of the fast track: one picture, and many."""

import pytest
import torch

from ldrestore.errors import InputError
from ldrestore.explanations.fast_explainer import FastExplainer
from ldrestore.explanations.fast_explanation import usage_of
from ldrestore.options import FastRestoreOptions


@pytest.fixture
def explainer(pipeline):
    """`explainer(name, **options)` explains a tiny model."""

    def create(name, **options):
        return FastExplainer(pipeline(name), FastRestoreOptions(**options))

    return create


def test_one_picture_is_told_of_with_what_was_named(explainer, photo):
    plain = explainer("grid_nafnet").explain(photo(), gt=photo(1), name="a.png")
    named = explainer("grid_nafnet", degradations="haze=0,jpeg=0.5").explain(photo(), gt=photo(1), name="a.png")
    assert plain.document["kind"] == "picture" and "usage.png" in plain.figures
    assert plain.document["strengths"] is None and "Treated as given" not in plain.page
    assert named.document["strengths"] == {"haze": 0.0, "jpeg": 0.5}
    assert "Treated as given with the call: haze at 0, jpeg at 0.5; all else as the model sees it." in named.page
    assert named.document["record"]["options"]["degradations"] == {"haze": 0.0, "jpeg": 0.5}


def test_many_pictures_are_reported_on_in_their_order(explainer, photo):
    many = explainer("moce_ir")
    many.check_folder()
    for index, name in enumerate(("b.png", "a.png")):
        many.look_at(photo(index), name=name)
    finding = many.report()
    assert finding.document["pictures"] == ["b.png", "a.png"] and finding.document["num_cut"] == 0
    assert set(finding.figures) == {"usage.png", "routing.png"}
    assert "What MoCEIR uses over 2 pictures" in finding.page and "Nothing was restored" in finding.page


def test_pictures_of_which_the_middle_stood_for_all_are_counted(explainer, photo, monkeypatch):
    monkeypatch.setattr("ldrestore.explanations.picture_part.MAX_SIDE", 16)
    many = explainer("datprl_ir")
    for index, shape in enumerate(((16, 16, 3), (16, 20, 3), (30, 9, 1))):
        many.look_at(photo(index, shape=shape), name=str(index))
    assert many.report().document["num_cut"] == 2


def test_each_picture_has_its_own_embedding(explainer, pipeline, photo):
    def embedding_of(one):
        return torch.full((3, 6), float(one.pixels[0, 0, 0]) / 255)

    many = explainer("mmfe_ir", embedding=embedding_of)
    for index in range(2):
        many.look_at(photo(index), name=str(index))
    weights = many.report().document["usage"][0]["weights"]
    for index in range(2):
        usage = usage_of(pipeline("mmfe_ir"), photo(index), embedding=embedding_of(photo(index)))
        assert weights[index] == pytest.approx(next(iter(usage.values())), abs=1e-6)
    assert weights[0] != weights[1]


def test_a_model_without_prompts_has_nothing_to_tell_of_many(explainer):
    with pytest.raises(InputError, match="NAFNet has neither prompts nor experts"):
        explainer("nafnet").check_folder()


def test_what_the_model_does_not_take_is_refused_at_once(explainer):
    with pytest.raises(InputError, match="takes no --degradation"):
        explainer("nafnet", degradations="haze")
    with pytest.raises(InputError, match="takes no instructions"):
        explainer("nafnet", instruction="remove the noise")
