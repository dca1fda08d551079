from bounds import judge
from measurement_tables import all_tables, summary, table_of_confusions, table_of_verdicts


def test_every_line_of_a_table_has_the_columns_of_its_head(document):
    text = all_tables(document) + table_of_confusions(document)
    width = None
    for line in text.splitlines():
        width = None if not line.startswith("|") else width or line.count("|")
        assert width is None or line.count("|") == width, line


def test_means_come_with_intervals_and_peers_stand_beside_them(document):
    text = all_tables(document)
    assert (
        "| haze | 14.50 [14.00, 15.00] | **19.50 [19.00, 20.00]** | +4.00 | dark channel 19.25 [19.00, 19.50] |" in text
    )
    assert "| mid6/rain_noise_blur | 16.00 [16.00, 16.00] |" in text
    assert "1.20 s a megapixel on 2 CPU threads" in text


def test_sections_that_were_not_measured_are_left_out(document):
    document["rows"] = {"clean": document["rows"]["clean"]}
    text = all_tables(document)
    assert "Mixtures" not in text and "Beside CBM3D" not in text and "Time and memory" not in text
    assert table_of_confusions(document) == ""
    assert "| clean |" in summary(document)


def test_verdicts_are_written_in_words(document):
    lines = table_of_verdicts(judge(document)).splitlines()
    assert "| rain | +1.50 [+1.00, +2.00] to 24.50 dB | ≥ +3 dB | **missed** | ≥ +6 dB | **missed** |" in lines
    assert any(line.startswith("| snow | not measured |") and line.count("| – |") == 2 for line in lines)
    assert "bounds hold" in summary(document)


def test_confusions_are_percent_of_all_severities(document):
    document["rows"]["estimate"] = {"rain": document["rows"]["estimate"]["rain"]}
    assert table_of_confusions(document).splitlines() == [
        "| true \\ estimated | rain | snow |",
        "|---|---|---|",
        "| rain | 75 | 25 |",
    ]
