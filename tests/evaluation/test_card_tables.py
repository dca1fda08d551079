from dataclasses import replace
from pathlib import Path

from ldrestore.evaluation.card_tables import (
    card_tables,
    sizes_line,
    table_of_estimates,
    table_of_gains,
    table_of_model,
    worst_pictures,
)
from ldrestore.evaluation.results import OutputRow
from ldrestore.evaluation.summaries import summarised
from tests.evaluation.tiny_results import PSNR, output, results_of
from tests.model_results import model_results
from tests.tiny_results import tiny_results

NAMES = "abcdefghij"
FIGURES = {
    "rain": {name: (20.0, 25.0 + index / 10) for index, name in enumerate(NAMES)},
    "clean": {name: (60.0, 50.0) for name in NAMES},
    "jpeg": {"a": (20.0, 21.0), "b": (20.0, 18.0)},
}
SEEN = {"rain": {name: {"rain": 0.9, "snow": 0.1} if name < "i" else {"snow": 0.8, "rain": 0.2} for name in NAMES}}


def test_a_line_has_the_input_the_gain_its_verdict_and_the_worst_picture():
    results = model_results(FIGURES)
    lines = {
        line.split(" | ")[0].strip("| "): line
        for line in table_of_model(results, "default", results.metrics[0]).split("\n")
    }
    assert "20.00 [20.00, 20.00] | **25.45 [25.23, 25.67]** | +5.45 [+5.23, +5.67] | +5.00" in lines["rain"]
    assert ", worse |" in lines["clean"]
    assert ", tied | -2.00" in lines["jpeg"]
    assert worst_pictures(results, "default") == {"rain": "a", "clean": "a", "jpeg": "b"}


def test_estimates_count_how_often_the_damage_is_named():
    table = table_of_estimates(model_results(FIGURES, estimates=SEEN), "default")
    assert "| rain | 10 | 80 % | snow 20 % |" in table
    assert "| all | 10 | **80 %** |" in table
    assert table_of_estimates(model_results(FIGURES), "default") == ""


def test_a_card_names_protocol_pictures_and_notes():
    text = card_tables(model_results(FIGURES, estimates=SEEN, notes=("mind the gap",)), "default", heading="##")
    assert "Protocol uint8: colour rgb" in text and "Kodak24: 10" in text
    assert "## psnr" in text and "## What it sees" in text and "- mind the gap" in text


def against(*values: float, name: str) -> list[OutputRow]:
    return [output(name, "rain", f"{index}.png", psnr=value) for index, value in enumerate(values)]


def line_of(*rows: OutputRow, count: int) -> str:
    results = summarised(results_of(*rows, sizes={"rain": count}))
    return table_of_model(results, "model", PSNR).splitlines()[-1]


def test_another_contestant_stands_beside_with_the_number_of_its_pictures_where_that_differs() -> None:
    ours, theirs = against(25.0, 27.0, name="model"), against(24.0, name="peer")
    inputs = against(20.0, 20.0, name="input")
    assert line_of(*inputs, *ours, *theirs, count=2).endswith("| peer 24.00 on 1 pictures |")
    assert line_of(*inputs, *ours, *against(24.0, 24.5, name="peer"), count=2).endswith("| peer 24.25 |")
    assert line_of(*inputs, *ours, count=2).endswith("| – |")


def test_without_the_input_there_is_no_gain() -> None:
    assert line_of(*against(25.0, 27.0, name="model"), count=2) == "| rain | – | **26.00** | – | – | – |"


def test_a_capped_mean_is_called_so_on_a_card() -> None:
    line = line_of(*against(float("inf"), 40.0, name="input"), *against(30.0, 40.0, name="model"), count=2)
    assert line == "| rain | 50.00 (capped) | **35.00** | -15.00, tied | -30.00 | – |"


def test_a_model_without_a_figure_has_no_table() -> None:
    results = summarised(results_of(*against(20.0, name="input"), sizes={"rain": 1}))
    assert table_of_model(results, "model", PSNR) == ""
    assert "### psnr" not in card_tables(results, "model")


def test_gains_of_all_contestants_have_the_worst_picture_and_a_dash_where_there_is_none() -> None:
    rows = [*against(20.0, 20.0, name="input"), *against(25.0, 19.0, name="a"), *against(21.0, 23.0, name="b")]
    rows += [output("input", "haze", "0.png", psnr=20.0), output("b", "haze", "0.png", psnr=20.0)]
    results = summarised(results_of(*rows, sizes={"rain": 2, "haze": 1}))
    assert table_of_gains(results, PSNR).splitlines()[2:] == [
        "| a | +2.00, tied; at worst -1.00 | – |",
        "| b | +2.00, tied; at worst +1.00 | +0.00, tied; at worst +0.00 |",
    ]
    assert table_of_gains(summarised(results_of(*against(20.0, name="a"), sizes={"rain": 1})), PSNR) == ""


def test_shares_of_estimates_are_of_all_severities_together_and_the_commonest_mistakes_are_named() -> None:
    figures = {
        task: {f"{index}": (20.0, 25.0) for index in range(4)} for task in ("rain(severity=0.2)", "rain", "snow")
    }
    names = {"rain(severity=0.2)": "rsss", "rain": "rrhj", "snow": "ssss"}
    words = {"r": "rain", "s": "snow", "h": "haze", "j": "jpeg"}
    estimates = {
        task: {f"{index}": {words[letter]: 0.9} for index, letter in enumerate(letters)}
        for task, letters in names.items()
    }
    table = table_of_estimates(model_results(figures, estimates=estimates), "default").splitlines()
    assert table[2:] == [
        "| rain | 8 | 38 % | snow 38 %, haze 12 %, jpeg 12 % |",
        "| snow | 4 | 100 % | – |",
        "| all | 12 | **58 %** |  |",
    ]


def test_sizes_count_a_set_once_however_often_it_is_degraded() -> None:
    line = sizes_line(model_results(FIGURES))
    assert line.startswith("Pictures: Kodak24: 10. In brackets 95 % bootstrap intervals over scenes;")


def test_costs_stand_on_the_card_where_they_were_measured(tmp_path: Path) -> None:
    results = tiny_results(tmp_path, num_pictures=2, sigmas=(10,))
    text = card_tables(results, "bolder")
    assert "### Cost" in text and "| bolder | 14.2 | 0.40 | 3.20 | 21.5 | cpu, 1 threads |" in text
    assert "### Cost" not in card_tables(replace(results, costs=()), "bolder")
