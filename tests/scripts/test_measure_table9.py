"""Table 9 with tiny networks: exports of every row but one are put together, measured, and told."""

from argparse import Namespace

import measure_table9
import numpy as np
import pytest
import torch
from measure_table9 import ROWS, command_line, measure, pipeline_of, table
from measured_rows import header_of
from measurement_file import MeasurementFile

from ldrestore.adapters.injection import InjectionLayers
from ldrestore.adapters.ir_adapter import IRAdapter
from ldrestore.datasets.pictures import list_pictures
from ldrestore.estimators.degradation_predictor import DegradationPredictor
from ldrestore.prompts.cm_adapter import CMAdapter
from ldrestore.prompts.textual_prompts import TextualPromptPool
from tests.adapters.conftest import randomize
from tests.tiny_autoencoder import make_drm, trained
from tests.tiny_stable import tiny_base, tiny_tower

NAMES = ("haze", "rain")
MISSING = "both_no_text_pool"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A base, a predictor, the exports of all rows but one, and a DRM, as runs would leave them."""
    root, base = tmp_path_factory.mktemp("runs"), tiny_base()
    for name, part in (base | {"image_encoder": tiny_tower()}).items():
        part.save_pretrained(root / "base" / name)
    torch.manual_seed(1)
    sizes = {"channels": (8, 16), "num_res_blocks": 1, "attention_levels": (0,), "num_heads": 2, "out_channels": 8}
    prompts = {"prompt_dim": 6, "num_prompt_heads": 2, "prompt_head_dim": 4, "num_groups": 4}
    predictor = DegradationPredictor(NAMES, embedding_dim=6, hidden_dim=8)
    predictor.save_pretrained(root / "predictor/predictor")
    for row in ROWS.values():
        if row.run in (None, MISSING):
            continue
        parts = {
            "cm_adapter": CMAdapter(NAMES, embedding_dim=6, text_dim=8, num_tokens=3, num_heads=2),
            "textual_prompts": TextualPromptPool(NAMES, num_tokens=2, text_dim=8),
            "ir_adapter": IRAdapter(NAMES, **sizes, **prompts, num_prompts=3 if row.has_prompts else 0),
            "injection": InjectionLayers.for_unet(base["unet"], feature_channels=8),
        }
        for name in row.parts:
            randomize(parts[name]).save_pretrained(root / "rows" / row.run / "export" / name)
        predictor.save_pretrained(root / "rows" / row.run / "export/predictor")
    trained(make_drm(degradations=NAMES)).save_pretrained(root / "drm/drm")
    return root


@pytest.fixture
def arguments(runs, folder, tmp_path, monkeypatch):
    """The command line, over one degradation."""
    monkeypatch.setattr(measure_table9, "MPERCEIVER_SET", ("rain",))
    monkeypatch.setattr(measure_table9, "PAPERS_THREE", ("rain",))
    return Namespace(
        folder=folder,
        base=runs / "base",
        predictor=runs / "predictor",
        rows=runs / "rows",
        drm=runs / "drm",
        num_pictures=1,
        crop=16,
        steps=2,
        strength=0.5,
        seed=0,
        device="cpu",
        out=tmp_path,
    )


def distances(images, gt):
    return [float(np.abs(image.astype(float) - gt).mean()) for image in images]


def new_file(arguments):
    settings = {name: getattr(arguments, name) for name in ("crop", "steps", "seed")}
    header = header_of(list_pictures([arguments.folder])[:1], settings=settings)
    return MeasurementFile(arguments.out / "ablations.json", header)


def test_every_row_is_measured_and_a_missing_one_is_told(arguments, capsys):
    file = new_file(arguments)
    names = measure(file, arguments, distance=distances)
    assert f"{MISSING}: left out, no export of the run {MISSING}" in capsys.readouterr().out
    assert list(file.rows) == [name for name in ROWS if name != MISSING]
    values = [rows["rain"]["means"] for rows in file.rows.values()]
    assert len({str(value) for value in values}) == len(values)
    assert len({value["input_psnr"][0] for value in values}) == 1
    assert [name for name, rows in file.rows.items() if rows["rain"]["strength"] == 0.5] == list(ROWS)[:3]
    assert "refined_psnr" in file.rows["full"]["rain"]["means"]
    assert file.rows["full"]["rain"]["means"]["plain_psnr"] == file.rows["both"]["rain"]["means"]["plain_psnr"]
    text = table(file.document(), names=names, command=command_line(arguments))
    folders = "PICTURES --base BASE --predictor PREDICTOR --rows RUNS --drm DRM --out OUT"
    python = f"OMP_NUM_THREADS={torch.get_num_threads()} python"
    assert f"`{python} scripts/measure_table9.py {folders} --num-pictures 1 --crop 16 --steps 2 --strength 0.5" in text
    refined = file.rows["full"]["rain"]["means"]["refined_psnr"][0]
    assert f"| + both + DRM | noise | {refined:.2f} |" in text
    assert "| + both without the textual pool | | not measured | | | 25.20 |" in text
    assert "| bare prior | the picture, strength 0.5 |" in text


def test_rows_of_another_strength_alone_are_measured_anew(arguments, monkeypatch):
    file, arguments.rows = new_file(arguments), arguments.out
    measure(file, arguments, distance=distances)
    first = file.row("bare", "rain")
    with monkeypatch.context() as patched:
        patched.setattr("measure_table9.measure_of", lambda *_, **__: lambda pair: pytest.fail("measured again"))
        measure(new_file(arguments), arguments, distance=distances)
    arguments.strength = 1.0
    measure(file, arguments, distance=distances)
    assert list(file.rows) == ["bare"] and file.row("bare", "rain")["means"] != first["means"]


def test_rows_whose_run_is_gone_are_not_told(arguments, tmp_path, capsys):
    file = new_file(arguments)
    measure(file, arguments, distance=distances)
    arguments.rows, arguments.drm = tmp_path, None
    names = measure(file, arguments, distance=distances)
    assert names == ["bare"] and "full" in file.rows
    assert "rows that were measured of it earlier are not told" in capsys.readouterr().out
    text = table(file.document(), names=names, command="python")
    assert "| + both + DRM | | not measured |" in text and "| bare prior | the picture" in text


def test_half_measured_rows_are_not_told(arguments):
    file = new_file(arguments)
    names = measure(file, arguments, distance=distances)
    document = file.document()
    document["rows"]["text"]["rain"]["names"] = []
    assert "| + text | | not measured |" in table(document, names=names, command="python")


def test_a_run_of_another_row_is_refused(arguments, runs, tmp_path):
    (tmp_path / "visual").symlink_to(runs / "rows/visual_no_pool")
    arguments.rows = tmp_path
    with pytest.raises(ValueError, match=r"visual pools: False; the row '\+ visual' is of .* visual pools: True"):
        pipeline_of(ROWS["visual"], arguments)
