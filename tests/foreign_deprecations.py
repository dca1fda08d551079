"""A plugin of pytest: deprecations that other packages announce are summed up at the end, and fail no test.

Who announces a deprecation is who calls `warnings.warn`, not the line that the warning is attributed to, which is often
ours. What extension modules and the interpreter announce comes from nobody of ours either. The filters of
pyproject.toml let deprecations pass, and this plugin stops those of ours. With `-W error` every warning is an error.
Where pytest-xdist divides the tests among processes, each of them counts, and the first one sums up.
"""

import sys
import sysconfig
import warnings
from collections import Counter
from pathlib import Path

import pytest

DEPRECATIONS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
"""Categories of what will change."""
WORD = "deprecat"
"""What the message of any other category has, where it announces the same."""
EXTENSION = "Python or an extension module"
"""Who announces what no file does."""

STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()


def pytest_configure(config):
    if "error" in (config.getoption("pythonwarnings") or ()):
        return
    config.option.disable_warnings = True  # the summary takes the place of pytest's own
    warn, warnings.warn = warnings.warn, Announcements(warnings.warn, config.rootpath)
    config.add_cleanup(lambda: setattr(warnings, "warn", warn))
    if hasattr(config, "workerinput"):
        summary = CountsOfOneProcess(config)
    elif config.getoption("dist", "no") != "no":
        summary = SummaryOfProcesses()
    else:
        summary = Summary(config.rootpath)
    config.pluginmanager.register(summary, "summary of foreign deprecations")


def package_of(filename, root):
    """Which package a file belongs to; None if it is one of ours, below `root`."""
    path = Path(filename).resolve()
    if "site-packages" in path.parts:
        return path.parts[path.parts.index("site-packages") + 1].removesuffix(".py")
    if path.is_relative_to(root):
        return None
    return "Python" if path.is_relative_to(STANDARD_LIBRARY) else path.stem


def is_deprecation(category, message):
    """Whether a warning announces a change."""
    return issubclass(category, DEPRECATIONS) or WORD in str(message).lower()


def is_let_pass(category, message):
    """Whether it is the filters of pyproject.toml that decide about a warning, not those of a test."""
    for action, pattern, kind, *_ in warnings.filters:
        if issubclass(category, kind) and (pattern is None or pattern.match(str(message))):
            return action == "default"
    return True


class Announcements:
    """Stands in for `warnings.warn`: remembers who announces, and lets nothing of ours pass."""

    def __init__(self, warn, root):
        self.warn, self.root = warn, root

    def __call__(self, message, category=None, stacklevel=1, source=None, **options):
        category = type(message) if isinstance(message, Warning) else category or UserWarning
        if is_deprecation(category, message):
            warning = message if isinstance(message, Warning) else category(message)
            package = package_of(sys._getframe(1).f_code.co_filename, self.root)
            if package is None and is_let_pass(category, message):
                raise warning
            warning.announcing_package = package
            message = warning
        self.warn(message, category, stacklevel + 1, source, **options)


class Counts:
    """Counts what was announced in this process."""

    def __init__(self, root):
        self.root, self.counts = root, Counter()

    def pytest_warning_recorded(self, warning_message):
        warning = warning_message.message
        package = getattr(warning, "announcing_package", None) or package_of(warning_message.filename, self.root)
        self.counts[package or EXTENSION, " ".join(str(warning).split())] += 1


class Summary(Counts):
    """Shows after the last test what this process counted."""

    def pytest_terminal_summary(self, terminalreporter):
        show(self.counts, terminalreporter)


class CountsOfOneProcess(Counts):
    """Hands what one of several processes counted to the first one."""

    def __init__(self, config):
        super().__init__(config.rootpath)
        self.handed_over = config.workeroutput

    def pytest_sessionfinish(self):
        self.handed_over["deprecations"] = [(*announcement, count) for announcement, count in self.counts.items()]


class SummaryOfProcesses:
    """Shows after the last test what all processes counted; warnings that arrive one by one lack who announces them."""

    def __init__(self):
        self.counts = Counter()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node):
        for package, message, count in getattr(node, "workeroutput", {}).get("deprecations", ()):
            self.counts[package, message] += count

    def pytest_terminal_summary(self, terminalreporter):
        show(self.counts, terminalreporter)


def show(counts, terminalreporter):
    """One line an announcement, with who makes it and how often."""
    if not counts:
        return
    terminalreporter.section("deprecations that other packages announce")
    for (package, message), count in sorted(counts.items()):
        terminalreporter.line(f"{package} ({count} {'time' if count == 1 else 'times'}): {message}")
