import json

import numpy as np
import pytest
import tifffile
from PIL import Image

RECIPE = ("--recipe", "gaussian_noise(sigma_255=20)")


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_a_folder_is_degraded_and_mirrored(call, folder, tmp_path):
    result = call("degrade", folder, tmp_path / "out", *RECIPE, "-r")
    assert result.exit_code == 0, result.stderr
    assert {path.name for path in (tmp_path / "out").rglob("*.*")} == {"a.png", "b.jpg", "c.tif"}
    difference = pixels(tmp_path / "out" / "a.png").astype(float) - pixels(folder / "a.png")
    assert 10 < difference.std() < 30


def test_neither_order_nor_neighbours_nor_name_change_a_result(call, folder, picture, tmp_path):
    call("degrade", folder, tmp_path / "out", *RECIPE)
    picture(folder / "0.png", seed=9)
    call("degrade", folder, tmp_path / "more", *RECIPE)
    call("degrade", folder / "a.png", tmp_path / "alone.png", *RECIPE)
    one, two, three = (pixels(tmp_path / name) for name in ("out/a.png", "more/a.png", "alone.png"))
    assert np.array_equal(one, two) and np.array_equal(one, three)
    other = pixels(tmp_path / "more" / "0.png").astype(int) - pixels(folder / "0.png")
    assert not np.array_equal(one.astype(int) - pixels(folder / "a.png"), other)


def test_another_seed_is_another_result(call, folder, tmp_path):
    for seed in (0, 1):
        call("degrade", folder / "a.png", tmp_path / f"{seed}.png", *RECIPE, "--seed", seed)
    assert not np.array_equal(pixels(tmp_path / "0.png"), pixels(tmp_path / "1.png"))


def test_alpha_stays(call, picture, tmp_path):
    source = picture(tmp_path / "in.png", mode="RGBA")
    assert call("degrade", source, tmp_path / "out.png", *RECIPE).exit_code == 0
    assert np.array_equal(pixels(tmp_path / "out.png")[..., 3], pixels(source)[..., 3])


def test_hidden_colours_change_nothing_that_is_seen(call, tmp_path):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (20, 24, 4), np.uint8)
    values[..., 3] = np.where(rng.random((20, 24)) < 0.3, 0, 255)
    results = []
    for hidden in (0, 255):
        values[values[..., 3] == 0, :3] = hidden
        Image.fromarray(values).save(tmp_path / f"{hidden}.png")
        assert call("degrade", tmp_path / f"{hidden}.png", tmp_path / f"out{hidden}.png", *RECIPE).exit_code == 0
        results.append(pixels(tmp_path / f"out{hidden}.png"))
    is_visible = values[..., 3] > 0
    np.testing.assert_array_equal(results[0][is_visible], results[1][is_visible])


def test_floats_a_hair_outside_are_clipped_where_asked(call, tmp_path):
    values = np.full((8, 8, 3), 0.5, np.float32)
    values[1, 2] = 1.0001
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    refused = call("degrade", tmp_path / "a.tif", tmp_path / "b.tif", *RECIPE)
    assert refused.exit_code == 1 and "clip them: --clip of restore, degrade" in refused.stderr
    assert call("degrade", tmp_path / "a.tif", tmp_path / "b.tif", *RECIPE, "--clip").exit_code == 0


@pytest.mark.parametrize("option", [(), ("--dry-run",)])
def test_a_size_that_the_format_cannot_hold_fails_before_anything_is_done(call, picture, tmp_path, option):
    source = picture(tmp_path / "a.png", height=1, width=16_384)
    result = call("degrade", source, tmp_path / "b.webp", *RECIPE, *option)
    assert result.exit_code == 1
    assert "WEBP holds at most 16383 pixels a side" in result.stderr
    assert not (tmp_path / "b.webp").exists()


def test_alpha_that_the_format_cannot_hold_is_refused(call, picture, tmp_path):
    source = picture(tmp_path / "a.png", mode="RGBA")
    result = call("degrade", source, tmp_path / "b.jpg", *RECIPE)
    assert result.exit_code == 1 and "JPEG cannot hold the picture's alpha" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--recipe", "fogg"), "error: unknown degradation 'fogg'"),
        ((*RECIPE, "--severity", "2"), "--severity"),
        ((), "--recipe"),
    ],
)
def test_a_wrong_call_writes_nothing(call, folder, tmp_path, words, message):
    result = call("degrade", folder, tmp_path / "out", *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_failures_are_named_and_counted(call, folder, tmp_path):
    (folder / "a.png").write_bytes(b"")
    result = call("degrade", folder, tmp_path / "out", *RECIPE, "--json")
    assert result.exit_code == 1
    assert f"failed: {folder / 'a.png'}: the file is empty" in result.stderr
    statuses = {entry["input"]: entry["status"] for entry in json.loads(result.stdout)["results"]}
    assert statuses == {str(folder / "a.png"): "failed", str(folder / "b.jpg"): "done"}
