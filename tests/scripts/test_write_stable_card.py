import shutil
from dataclasses import replace

import pytest
from write_stable_card import CARD, MEASUREMENTS, MODEL, ROOT, TEMPLATE, faults, keep, read_embedded, render

from ldrestore.errors import InputError
from ldrestore.evaluation.contestants import hash_of_model
from ldrestore.evaluation.results import read_results, write_results
from ldrestore.guides.loading_quietly import without_progress_bar
from tests.model_results import model_results
from tests.tiny_stable import tiny_stable

AGAIN = "is not up to date; run python scripts/write_stable_card.py"
FIGURES = {"rain": {"a": (20.0, 25.0), "b": (21.0, 24.0)}}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """A checkout with a tiny model, and what is known of that."""
    root = tmp_path_factory.mktemp("checkout")
    with without_progress_bar():
        tiny_stable().save_pretrained(root / MODEL)
    return root, read_embedded(root)


@pytest.fixture
def checkout(tmp_path, embedded, monkeypatch):
    """A checkout with the model, made-up measurements of it, a template whose texts are written, and the card."""
    root, facts = embedded
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr("write_stable_card.read_embedded", lambda root: facts)  # loading takes long
    (tmp_path / TEMPLATE).parent.mkdir()
    template = (ROOT / TEMPLATE).read_text().replace("$training", "Long.").replace("$limits", "Many.")
    (tmp_path / TEMPLATE).write_text(template)
    write_results(measured(tmp_path), tmp_path / MEASUREMENTS)
    write(tmp_path)
    return tmp_path


def measured(root, figures=FIGURES, *, steps=50):
    """Results of the checkout's model."""
    results = model_results(figures, model="tiny", identity=hash_of_model(str(root / MODEL)))
    (first, model) = results.contestants
    return replace(results, contestants=(first, replace(model, options={"num_inference_steps": steps})))


def write(root):
    for path, text in render(root).items():
        (root / path).write_text(text, encoding="utf-8")


def test_what_was_just_written_is_up_to_date(checkout):
    assert faults(checkout) == []
    card = (checkout / CARD).read_text()
    assert "the noise, on a schedule that ends in nearly pure noise" in card
    assert "| sampling | DDIMScheduler, 50 steps" in card and "rain, haze, jpeg, one at a time" in card
    assert "Measured by `ldrestore bench --study stable-parts`" in card and "$" not in card
    assert "| rain | 2 | 20.50 | 24.50 |" in card
    tables = (checkout / MEASUREMENTS).with_suffix(".md").read_text()
    assert tables.startswith("# What the parts of tiny are worth")


def test_other_figures_or_a_changed_card_are_found(checkout):
    better = {"rain": {"a": (20.0, 35.0), "b": (21.0, 34.0)}}
    write_results(measured(checkout, better), checkout / MEASUREMENTS)
    assert faults(checkout) == [f"{CARD} {AGAIN}", f"{MEASUREMENTS.with_suffix('.md')} {AGAIN}"]
    write(checkout)
    assert faults(checkout) == []
    (checkout / CARD).write_text("better than everything")
    assert faults(checkout) == [f"{CARD} {AGAIN}"]


@pytest.mark.parametrize("file", ["scheduler/scheduler_config.json", "predictor/diffusion_pytorch_model.safetensors"])
def test_measurements_of_another_model_are_called_so(checkout, file):
    path = checkout / MODEL / file
    path.write_bytes(path.read_bytes() + b" ")
    assert "are of another model" in faults(checkout)[0]
    write(checkout)
    (fault,) = faults(checkout)
    assert fault in (checkout / CARD).read_text()


def test_the_steps_are_those_that_were_measured(checkout):
    write_results(measured(checkout, steps=20), checkout / MEASUREMENTS)
    write(checkout)
    card = (checkout / CARD).read_text()
    assert "Sampled in 20 steps where nothing else is said." in card and "| sampling | DDIMScheduler, 50 steps" in card


def test_figures_of_a_study_are_kept_with_its_predictions(checkout, tmp_path):
    out = tmp_path / "out"
    write_results(measured(checkout), out / "results.json")
    estimates_of = {"rain 0.4": {"a": {"rain": 1.0}}}
    psnrs = {"rain 0.4": {"a": (20.0, 20.0)}}
    write_results(model_results(psnrs, model="tiny", estimates=estimates_of), out / "predictor" / "results.json")
    keep(checkout, out)
    (row,) = read_results(checkout / MEASUREMENTS).estimates
    assert (row.dataset, dict(row.counts)) == ("rain 0.4", {"rain": 1})
    write(checkout)
    assert "| rain | 100 % | 100 % | – |" in (checkout / CARD).read_text()


def test_texts_that_are_not_written_and_missing_measurements_are_named(checkout):
    (checkout / TEMPLATE).write_text("$measurements $nonsense")
    with pytest.raises(ValueError, match=r"nothing fills: \$nonsense"):
        faults(checkout)
    (checkout / MEASUREMENTS).unlink()
    with pytest.raises(InputError, match="no results at"):
        faults(checkout)


def test_without_model_and_measurements_there_is_nothing_to_check(tmp_path):
    assert faults(tmp_path) == []


def test_the_card_of_this_checkout_is_up_to_date():
    assert faults(ROOT) == []
