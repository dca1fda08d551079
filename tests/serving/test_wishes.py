import pytest

from ldrestore.errors import InputError, UnknownNameError
from ldrestore.options import FastRestoreOptions
from ldrestore.serving.offered_models import find_offered, offered_models
from ldrestore.serving.wishes import MAX_TEXT, Wishes, request_of


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


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"scale": 2.5}, r"scale must be a whole number, got 2\.5"),
        ({"scale": float("inf")}, r"scale must be a number in \[1, 8\]"),
        ({"scale": 10**400}, r"scale must be a number in \[1, 8\]"),
        ({"steps": 0.5}, r"steps must be a number in \[1, 1000\]"),
        ({"steps": 1001}, r"steps must be a number in \[1, 1000\]"),
        ({"steps": True}, "steps must be a number"),
        ({"degradations": "rain=1" * 1000}, "degradations has 6000 characters"),
        ({"degradations": dict.fromkeys(map(str, range(101)), 0.5)}, "degradations must be text"),
        ({"degradations": {"rain": float("nan")}}, "rain must be a number"),
    ],
)
def test_wrong_wishes_of_a_model_that_samples_are_refused_too(request_for, wishes, words) -> None:
    with pytest.raises(InputError, match=words) as refusal:
        request_for("sampler", **wishes)
    assert len(str(refusal.value)) < 300


def test_whole_numbers_come_as_whole_ones_however_they_are_sent(request_for) -> None:
    options = request_for("sampler", scale=2.0, steps=7.0).options
    assert (options.scale, options.num_inference_steps) == (2, 7)
    assert type(options.scale) is int and type(options.num_inference_steps) is int


def test_the_longest_text_is_taken_and_blanks_are_none(request_for) -> None:
    assert request_for("tiny", instruction="a" * MAX_TEXT).options.instruction == "a" * MAX_TEXT
    assert request_for("tiny", instruction=None, degradations=" \n ").options == FastRestoreOptions()
    assert request_for("tiny", degradations={}).options.degradations is None


def test_a_single_bar_counts_whole_whatever_its_height(request_for) -> None:
    for strength in (1e-9, 0.2, 1):
        assert request_for("sampler", degradations={"rain": strength}).options.degradations == {"rain": 1.0}
