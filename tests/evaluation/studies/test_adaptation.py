import shutil

import pytest

from ldrestore.errors import InputError
from ldrestore.evaluation.studies.adaptation import (
    OLD,
    REAL,
    SYNTHETIC,
    AdaptationOptions,
    measure_adaptation,
    report_adaptation,
)
from ldrestore.images.inputs import to_photo
from tests.tiny_stable import tiny_stable

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers' own

OPTIONS = AdaptationOptions(set="builtin", crop=16, steps=1, new=("jpeg(quality=10)",), old=("rain",))


@pytest.fixture
def models(stable_folder, tmp_path):
    """The same model in two folders."""
    for name in ("before", "after"):
        shutil.copytree(stable_folder, tmp_path / name)
    return tmp_path / "before", tmp_path / "after"


@pytest.fixture
def data_root(tmp_path, scene):
    """One real pair under water."""
    for kind, picture in (("lq", scene[:20, :24] // 2), ("gt", scene[:20, :24])):
        folder = tmp_path / "data" / "underwater" / kind
        folder.mkdir(parents=True)
        to_photo(picture.copy()).save(folder / "fish.png")
    return tmp_path / "data"


def test_models_stand_side_by_side_whole_and_plain(models, call, data_root, distance):
    results = measure_adaptation(OPTIONS, call(*models, data_root=data_root))
    assert not results.failures
    names = [row.name for row in results.contestants]
    assert names == ["input", "before, without refinement", "before", "after, without refinement", "after"]
    assert [row.name for row in results.datasets] == ["jpeg(quality=10)", "rain", SYNTHETIC, REAL]
    text = report_adaptation(results)
    sections = {part.split("\n")[0]: part for part in text.split("## ")[1:]}
    assert list(sections) == [
        "Few-shot: new degradations",
        "What that costs: the old ones",
        "Zero-shot: under water",
        "What was measured",
    ]
    mean = next(row.mean for row in results.means if (row.contestant, row.dataset) == ("after", "rain"))
    assert f"{mean:.2f}" in sections["What that costs: the old ones"] and f"| {OLD} |" in text
    assert f"| {REAL} | 1 |" in text and f"| {SYNTHETIC} | 1 |" in text


def test_real_pairs_that_are_not_there_are_left_out_and_told(call, distance, monkeypatch):
    monkeypatch.setattr("ldrestore.evaluation.contestants.load_restorer", lambda *_, **__: tiny_stable())
    results = measure_adaptation(OPTIONS, call("ldrestore-tiny-stable"))
    assert REAL not in [row.name for row in results.datasets]
    assert any(note.startswith("underwater is left out") for note in results.notes)
    assert f"| {SYNTHETIC} | 1 |" in report_adaptation(results)


def test_models_are_needed(call):
    with pytest.raises(InputError, match="needs a --model, better two"):
        measure_adaptation(OPTIONS, call())
