import dataclasses

import pytest

from ldrestore.errors import UnknownNameError
from ldrestore.metrics.catalog import METRICS, find_metric
from ldrestore.metrics.protocols import PROTOCOLS, find_protocol
from ldrestore.registry import resolve


def test_each_has_its_name_source_and_known_metrics():
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name
        assert protocol.source and protocol.summary
        for metric in protocol.metrics:
            find_metric(metric)


def test_those_that_papers_are_compared_by_are_there():
    wanted = {"promptir", "adair", "moce_ir", "instructir", "cdd11", "mperceiver", "unildiff", "osediff"}
    assert wanted | {"restormer_derain", "restormer_denoise", "super_resolution_x4"} <= PROTOCOLS.keys()
    assert PROTOCOLS["osediff"].colour == "y_limited"
    assert PROTOCOLS["unildiff"].colour == "y_full"
    assert PROTOCOLS["super_resolution_x4"].border == 4


def test_they_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        PROTOCOLS["uint8"].border = 4


def test_unknown_names_get_the_closest():
    with pytest.raises(UnknownNameError, match="did you mean 'osediff'"):
        find_protocol("oesdiff")
    with pytest.raises(UnknownNameError, match="did you mean 'lpips'"):
        find_metric("lipps")
    with pytest.raises(UnknownNameError, match="unknown metric 'foo:bar'"):
        find_metric("foo:bar")


def test_all_records_point_at_something():
    for name in [*METRICS, "piq:vif", "iqa:musiq"]:
        assert callable(resolve(find_metric(name).target))
