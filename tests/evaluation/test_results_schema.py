import json

from syntax_trees import ROOT

from ldrestore.evaluation.results import ContestantRow, OutputRow, Results, document_of
from ldrestore.evaluation.results_schema import results_schema

KINDS = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "null": type(None)}


def fits(value, schema, root):
    """Whether a value fits a schema, for the words of JSON Schema that ours uses."""
    if "$ref" in schema:
        return fits(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema:
        return any(fits(value, part, root) for part in schema["anyOf"])
    if "const" in schema:
        return value == schema["const"]
    if "enum" in schema and value not in schema["enum"]:
        return False
    kind = schema.get("type")
    if kind == "array":
        return isinstance(value, list) and all(fits(item, schema["items"], root) for item in value)
    if kind == "object":
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        return (
            isinstance(value, dict)
            and set(schema.get("required", ())) <= value.keys()
            and all(fits(value[name], known[name], root) for name in value.keys() & known.keys())
            and (others is not False or value.keys() <= known.keys())
            and (not isinstance(others, dict) or all(fits(value[name], others, root) for name in value.keys() - known))
        )
    return kind is None or (isinstance(value, KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool)))


def test_the_published_schema_is_that_of_the_dataclasses():
    published = json.loads((ROOT / "docs" / "results.schema.json").read_text(encoding="utf-8"))
    assert published == results_schema()


def test_the_schema_takes_results_and_refuses_what_is_none():
    row = ContestantRow(name="a", kind="model", options={"seed": 1}, identity="x", num_seeds=1, licence=None)
    output = OutputRow(contestant="a", dataset="d", picture="p", scores={"psnr": float("inf"), "ssim": 1.0})
    results = Results(
        suite="x", summary="", ldrestore="0", protocol={}, environments={}, contestants=(row,), outputs=(output,)
    )
    schema, document = results_schema(), document_of(results)
    assert fits(document, schema, schema)
    assert document["outputs"][0]["scores"] == {"psnr": "inf", "ssim": 1.0}
    for wrong in ({"version": 2}, {"more": 1}, {"outputs": [{"picture": "a"}]}, {"notes": [1]}):
        assert not fits({**document, **wrong}, schema, schema)
