import numpy as np
import pytest

from ldrestore.errors import InputError
from ldrestore.explanations.fast_explanation import describe_model, usage_of
from ldrestore.explanations.usage_report import report_usage


def test_shares_count_the_pictures_of_each_expert(pipeline):
    model = describe_model(pipeline("moce_ir").regressor)
    rows = {"a": (0.6, 0.3, 0.1), "b": (0.1, 0.3, 0.6), "c": (0.5, 0.4, 0.1), "d": (0.2, 0.1, 0.7)}
    report = report_usage(model, {name: {"level3.block1": row} for name, row in rows.items()}, num_cut=1)
    assert report.shares()["level3.block1"].tolist() == [0.5, 0, 0.5]
    np.testing.assert_allclose(report.mean()["level3.block1"], [0.35, 0.275, 0.375])
    assert (report.pictures, report.num_cut) == (("a", "b", "c", "d"), 1)


def test_a_report_holds_what_each_picture_used(pipeline, photo):
    model = pipeline("datprl_ir")
    usages = {str(seed): usage_of(model, photo(seed)) for seed in range(2)}
    report = report_usage(describe_model(model.regressor), usages)
    assert {name: rows.shape for name, rows in report.usage.items()} == {"domain": (2, 4), "task": (2, 3)}
    assert report.usage["task"][1].tolist() == list(usages["1"]["task"])
    assert report.shares() == {}


def test_no_picture_and_no_pool_make_no_report(pipeline):
    model = describe_model(pipeline("moce_ir").regressor)
    with pytest.raises(InputError, match="no picture to report on"):
        report_usage(model, {})
    with pytest.raises(InputError, match="built without prompts and experts"):
        report_usage(model, {"a": {}})
