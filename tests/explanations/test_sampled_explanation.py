"""What is told of one sampled picture: which options count, what has no refiner, what half precision cannot hold."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ldrestore.errors import InputError
from ldrestore.explanations.sampled_explanation import explain_sampled
from ldrestore.explanations.sampling_section import section_of_sampling, strip_of
from ldrestore.explanations.xl_explanation import explain_xl
from ldrestore.images.photo import Photo
from ldrestore.options import XLRestoreOptions
from tests.tiny_xl_pipeline import tiny_xl

OPTIONS = XLRestoreOptions(num_inference_steps=2, seed=3)


@pytest.fixture(scope="module")
def xl():
    return tiny_xl()


def explained(pipeline, picture, options=OPTIONS, **others):
    settings = {"restore": pipeline.restore, "gt": None, "has_refiner": pipeline.daem is not None}
    return explain_sampled(pipeline, picture, options=options, **{**settings, **others})


@pytest.mark.parametrize("changes", [{"scale": 2}, {"self_ensemble": True}])
def test_what_leaves_no_one_way_through_the_sampling_is_refused(xl, photo, changes) -> None:
    with pytest.raises(InputError, match=r"follows a picture of its own size .* leave out scale and self_ensemble"):
        explained(xl, photo(), replace(OPTIONS, **changes))
    assert not xl.unet._forward_hooks


def test_tiles_kind_of_output_and_callback_of_the_call_do_not_count(xl, photo) -> None:
    calls = []
    options = replace(
        OPTIONS, tile=64, output_type="np", callback_on_step_end=lambda *step: calls.append(step) or step[3]
    )
    found, plain = explained(xl, photo(), options), explained(xl, photo())
    assert np.array_equal(found.pictures.restored.pixels, plain.pictures.restored.pixels)
    assert found.record == plain.record and calls == []


def test_a_decoding_that_was_asked_to_go_without_the_refiner_is_not_shown_as_refined(xl, photo, monkeypatch) -> None:
    monkeypatch.setattr("ldrestore.explanations.sampling_section.draw_strip", lambda *_, **__: b"")
    found = explained(xl, photo(), replace(OPTIONS, refine=False), gt=photo(1))
    assert found.pictures.unrefined is None
    assert list(found.differences) == ["restored - input", "input - gt", "restored - gt"]
    assert "restored" in strip_of(found) and "restored: with refiner" not in strip_of(found)
    section = section_of_sampling(found)
    assert section.document["has_refiner"] is False and "The decoding had no refiner." in section.paragraphs[0]


def test_the_picture_without_the_refiner_is_what_the_call_gives_without_it(xl, photo) -> None:
    found, plain = explained(xl, photo()), xl.restore(photo(), replace(OPTIONS, refine=False))
    assert np.array_equal(found.pictures.unrefined.pixels, plain.photos[0].pixels)
    assert not np.array_equal(found.pictures.restored.pixels, plain.photos[0].pixels)


def test_sizes_and_alpha_are_those_of_the_picture(xl, photo) -> None:
    alpha = np.full((21, 13), 77, np.uint8)
    picture = Photo(pixels=photo(shape=(21, 13, 1)).pixels, alpha=alpha)
    found = explained(xl, picture)
    shown = [found.pictures.restored, found.pictures.unrefined, *(one.picture for one in found.estimates)]
    assert len(shown) == 4
    for one in shown:
        assert one.pixels.shape == (21, 13, 1) and one.pixels.dtype == np.uint8
        assert np.array_equal(one.alpha, alpha)


def test_deep_pictures_stay_deep(xl, photo) -> None:
    found = explained(xl, photo(dtype=np.uint16))
    for one in (found.pictures.unrefined, *(one.picture for one in found.estimates)):
        assert one.pixels.dtype == np.uint16 and (one.pixels % 257 != 0).any()


def test_an_autoencoder_that_leaves_half_precision_is_shown_without_its_refiner_too(photo) -> None:
    xl = tiny_xl()
    with torch.no_grad():
        xl.vae.decoder.conv_in.weight.mul_(3e5)
        xl.vae.decoder.conv_in.bias.zero_()
    for part in xl.components.values():
        if isinstance(part, torch.nn.Module):
            torch.nn.Module.to(part, torch.float16)
    found = explain_xl(xl, photo(), OPTIONS)
    plain = xl.restore(photo(), replace(OPTIONS, refine=False)).photos[0]
    assert np.array_equal(found.sampled.pictures.unrefined.pixels, plain.pixels)
    assert xl.vae.dtype == torch.float16


def test_where_memory_allows_tiles_only_there_are_no_estimates_and_all_else_is_there(photo, monkeypatch) -> None:
    xl = tiny_xl()
    forward, sides = xl.unet.forward, []

    def run(sample, *inputs, **options):
        sides.append(sample.shape[-1])
        if len(sides) == 1:
            raise torch.OutOfMemoryError("out of memory")
        return forward(sample, *inputs, **options)

    monkeypatch.setattr(xl.unet, "forward", run)
    picture = photo(shape=(24, 320, 3))
    found = explain_xl(xl, picture, OPTIONS)
    assert 0 < found.sampled.record["tile_plan"]["unet_tile"] < 320 and len(set(sides)) > 1
    assert found.sampled.estimates == () and found.sampled.num_steps == 2
    assert found.sampled.pictures.unrefined.pixels.shape == (24, 320, 3)
    assert {one.share.shape for one in found.alignments} == {(3, 40)}  # aligned as a whole, all the same
    assert len(found.experts) == 3
