import re
from importlib.resources import files


def test_no_media_query_is_for_what_gradio_lays_its_rules_within():
    style = files("ldrestore.serving").joinpath("style.css").read_text()
    queries = re.findall(r"@media[^{]*\{((?:[^{}]*\{[^{}]*\})*)\s*\}", style)
    assert len(queries) == style.count("@media") == 2
    # gradio writes ".gradio-container .contain" before each selector in them and keeps none as it was
    assert not [query for query in queries if "gradio-container" in query or ":root" in query]
