import json
import shutil
from dataclasses import replace

import pytest
from write_model_card import CARDS, ROOT, faults, keep, render

from ldrestore.errors import InputError
from ldrestore.evaluation.contestants import hash_of_model
from ldrestore.evaluation.results import read_results, write_results
from tests.model_results import model_results

CARD = next(card for card in CARDS if card.name == "default-fast")
MODEL, WEIGHTS, TEMPLATE, RESULTS = CARD.folder, CARD.weights, CARD.template, CARD.results
FIGURES = {"haze": {"a": (14.0, 20.0), "b": (15.0, 19.0)}, "cdd11/low": {"a": (10.0, 25.0)}}


@pytest.fixture
def checkout(tmp_path):
    """A checkout with what a card is made from, and with the card."""
    (tmp_path / WEIGHTS).parent.mkdir(parents=True)
    (tmp_path / WEIGHTS).write_bytes(b"weights")
    (tmp_path / WEIGHTS.parent / "config.json").write_text('{"_class_name": "Net"}')
    (tmp_path / TEMPLATE).parent.mkdir()
    shutil.copy(ROOT / TEMPLATE, tmp_path / TEMPLATE)
    identity = hash_of_model(str(tmp_path / MODEL))
    write_results(model_results(FIGURES, model=CARD.name, identity=identity), tmp_path / RESULTS)
    write(tmp_path)
    return tmp_path


def write(root):
    for path, text in render(CARD, root).items():
        (root / path).write_text(text, encoding="utf-8")


def test_what_was_just_written_is_up_to_date(checkout):
    assert faults(CARD, checkout) == []


def test_the_card_holds_facts_tables_and_what_is_hand_written(checkout):
    card = (checkout / MODEL / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert "(Net)" in card and "0.0 MB" in card and "gaussian_noise, poisson_noise" in card
    assert "| haze | 14.50 |" in card and "| cdd11/low |" in card
    assert "## Limits" in card and "## Data" in card and "$" not in card


def test_a_folder_that_is_embedded_anew_gets_its_card_back(checkout):
    card = (checkout / MODEL / "README.md").read_text()
    shutil.rmtree(checkout / MODEL)
    (checkout / WEIGHTS).parent.mkdir(parents=True)
    (checkout / WEIGHTS).write_bytes(b"weights")
    (checkout / WEIGHTS.parent / "config.json").write_text('{"_class_name": "Net"}')
    assert faults(CARD, checkout) == [
        f"{MODEL / 'README.md'} is not up to date; run python scripts/write_model_card.py"
    ]
    write(checkout)
    assert (checkout / MODEL / "README.md").read_text() == card


def test_measurements_of_other_weights_are_called_so(checkout):
    (checkout / WEIGHTS).write_bytes(b"other weights")
    assert "are of other weights" in faults(CARD, checkout)[0]
    write(checkout)
    assert "**These measurements are of other weights" in (checkout / MODEL / "README.md").read_text()
    assert len(faults(CARD, checkout)) == 1  # all is written, and still to be measured


def test_results_of_another_version_are_refused(checkout):
    document = json.loads((checkout / RESULTS).read_text())
    (checkout / RESULTS).write_text(json.dumps({**document, "version": 0}))
    with pytest.raises(InputError, match="results of version 0"):
        render(CARD, checkout)


def test_figures_are_kept_without_single_pictures_and_with_estimates_of_another_suite(checkout, tmp_path):
    shares_of = {"rain": {"a": {"rain": 0.9, "snow": 0.1}, "b": {"rain": 0.2, "snow": 0.7}}}
    write_results(model_results({"jpeg": {"a": (20.0, 21.0)}}, model=CARD.name), tmp_path / "card" / "results.json")
    other = model_results({"rain": {"a": (1.0, 2.0), "b": (1.0, 2.0)}}, model=CARD.name, estimates=shares_of)
    write_results(other, tmp_path / "estimate" / "results.json")
    keep(CARD, checkout, tmp_path / "card", estimates=tmp_path / "estimate")
    kept = read_results(checkout / RESULTS)
    assert [row.name for row in kept.datasets] == ["jpeg"]
    assert not kept.outputs and not kept.pictures and kept.means
    assert [dict(row.counts) for row in kept.estimates] == [{"rain": 1, "snow": 1}]
    write(checkout)
    assert "| rain | 2 | 50 % | snow 50 % |" in (checkout / MODEL / "README.md").read_text()


def test_what_a_model_does_when_it_is_told_stands_below_and_the_diagram_beside(checkout, tmp_path):
    identity = hash_of_model(str(checkout / MODEL))
    estimates = {"rain": {"a": {"rain": 0.9, "snow": 0.1}}}
    blind = model_results({"rain": {"a": (1.0, 2.0)}}, model=CARD.name, identity=identity, estimates=estimates)
    steered = model_results({"haze told": {"a": (10.0, 21.0)}}, model=CARD.name, identity=identity)
    write_results(blind, tmp_path / "card" / "results.json")
    write_results(replace(steered, suite="told"), tmp_path / "told" / "results.json")
    keep(CARD, checkout, tmp_path / "card", told_results=tmp_path / "told")
    write(checkout)
    card = (checkout / MODEL / "README.md").read_text()
    assert card.index("| rain | 1.00") < card.index("| haze told | 10.00")
    assert f"![share against probability]({CARD.diagram.name})" in (checkout / CARD.tables).read_text()
    assert (checkout / CARD.diagram).read_text().startswith("<svg")
    assert "Measured by `ldrestore bench`, suites card, told, see" in card
    assert faults(CARD, checkout) == []
    write_results(model_results({"b": {"a": (1.0, 2.0)}}, model=CARD.name), tmp_path / "told" / "results.json")
    with pytest.raises(InputError, match="are of different weights"):
        keep(CARD, checkout, tmp_path / "card", told_results=tmp_path / "told")


def test_every_template_has_the_placeholders_that_are_filled():
    for card in CARDS:
        text = (ROOT / card.template).read_text(encoding="utf-8")
        for name in ("architecture", "parameters", "file_megabytes", "degradations", "measurements"):
            assert f"${name}" in text


@pytest.mark.parametrize(
    "card", [card for card in CARDS if (ROOT / card.results).is_file()], ids=lambda card: card.name
)
def test_the_card_and_tables_of_this_checkout_are_up_to_date(card):
    assert faults(card, ROOT) == []
