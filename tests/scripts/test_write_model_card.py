import json
import shutil

import pytest
from write_model_card import BEGIN, END, MODEL, ROOT, TEMPLATE, WEIGHTS, faults, render, with_section

from ldrestore.weights.hashes import hash_of_file


@pytest.fixture
def checkout(tmp_path, document):
    """A checkout with what a card is made from, and with the card."""
    (tmp_path / WEIGHTS).parent.mkdir(parents=True)
    (tmp_path / WEIGHTS).write_bytes(b"weights")
    (tmp_path / TEMPLATE).parent.mkdir()
    shutil.copy(ROOT / TEMPLATE, tmp_path / TEMPLATE)
    (tmp_path / "docs" / "default_model").mkdir(parents=True)
    document["model"]["file_sha256"] = hash_of_file(tmp_path / WEIGHTS)
    (tmp_path / "docs" / "default_model" / "measurements.json").write_text(json.dumps(document))
    (tmp_path / "README.md").write_text(f"# Title\n\n{BEGIN}old\n{END}\nThe end\n")
    write(tmp_path)
    return tmp_path


def write(root):
    for path, text in render(root).items():
        (root / path).write_text(text, encoding="utf-8")


def test_what_was_just_written_is_up_to_date(checkout):
    assert faults(checkout) == []


def test_the_card_holds_facts_tables_and_what_is_hand_written(checkout):
    card = (checkout / MODEL / "README.md").read_text()
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert "1,234,567" in card and "2.5 MB" in card and "gaussian_noise, poisson_noise" in card
    assert "| haze | 14.50 [14.00, 15.00] |" in card
    assert "## Limits" in card and "## Data" in card and "$" not in card


def test_a_folder_that_is_embedded_anew_gets_its_card_back(checkout):
    card = (checkout / MODEL / "README.md").read_text()
    shutil.rmtree(checkout / MODEL)
    (checkout / WEIGHTS).parent.mkdir(parents=True)
    (checkout / WEIGHTS).write_bytes(b"weights")
    assert faults(checkout) == [f"{MODEL / 'README.md'} is not up to date; run python scripts/write_model_card.py"]
    write(checkout)
    assert (checkout / MODEL / "README.md").read_text() == card


def test_measurements_of_other_weights_are_called_so(checkout):
    (checkout / WEIGHTS).write_bytes(b"other weights")
    assert "are of other weights" in faults(checkout)[0]
    write(checkout)
    assert "**These measurements are of other weights" in (checkout / MODEL / "README.md").read_text()
    assert len(faults(checkout)) == 1  # all is written, and still to be measured


def test_only_the_marked_section_of_the_readme_changes(checkout):
    readme = (checkout / "README.md").read_text()
    assert readme.startswith(f"# Title\n\n{BEGIN}") and readme.endswith(f"{END}\nThe end\n")
    assert "old" not in readme.split()
    (checkout / "README.md").write_text(readme.replace("The end", "Another end"))
    assert faults(checkout) == []
    (checkout / "README.md").write_text(readme.replace("14.50", "41.50"))
    assert len(faults(checkout)) == 1


@pytest.mark.parametrize("text", ["nothing", f"{END}{BEGIN}", BEGIN, f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_readme_without_the_markers_is_refused(text):
    with pytest.raises(ValueError, match="must hold the lines <!-- measurements: begin --> and"):
        with_section(text, "new")


def test_measurements_of_an_older_form_are_refused(checkout):
    (checkout / "docs" / "default_model" / "measurements.json").write_text('{"protocol": "uint8", "rows": []}')
    with pytest.raises(ValueError, match="measure again"):
        render(checkout)


def test_the_card_and_tables_of_this_checkout_are_up_to_date():
    assert faults(ROOT) == []
