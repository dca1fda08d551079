import json
from dataclasses import replace

import pytest
from write_embedded_tables import BEGIN, END, KEPT, PAGE, ROOT, keep, page_of
from write_model_card import CARDS

from ldrestore.assets.catalog import MODELS
from ldrestore.errors import InputError
from ldrestore.evaluation.contestants import hash_of_model
from ldrestore.evaluation.results import read_results, write_results
from tests.model_results import model_results

FIGURES = {"haze": {"a": (14.0, 20.0), "b": (15.0, 13.0)}}
PAGE_TEXT = f"# Page\n\nBefore.\n\n{BEGIN}\nold\n{END}\n\nBehind.\n"


@pytest.fixture
def checkout(tmp_path):
    """A checkout with a page, an embedded model and the results of it in `out/`."""
    root = tmp_path / "checkout"
    (root / PAGE).parent.mkdir(parents=True)
    (root / PAGE).write_text(PAGE_TEXT)
    weights = root / "ldrestore" / MODELS.get("default").location / "regressor" / "a.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    identity = hash_of_model(str(weights.parent.parent))
    write_results(model_results(FIGURES, model="default", identity=identity), tmp_path / "out" / "results.json")
    keep(root, tmp_path / "out")
    return root


def test_tables_stand_between_the_marks_with_gains_and_means(checkout):
    page = page_of(checkout)
    assert page.startswith(f"# Page\n\nBefore.\n\n{BEGIN}\n\n### Suite card\n") and page.endswith("\n\nBehind.\n")
    assert "old" not in page and "other weights" not in page
    assert "| default | +2.00, tied; at worst -2.00 |" in page
    assert "| default | **16.50** |" in page
    (checkout / PAGE).write_text(page)
    assert page_of(checkout) == page


def test_what_is_kept_holds_no_single_pictures(checkout):
    document = json.loads((checkout / KEPT / "card.json").read_text())
    assert not document["pictures"] and not document["outputs"] and document["means"]


def test_figures_of_other_weights_are_called_so(checkout):
    place = checkout / "ldrestore" / MODELS.get("default").location / "regressor" / "a.safetensors"
    place.write_bytes(b"others")
    assert "**Measured with other weights than those that lie here: default.**" in page_of(checkout)


def test_the_card_s_real_pairs_stand_there_and_nothing_else_of_it(checkout):
    card = next(card for card in CARDS if card.name == "default")
    results = model_results({name: {"a": (14.0, 20.0)} for name in ("rain", "polyu", "polyu told noise")})
    made = tuple(replace(row, making="rain" if row.name == "rain" else "pairs") for row in results.datasets)
    write_results(replace(results, datasets=made), checkout / card.results)
    page = page_of(checkout)
    assert "### Suite card, default\n\nAll real pairs that were there." in page
    part = page.partition("### Suite card, default")[2].partition("### Suite card\n")[0]
    assert "| psnr against the input | polyu |" in part and "rain" not in part and "told" not in part
    assert "other weights than those that lie here: default" in part


def test_a_page_without_marks_is_refused(checkout):
    (checkout / PAGE).write_text("# Page\n")
    with pytest.raises(InputError, match="has no place for the tables"):
        page_of(checkout)


def test_without_the_input_there_are_means_alone(checkout, tmp_path):
    results = model_results(FIGURES)
    alone = replace(results, comparisons=(), suite="alone")
    write_results(alone, tmp_path / "out" / "results.json")
    keep(checkout, tmp_path / "out")
    assert "against the input" not in page_of(checkout).partition("### Suite card")[0]


def test_figures_whose_intervals_are_too_narrow_are_said_to_be_so(checkout):
    file = checkout / KEPT / "card.json"
    assert "plain bootstrap" not in page_of(checkout)
    write_results(replace(read_results(file), statistics="plain bootstrap"), file)
    assert "of a plain bootstrap as it was computed before: too sure where scenes are few" in page_of(checkout)


def test_the_page_of_this_checkout_is_up_to_date():
    assert page_of(ROOT) == (ROOT / PAGE).read_text(encoding="utf-8")
