from ldrestore.evaluation.card_tables import card_tables, table_of_estimates, table_of_model, worst_pictures
from tests.model_results import model_results

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
