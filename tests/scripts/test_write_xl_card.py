import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from write_xl_card import (
    CARD,
    EXPERTS,
    MEASUREMENTS,
    MODEL,
    ROOT,
    TEMPLATE,
    faults,
    keep,
    read_embedded_xl,
    read_measured,
    render,
)

from ldrestore.errors import InputError
from ldrestore.evaluation.contestants import hash_of_model
from ldrestore.evaluation.results import Results, write_results
from ldrestore.evaluation.studies.xl_parts import TOLD
from ldrestore.guides.loading_quietly import without_progress_bar
from tests.model_results import model_results
from tests.tiny_xl_pipeline import tiny_xl

AGAIN = "is not up to date; run python scripts/write_xl_card.py"
RUN = {
    "run": "tiny_fusion_cpu",
    "trainer": "fusion",
    "stages": [
        {"steps": 1000, "batch_size": 16, "patch_size": 64},
        {"steps": 800, "batch_size": 6, "patch_size": 128},
    ],
    "learning_rate": 0.0004,
    "minutes": 31,
}
CHOICES = {"rows": {"rain": {"counts": {"level 0": [2, 0]}}}}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A checkout with a tiny model, and what is known of that."""
    root = tmp_path_factory.mktemp("checkout")
    with without_progress_bar():
        tiny_xl().save_pretrained(root / MODEL)
    (root / MODEL / "ldrestore.json").write_text(json.dumps({"runs": [RUN]}))
    return root, read_embedded_xl(root)


@pytest.fixture
def checkout(tmp_path: Path, embedded: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with the model, made-up measurements of it, the template, and the card."""
    root, facts = embedded
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr("write_xl_card.read_embedded_xl", lambda root: facts)  # loading takes long
    (tmp_path / TEMPLATE).parent.mkdir()
    shutil.copy(ROOT / TEMPLATE, tmp_path / TEMPLATE)
    write_results(measured(tmp_path), tmp_path / MEASUREMENTS)
    (tmp_path / EXPERTS).write_text(json.dumps(CHOICES))
    write(tmp_path)
    return tmp_path


def measured(root: Path, *, psnr: float = 25.0) -> Results:
    """Results of the checkout's model."""
    figures = {"rain": {"a": (20.0, psnr), "b": (21.0, 24.0)}}
    results = model_results(figures, model="tiny", identity=hash_of_model(str(root / MODEL)))
    untouched, model = results.contestants
    model = replace(model, options={"num_inference_steps": 20})
    return replace(results, contestants=[untouched, model, replace(model, name=TOLD)])


def write(root: Path) -> None:
    """What the script writes."""
    for path, text in render(root).items():
        (root / path).write_text(text, encoding="utf-8")


def test_what_was_just_written_is_up_to_date_and_tells_what_is_known(checkout: Path) -> None:
    assert faults(checkout) == []
    card = (checkout / CARD).read_text()
    assert "Without texts: better than degraded in psnr on 1 of 1 tasks (rain)." in card
    assert "| tiny_fusion_cpu | fusion | 1000 of 16, 64 px; 800 of 6, 128 px | 0.0004 | 31 |" in card
    assert "Scheduler, 20 steps where nothing else is said" in card and "$" not in card
    assert "| rain | 2 | 20.50 | 24.50 |" in card and "No picture goes through level 0: 1." in card
    tables = (checkout / MEASUREMENTS).with_suffix(".md").read_text()
    assert tables.startswith("# What the parts of tiny are worth")


def test_other_figures_or_a_changed_card_are_found(checkout: Path) -> None:
    write_results(measured(checkout, psnr=35.0), checkout / MEASUREMENTS)
    assert faults(checkout) == [f"{CARD} {AGAIN}", f"{MEASUREMENTS.with_suffix('.md')} {AGAIN}"]
    write(checkout)
    (checkout / CARD).write_text("better than everything")
    assert faults(checkout) == [f"{CARD} {AGAIN}"]


def test_measurements_of_another_model_are_called_so(checkout: Path) -> None:
    path = checkout / MODEL / "daem/diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes() + b" ")
    write(checkout)
    (fault,) = faults(checkout)
    assert "are of another model" in fault and fault in (checkout / CARD).read_text()


def test_figures_of_a_study_are_kept_with_its_experts_and_without_pictures(checkout: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_results(measured(checkout, psnr=30.0), out / "results.json")
    (out / "xl-parts.json").write_text(json.dumps({"rows": {"haze": {"counts": {"level 0": [1, 1]}}}}))
    keep(checkout, out)
    found = read_measured(checkout)
    assert found.choices == {"haze": {"counts": {"level 0": [1, 1]}}}
    assert not found.results.outputs and found.results.means
    write(checkout)
    assert "No expert is idle." in (checkout / CARD).read_text()


def test_missing_measurements_and_texts_are_named(checkout: Path) -> None:
    (checkout / TEMPLATE).write_text("$measurements $nonsense")
    with pytest.raises(ValueError, match=r"nothing fills: \$nonsense"):
        faults(checkout)
    (checkout / MEASUREMENTS).unlink()
    with pytest.raises(InputError, match="no results at"):
        faults(checkout)


def test_without_model_and_measurements_there_is_nothing_to_check(tmp_path: Path) -> None:
    assert faults(tmp_path) == []


def test_the_card_of_this_checkout_is_up_to_date() -> None:
    assert faults(ROOT) == []
