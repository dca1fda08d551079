"""What steers the restoration of a picture, before a network is asked."""

import numpy as np
import pytest
import torch

from ldrestore.errors import InputError, ShapeError
from ldrestore.images.photo import Photo
from ldrestore.regressors.instruction_encoder import Instruction
from ldrestore.structures import DegradationEstimate
from ldrestore.systems.regression_steering import (
    advice_on,
    hints_of_strengths,
    steering_of_embedding,
    steering_of_instruction,
    steerings_of,
)
from tests.regressors.test_contract import tiny

BRIGHT = Photo(pixels=np.full((8, 8, 3), 200, np.uint8))
PHOTOS = [Photo(pixels=np.full((2, 2, 3), value, np.uint8)) for value in (0, 255)]


@pytest.fixture(scope="module")
def guided():
    """Takes embeddings of (3, 6)."""
    return tiny("mmfe_ir")


@pytest.fixture
def instruction():
    return Instruction(
        text="remove the rain", embedding=torch.ones(1, 6), probabilities={"rain": 0.8765, "noise": 0.1235}
    )


def test_where_nothing_is_said_nothing_steers(guided):
    first, second = steerings_of(PHOTOS, regressor=guided, head=None)
    assert first == second and first.embedding is None and first.hints is None
    assert first.recorded == {"instruction": None, "embedding": None} and first.understood is None


def test_an_embedding_is_for_all_for_each_or_a_function_of_the_picture(guided):
    one, other = torch.zeros(3, 6), np.ones((3, 6), np.float32)
    for_all = steerings_of(PHOTOS, regressor=guided, head=None, embedding=one)
    assert [tuple(steering.embedding.shape) for steering in for_all] == [(1, 3, 6)] * 2
    each = steerings_of(PHOTOS, regressor=guided, head=None, embedding=[None, other])
    assert each[0].embedding is None and torch.equal(each[1].embedding, torch.ones(1, 3, 6))
    by_picture = steerings_of(
        PHOTOS, regressor=guided, head=None, embedding=lambda photo: other if photo.pixels.any() else None
    )
    assert by_picture[0].embedding is None and torch.equal(by_picture[1].embedding, each[1].embedding)
    assert each[1].recorded["embedding"] == by_picture[1].recorded["embedding"] != for_all[0].recorded["embedding"]


@pytest.mark.parametrize(
    ("embedding", "error", "message"),
    [
        (torch.zeros(3, 7), ShapeError, "expected an embedding of shape"),
        ([torch.zeros(3, 6)], InputError, "expected one embedding for each of the 2 pictures, got 1"),
        (torch.zeros(3, 6, dtype=torch.int64), InputError, "must hold floating-point numbers"),
        (torch.full((3, 6), torch.nan), InputError, "infinite or undefined"),
        ("cache.safetensors", InputError, "must be a tensor or an array"),
    ],
)
def test_what_is_no_embedding_of_the_network_is_refused(guided, embedding, error, message):
    with pytest.raises(error, match=message):
        steerings_of(PHOTOS, regressor=guided, head=None, embedding=embedding)


def test_a_network_that_takes_none_says_so():
    with pytest.raises(InputError, match="takes no embedding"):
        steerings_of(PHOTOS, regressor=tiny("nafnet"), head=None, embedding=torch.zeros(3))


def test_an_instruction_steers_all_pictures_and_is_recorded_with_its_class(guided, instruction):
    found = steerings_of(PHOTOS, regressor=guided, head=None, instruction=instruction)
    assert len(found) == 2 and found[0] is found[1]
    assert found[0].recorded == {"instruction": "remove the rain", "embedding": None}
    assert found[0].understood == {"class": "rain", "probability": 0.876}
    assert steering_of_instruction(instruction).embedding is instruction.embedding
    with pytest.raises(InputError, match="give an instruction or an embedding"):
        steerings_of(PHOTOS, regressor=guided, head=None, instruction=instruction, embedding=torch.zeros(3, 6))


def test_strengths_become_hints_of_what_is_named_and_how_strongly():
    hints = hints_of_strengths({"haze": 0.25, "jpeg": 0.0}, ("rain", "haze", "jpeg"))
    assert hints.tolist() == [[0, 1, 1, 0, 0.25, 0]]
    network = tiny("grid_nafnet")
    (steering,) = steerings_of(PHOTOS[:1], regressor=network, head=None, strengths={"haze": 0.25})
    names = network.config["degradations"]
    assert torch.equal(steering.hints, hints_of_strengths({"haze": 0.25}, names)) and steering.embedding is None
    (silent,) = steerings_of(PHOTOS[:1], regressor=network, head=None, strengths={})
    assert silent.hints.abs().sum() == 0  # named nothing, which is not the same as no hints


def test_a_record_tells_equal_embeddings_apart_by_their_numbers():
    first, second = steering_of_embedding(torch.zeros(2)), steering_of_embedding(torch.tensor([0.0, 1e-6]))
    assert first.recorded["embedding"] != second.recorded["embedding"]
    assert first.recorded == steering_of_embedding(torch.zeros(2)).recorded


@pytest.mark.parametrize(
    ("probability", "strengths", "has_advice"),
    [(0.9, {}, True), (0.5, {}, True), (0.4, {}, False), (0.9, {"low_light": 0.0}, False)],
)
def test_a_dark_picture_is_left_and_the_user_told_how_to_brighten_it(probability, strengths, has_advice):
    estimate = DegradationEstimate(("rain", "low_light"), (0.1, probability))
    advice = advice_on(BRIGHT, estimate, strengths)
    assert bool(advice) == has_advice
    assert all("--degradation low_light brightens it" in line for line in advice)


def test_models_that_know_no_darkness_give_no_advice():
    assert advice_on(BRIGHT, None, {}) == advice_on(BRIGHT, DegradationEstimate(("rain",), (0.9,)), {}) == ()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "given",
    [
        np.arange(18, dtype=np.float32).reshape(3, 6)[::-1],
        np.broadcast_to(np.float16(2), (3, 6)),
        np.arange(18.0).reshape(3, 6).astype(">f8"),
        np.asfortranarray(np.arange(18.0).reshape(3, 6)),
    ],
    ids=["turned", "read-only", "of another byte order", "of another order"],
)
def test_arrays_are_taken_however_they_lie_in_memory(guided, given) -> None:
    (steering,) = steerings_of(PHOTOS[:1], regressor=guided, head=None, embedding=given)
    assert steering.embedding.tolist() == [given.astype(np.float32).tolist()]
    assert steering.embedding.is_contiguous()


def test_an_embedding_that_is_given_is_left_alone(guided) -> None:
    given = np.zeros((1, 3, 6), np.float32)
    (steering,) = steerings_of(PHOTOS[:1], regressor=guided, head=None, embedding=given)
    steering.embedding.add_(1)
    assert not given.any()


@pytest.mark.parametrize("given", [np.array([["a"] * 6] * 3), np.empty((3, 6), object), np.zeros((3, 6), complex)])
def test_arrays_of_no_real_numbers_are_refused(guided, given) -> None:
    with pytest.raises(InputError, match="must hold floating-point numbers"):
        steerings_of(PHOTOS[:1], regressor=guided, head=None, embedding=given)
