"""A plugin of pytest: deprecations that other packages announce are summed up at the end, and fail no test.

Who announces a deprecation is who calls `warnings.warn`, not the line that the warning is attributed to, which is often
ours. What extension modules and the interpreter announce comes from nobody of ours either. The filters of
pyproject.toml let deprecations pass, and this plugin stops those of ours. With `-W error` every warning is an error.
"""

import sys
import sysconfig
import warnings
from collections import Counter
from pathlib import Path

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
    config.pluginmanager.register(Summary(config.rootpath), "summary of foreign deprecations")


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


class Summary:
    """Counts what was announced, and shows it after the last test."""

    def __init__(self, root):
        self.root, self.counts = root, Counter()

    def pytest_warning_recorded(self, warning_message):
        warning = warning_message.message
        package = getattr(warning, "announcing_package", None) or package_of(warning_message.filename, self.root)
        self.counts[package or EXTENSION, " ".join(str(warning).split())] += 1

    def pytest_terminal_summary(self, terminalreporter):
        if not self.counts:
            return
        terminalreporter.section("deprecations that other packages announce")
        for (package, message), count in sorted(self.counts.items()):
            terminalreporter.line(f"{package} ({count} {'time' if count == 1 else 'times'}): {message}")
