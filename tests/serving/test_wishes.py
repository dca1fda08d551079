import pytest

from ldrestore.errors import InputError, UnknownNameError
from ldrestore.options import FastRestoreOptions
from ldrestore.serving.offered_models import find_offered, offered_models
from ldrestore.serving.wishes import Wishes, request_of


@pytest.fixture
def request_for(make_settings, models_folder):
    """`request_for("tiny", fidelity=..)`"""
    models = offered_models(models_folder)

    def make(model, **wishes):
        return request_of(Wishes(model=find_offered(models, model), **wishes), make_settings(), device="cpu")

    return make


def test_wishes_become_options_of_the_models_track(request_for):
    request = request_for("tiny", fidelity=0.5, scale=2, steps=7, instruction="  ")
    assert request.options == FastRestoreOptions(fidelity=0.5, scale=2)
    assert request.max_pixels == 100_000_000
    assert (
        request_for("tiny", grain=0.4).options.keep_grain == request_for("sampler", grain=0.4).options.keep_grain == 0.4
    )
    assert request_for("sampler", steps=7).options.num_inference_steps == 7


def test_bars_become_weights_only_where_the_model_samples(request_for):
    assert request_for("tiny", degradations={"rain": 0.5}).options.degradations == {"rain": 0.5}
    weights = request_for("sampler", degradations={"rain": 0.3, "haze": 0.1, "jpeg": 0.0}).options.degradations
    assert weights == pytest.approx({"rain": 0.75, "haze": 0.25})
    with pytest.raises(InputError, match="raise at least one bar"):
        request_for("sampler", degradations={"rain": 0.0})
    assert request_for("tiny", degradations="rain=1").options.degradations == "rain=1"


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"fidelity": "0.5"}, "fidelity must be a number"),
        ({"fidelity": float("nan")}, "fidelity must be a number"),
        ({"fidelity": True}, "fidelity must be a number"),
        ({"grain": 2}, r"grain must be a number in \[0, 1\]"),
        ({"scale": 9}, r"scale must be a number in \[1, 8\]"),
        ({"scale": None}, "scale must be a number"),
        ({"instruction": "a" * 10_000}, "10000 characters, at most 2000"),
        ({"instruction": {"$ne": 1}}, "the instruction must be text, got dict"),
        ({"degradations": ["rain"]}, "degradations must be text"),
        ({"degradations": {"rain": "much"}}, "rain must be a number"),
        ({"degradations": {"x" * 9999: 2}}, "x{40} must be a number"),
    ],
)
def test_wrong_wishes_are_refused_in_plain_words(request_for, wishes, words):
    with pytest.raises(InputError, match=words) as refusal:
        request_for("tiny", **wishes)
    assert len(str(refusal.value)) < 300


def test_only_offered_models_are_found(models_folder):
    models = offered_models(models_folder)
    assert {"default", "default-fast", "ldrestore-tiny-stable", "tiny", "sampler"} <= models.keys()
    for name in ("../tiny", str(models_folder / "tiny"), "", None, ["tiny"], "x" * 9999):
        with pytest.raises(UnknownNameError) as refusal:
            find_offered(models, name)
        assert len(str(refusal.value)) < 300
