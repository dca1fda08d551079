"""Adaptation with tiny networks: rows of every model, the table and the strip."""

from argparse import ArgumentTypeError, Namespace
from pathlib import Path

import measure_adaptation
import numpy as np
import pytest
from measure_adaptation import REAL, ModelPlace, command_line, measure, place_of, report, save_strip
from measured_rows import header_of
from measurement_file import MeasurementFile
from PIL import Image
from stable_exports import assemble, decoded

from ldrestore.guides.loading_quietly import without_progress_bar
from ldrestore.images.inputs import to_photo
from tests.tiny_stable import tiny_stable


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A saved pipeline: base, export and DRM at once."""
    folder = tmp_path_factory.mktemp("model")
    with without_progress_bar():
        tiny_stable().save_pretrained(folder)
    return folder


@pytest.fixture
def arguments(folder, tmp_path, scene, monkeypatch):
    """The command line, over one degradation of each kind."""
    monkeypatch.setattr(measure_adaptation, "MPERCEIVER_SET", ("rain",))
    monkeypatch.setattr(measure_adaptation, "FEW_SHOT", ("jpeg(quality=10)",))
    for kind, picture in (("lq", scene[:20, :24] // 2), ("gt", scene[:20, :24])):
        (tmp_path / "pairs" / kind).mkdir(parents=True)
        to_photo(picture.copy()).save(tmp_path / "pairs" / kind / "fish.png")
    return Namespace(
        folder=folder,
        underwater=tmp_path / "pairs",
        num_pictures=1,
        num_pairs=1,
        crop=16,
        steps=1,
        seed=0,
        device="cpu",
        out=tmp_path / "out",
    )


def test_models_are_measured_side_by_side(model, arguments):
    settings = {"crop": 16, "steps": 1, "seed": 0, "num_pairs": 1}
    file = MeasurementFile(arguments.out / "adaptation.json", header_of([], settings=settings))
    for name, drm in (("before", model), ("after", None)):
        pipeline = assemble(model, model, drm=drm)
        measure(file, name, pipeline, arguments, lambda images, gt: [0.5 for _ in images])
    rows = file.rows["jpeg(quality=10)"]
    assert list(rows) == ["before", "after"]
    assert rows["before"]["means"]["plain_psnr"] == rows["after"]["means"]["plain_psnr"]
    assert "refined_psnr" not in rows["after"]["means"]
    names, arguments.model = ["before", "after"], [place_of("before=a,b"), place_of("the new=a")]
    told = {"has_pairs": True, "has_strip": True, "command": command_line(arguments)}
    text = report(file.document(), names=names, **told)
    assert 'PICTURES --model before=EXPORT,DRM --model "the new=EXPORT" --base BASE --underwater UNDERWATER' in text
    degraded, plain = (rows["after"]["means"][f"{kind}_psnr"][0] for kind in ("input", "plain"))
    assert f"| jpeg(quality=10) | after | 1 | {degraded:.2f} / 0.500 | {plain:.2f} / 0.500 | – |" in text
    old = file.rows["rain"]["after"]["means"]
    assert f"| after | 1 | {old['input_psnr'][0]:.2f} | {old['plain_psnr'][0]:.2f} | – |" in text
    assert f"| {REAL} | before |" in text and "](underwater.jpg)" in text
    text = report(file.document(), names=["after"], has_pairs=False, has_strip=False, command="python")
    assert "before" not in text and REAL not in text
    text = report(file.document(), names=names, **told | {"has_strip": False})
    assert REAL in text and "underwater.jpg" not in text
    path = save_strip(assemble(model, model), arguments)
    with Image.open(path) as strip:
        assert strip.width == 24 and strip.height > 3 * 20


def test_other_pairs_are_measured_anew_but_not_in_another_environment(model, arguments, scene, monkeypatch):
    settings = {"crop": 16, "steps": 1, "seed": 0, "num_pairs": 1}
    file = MeasurementFile(arguments.out / "adaptation.json", header_of([], settings=settings))
    pipeline, distance = assemble(model, model), lambda images, gt: [0.5 for _ in images]
    measure(file, "before", pipeline, arguments, distance)
    first = file.row(REAL, "before")
    to_photo(scene[:20, :24] // 3).save(arguments.underwater / "lq" / "fish.png", overwrite=True)
    monkeypatch.setattr(measure_adaptation, "FEW_SHOT", ())
    measure(file, "before", pipeline, arguments, distance)
    second = file.row(REAL, "before")
    assert second["pairs"] != first["pairs"] and second["means"] != first["means"]
    second["pairs"], second["environment"] = "others", {**second["environment"], "device": "a GPU"}
    with pytest.raises(ValueError, match="of another environment"):
        measure(file, "before", pipeline, arguments, distance)


def test_a_sample_is_decoded_twice(model, scene):
    from stable_exports import Sampling

    pipeline, lq = assemble(model, model, drm=model), scene[:16, :16].copy()
    found = decoded(pipeline, lq, Sampling(steps=3, seed=2))
    options = {"num_inference_steps": 3, "seed": 2, "tile": "off"}
    assert np.array_equal(found["plain"], pipeline(lq, refine=False, **options).photos[0].pixels)
    assert np.array_equal(found["refined"], pipeline(lq, **options).photos[0].pixels)


def test_models_are_named_with_their_places():
    assert place_of("new rows=a/b,c") == ModelPlace(name="new rows", export=Path("a/b"), drm=Path("c"))
    assert place_of("before=a").drm is None
    for text in ("a/b", "=a", "a=", "a=b,c,d"):
        with pytest.raises(ArgumentTypeError, match="expected NAME=EXPORT"):
            place_of(text)
