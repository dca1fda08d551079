from stable_tables import stable_report

from tests.scripts.stable_rows import restoration, stable_document


def test_every_line_of_a_table_has_the_columns_of_its_head():
    width = None
    for line in stable_report(stable_document()).splitlines():
        width = None if not line.startswith("|") else width or line.count("|")
        assert width is None or line.count("|") == width, line


def test_the_ceiling_comes_first_and_all_sections_follow():
    text = stable_report(stable_document())
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings[:3] == ["# Measurements of tiny", "## The ceiling", "## Gates and targets"]
    assert headings[-1] == "## What was measured" and len(headings) == 9
    options = "--num-pictures 8 --crop 128 --severity 0.5 --steps 50 --seed 0 --dtype float32"
    assert f"measure_stable.py tiny --val KODAK24 --out docs/stable/measurements.json {options}`." in text
    assert "Computed on the CPU, x86_64; torch 2.15." in text
    assert "round trip of 8 clean pictures: **31.00 [30." in text and "at worst 30.00 dB" in text
    assert "1.50 M parameters (vae 1.000 M, drm 0.500 M)" in text and "out of a folder of 9" in text


def test_rows_say_how_many_pictures_and_what_each_part_adds():
    document = stable_document()
    document["rows"]["restoration"]["snow"] = restoration(distance=0.5)
    text = stable_report(document)
    assert "| snow | 8 | 20.00 [20.00, 20.00] |" in text and "| 0.400 | 0.300 | **0.500** | **no** |" in text
    assert "| rain | 8 | 24.00 [24.00, 24.00] | +1.00 [+1.00, +1.00] | +2.50 [+2.50, +2.50] |" in text
    assert "| DDIMScheduler, 50 steps, dB | DPM-Solver++, 15 steps, dB |" in text
    assert "| haze | 8 | 100 | 100 | 100 | 100.0 [100.0, 100.0] |" in text
    assert "Over all: 100.0 % [100.0, 100.0]." in text


def test_rows_of_several_environments_are_told_apart():
    document = stable_document()
    row = document["rows"]["clean"]["clean"]
    document["rows"]["clean"]["clean"] = {**row, "environment": {**row["environment"], "device": "a GPU"}}
    text = stable_report(document)
    assert "- clean: computed on a GPU, x86_64; torch 2.15." in text
    assert "- ceiling, predictor, restoration, prior, solvers: computed on the CPU, x86_64; torch 2.15." in text


def test_sections_that_were_not_measured_are_left_out():
    document = stable_document()
    document["rows"] = {}
    headings = [line for line in stable_report(document).splitlines() if line.startswith("##")]
    assert headings == ["## Gates and targets", "## What was measured"]
    document["rows"] = {"restoration": {"rain": restoration()}}
    text = stable_report(document)
    assert "| rain | 8 | – | – | +2.50 [+2.50, +2.50] |" in text and "## Solvers" not in text
