import numpy as np
import pytest
import torch

from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.explanations.prompt_maps import TEXTS, WORDS, map_prompts, view_picture
from ldrestore.images.photo import Photo
from ldrestore.prompts.text_sequences import SpecialTokens, embed_sequences, encode_embeddings
from ldrestore.prompts.textual_prompts import TextualPromptPool
from ldrestore.systems.mperceiver import MPerceiver
from ldrestore.systems.sampled_pictures import lq_of
from tests.tiny_stable import NAMES, tiny_stable


@pytest.fixture(scope="module")
def pipeline():
    return tiny_stable()


def photos(count):
    generator = np.random.default_rng(0)
    return [Photo(pixels=generator.integers(0, 256, (20, 24, 3), dtype=np.uint8)) for _ in range(count)]


def vectors_given_to(monkeypatch):
    """What is laid out, in order."""
    given = []

    def keep(vectors, labels):
        given.append((vectors, labels))

    monkeypatch.setattr("ldrestore.explanations.prompt_maps.map_points", keep)
    return given


def test_all_pools_and_texts_are_laid_out(pipeline):
    views = [view_picture(pipeline, photo) for photo in photos(2)]
    found = map_prompts(pipeline, views)
    assert list(found.visual) == ["IR-Adapter V1", "IR-Adapter V2", "DRM V1", "DRM V2", "DRM V3"]
    assert list(found.text) == [WORDS, TEXTS]
    assert found.absent == ()
    for name, num_points in (("IR-Adapter V1", 3), ("DRM V3", 3)):
        assert found.visual[name].labels == tuple(one for one in NAMES for _ in range(num_points))
    assert found.text[WORDS].labels == tuple(one for one in NAMES for _ in range(2))
    assert found.text[TEXTS].labels == tuple(one for one in NAMES for _ in range(2))


def test_points_are_the_rows_of_the_pools_and_the_words_of_the_text(pipeline, monkeypatch):
    given = vectors_given_to(monkeypatch)
    map_prompts(pipeline)
    pool = pipeline.ir_adapter.visual_prompt[1, 2, 0].detach().numpy()  # second scale, third degradation
    vectors, labels = given[1]
    assert np.array_equal(vectors[[label == NAMES[2] for label in labels]], pool)
    vectors, labels = given[-1]
    words = pipeline.textual_prompts.tp[1:2]
    tokens = SpecialTokens.of(pipeline.tokenizer)
    sequence = embed_sequences(words, text_encoder=pipeline.text_encoder, tokens=tokens)
    with torch.no_grad():
        expected = encode_embeddings(pipeline.text_encoder, sequence)[0, 1:3].numpy()
    np.testing.assert_allclose(vectors[[label == NAMES[1] for label in labels]], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", ["released", "paper"])
def test_a_view_is_what_steers_the_denoising(order):
    torch.manual_seed(0)
    pipeline = tiny_stable(textual_prompts=TextualPromptPool(NAMES, num_tokens=2, text_dim=8, order=order))
    photo = photos(1)[0]
    view = view_picture(pipeline, photo)
    lq = lq_of(photo.pixels, multiple=1, device=torch.device("cpu"))
    _, estimate = MPerceiver(pipeline.components, attachment=None).condition(lq)
    assert view.estimate == estimate
    for index, name in enumerate(NAMES):  # P of one degradation alone gives its text alone
        given = type(estimate)(NAMES, tuple(float(one == name) for one in NAMES))
        text = MPerceiver(pipeline.components, attachment=None).condition(lq, given)[0].prompt_embeds
        expected = text[0, 1 + 3 + 2].numpy()  # start, e_cm, T
        np.testing.assert_allclose(view.texts[index], expected, rtol=1e-4, atol=1e-5)


def test_what_a_model_lacks_is_said():
    found = map_prompts(tiny_stable(textual_prompts=None, drm=None))
    assert list(found.visual) == ["IR-Adapter V1", "IR-Adapter V2"] and not found.text
    assert "no textual prompts" in found.absent[0] and "of a folder of pictures" in found.absent[1]
    bare = tiny_stable(textual_prompts=None, cm_adapter=None, ir_adapter=None, injection=None, drm=None)
    view = view_picture(bare, photos(1)[0])
    assert view.texts is None
    found = map_prompts(bare, [view, view])
    assert not found.visual and not found.text and len(found.absent) == 3


def test_a_pool_of_too_few_prompts_makes_no_map():
    torch.manual_seed(0)
    found = map_prompts(tiny_stable(textual_prompts=TextualPromptPool(NAMES, num_tokens=1, text_dim=8)))
    assert WORDS not in found.text and any("fewer than 4 points" in reason for reason in found.absent)


def test_an_adapter_without_pools_has_no_map_of_them():
    stable = tiny_stable(drm=None)
    sizes = {name: value for name, value in stable.ir_adapter.config.items() if not name.startswith("_")}
    stable.register_modules(ir_adapter=IRAdapter(**{**sizes, "num_prompts": 0}).eval())
    maps = map_prompts(stable, [])
    assert maps.visual == {} and any("visual" in line for line in maps.absent)
