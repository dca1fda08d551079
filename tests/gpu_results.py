"""A plugin of pytest: `--gpu-results FILE` writes what the tests marked `gpu` showed, and on which device."""

import json
from pathlib import Path

import pytest

PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "xformers")


def pytest_addoption(parser):
    parser.addoption("--gpu-results", metavar="FILE", help="write the outcomes of tests that need a GPU as JSON")


def pytest_configure(config):
    path = config.getoption("--gpu-results")
    if path is not None:
        config.pluginmanager.register(GpuResults(Path(path)), "results of GPU tests")


def device_facts():
    """Device and versions; the device is None where there is none."""
    import importlib.metadata

    import torch

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"device": device, "cuda": torch.version.cuda, "versions": versions}


class GpuResults:
    """Collects one line a test, and writes all at the end."""

    def __init__(self, path):
        self.path, self.tests = path, {}

    def pytest_collection_modifyitems(self, items):
        for item in items:
            if item.get_closest_marker("gpu"):
                self.tests[item.nodeid] = {"outcome": "not run"}

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report):
        if report.nodeid not in self.tests or (report.when != "call" and report.passed):
            return
        entry = {"outcome": report.outcome, "seconds": round(report.duration, 2), **dict(report.user_properties)}
        if report.failed:
            entry["reason"] = str(report.longrepr).strip().splitlines()[-1]
        elif report.skipped:
            entry["reason"] = str(report.longrepr[-1])
        self.tests[report.nodeid] = entry

    def pytest_sessionfinish(self):
        results = {**device_facts(), "tests": dict(sorted(self.tests.items()))}
        self.path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
