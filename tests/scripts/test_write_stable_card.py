import json
import shutil

import pytest
from write_stable_card import CARD, MEASUREMENTS, MODEL, ROOT, TEMPLATE, faults, read_embedded, render

from ldrestore.guides.loading_quietly import without_progress_bar
from tests.scripts.stable_rows import COMMAND, stable_document
from tests.tiny_stable import tiny_stable


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
    document = stable_document()
    document["model"] |= {key: facts[key] for key in ("weights_sha256", "scheduler", "scheduler_sha256")}
    document["model"] |= {key: facts[key] for key in ("prediction_type", "view", "dtype")}
    (tmp_path / TEMPLATE).parent.mkdir()
    template = (ROOT / TEMPLATE).read_text().replace("$training", "Long.").replace("$limits", "Many.")
    (tmp_path / TEMPLATE).write_text(template)
    change(tmp_path, lambda _: document)
    write(tmp_path)
    return tmp_path


def change(root, edit):
    """Write other measurements."""
    path = root / MEASUREMENTS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(edit(json.loads(path.read_text()) if path.is_file() else None)))


def write(root):
    for path, text in render(root).items():
        (root / path).write_text(text, encoding="utf-8")


def test_what_was_just_written_is_up_to_date(checkout):
    assert faults(checkout) == []
    card = (checkout / CARD).read_text()
    assert "the noise, on a schedule that ends in nearly pure noise" in card
    assert "| sampling | DDIMScheduler, 50 steps" in card and f"Measured by, paths by names:\n\n    {COMMAND}\n" in card
    assert "rain, haze, jpeg, one at a time" in card and "$" not in card
    assert (checkout / MEASUREMENTS).with_suffix(".md").read_text().startswith("# Measurements of tiny")


def test_other_figures_or_a_changed_card_are_found(checkout):
    def better(document):
        document["rows"]["clean"]["clean"]["means"]["restored_psnr"] = [36.0, 36.0, 36.0]
        return document

    change(checkout, better)
    again = "is not up to date; run python scripts/write_stable_card.py"
    assert faults(checkout) == [f"{CARD} {again}", f"{MEASUREMENTS.with_suffix('.md')} {again}"]
    write(checkout)
    assert faults(checkout) == []
    (checkout / CARD).write_text("better than everything")
    assert faults(checkout) == [f"{CARD} {again}"]


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("model", "weights_sha256", "0", "are of other weights than"),
        ("model", "scheduler_sha256", "0", "are of another scheduler"),
        ("model", "prediction_type", "v_prediction", "are of another prediction (v_prediction)"),
        ("model", "view", "another", "are of another view (another, not "),
        ("model", "dtype", "bfloat16", "are of another number format (bfloat16, not float32)"),
    ],
)
def test_measurements_of_another_model_are_called_so(checkout, section, key, value, message):
    change(checkout, lambda document: {**document, section: {**document[section], key: value}})
    assert message in faults(checkout)[0]
    write(checkout)
    (fault,) = faults(checkout)
    assert message in fault and message in (checkout / CARD).read_text()


def test_the_steps_are_those_that_were_measured(checkout):
    def in_twenty_steps(document):
        del document["rows"]["solvers"]  # has nothing of its own to be held against
        return {**document, "settings": {**document["settings"], "steps": 20}}

    change(checkout, in_twenty_steps)
    write(checkout)
    assert faults(checkout) == []
    card = (checkout / CARD).read_text()
    assert "Sampled in 20 steps where nothing else is said." in card and "| sampling | DDIMScheduler, 50 steps" in card


def test_texts_that_are_not_written_and_missing_measurements_are_named(checkout):
    shutil.copy(ROOT / TEMPLATE, checkout / TEMPLATE)
    if "$training" in (checkout / TEMPLATE).read_text():
        with pytest.raises(ValueError, match=r"placeholders that nothing fills: \$training, \$limits"):
            faults(checkout)
    (checkout / TEMPLATE).write_text("$measurements $nonsense")
    with pytest.raises(ValueError, match=r"nothing fills: \$nonsense"):
        faults(checkout)
    (checkout / MEASUREMENTS).unlink()
    with pytest.raises(ValueError, match="write it with scripts"):
        faults(checkout)


def test_without_model_and_measurements_there_is_nothing_to_check(tmp_path):
    assert faults(tmp_path) == []


def test_the_card_of_this_checkout_is_up_to_date():
    assert faults(ROOT) == []
