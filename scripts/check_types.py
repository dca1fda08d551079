"""Check the types of the whole library and of the scripts with mypy, as strictly as pyproject.toml says.

    python scripts/check_types.py

prints one line for each fault and fails if there is one. What the checker is told to overlook is counted: each place
has the error's code and a reason, `# type: ignore[code]  # reason`. Both MOST_IGNORED and MOST_CASTS may only
shrink.
"""

import ast
import io
import re
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

from syntax_trees import PACKAGES, ROOT, Module, read_modules, read_scripts

LAYOUT = Path("build", "types")
"""Where the packages that lie beside `ldrestore` are laid out inside it, as in a wheel; pyproject.toml names it too."""

MOST_IGNORED = 9
"""How many faults the checker may be told to overlook."""

MOST_CASTS = 1
"""How often it may be told what a type is; `Any` that comes from elsewhere needs no cast."""

_IGNORE = re.compile(r"#\s*type:\s*ignore\b")
_WITH_REASON = re.compile(r"# type: ignore\[[a-z-]+(, [a-z-]+)*\]  # \S.*")


def ignores_of(text: str) -> Iterator[tuple[int, str]]:
    """Line and text of the comments in a source that tell a type checker to overlook something."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and _IGNORE.search(token.string):
            yield token.start[0], token.string


def casts_of(module: Module) -> int:
    """How many calls of `typing.cast` there are in a module."""
    calls = (node.func for node in ast.walk(module.tree) if isinstance(node, ast.Call))
    return sum(ast.unparse(function) in {"cast", "typing.cast"} for function in calls)


def check_overlooked(
    modules: list[Module], *, most_ignored: int = MOST_IGNORED, most_casts: int = MOST_CASTS
) -> list[str]:
    """What is wrong with what the checker is told, one line each.

    Args:
        modules: The library and the scripts, or a part of them.
        most_ignored: How many faults may be overlooked.
        most_casts: How many casts there may be.
    """
    ignores = [(module.name, line, comment) for module in modules for line, comment in ignores_of(module.text)]
    faults = [
        f"{name}:{line}: {comment}: write `# type: ignore[code]  # reason`"
        for name, line, comment in ignores
        if not _WITH_REASON.fullmatch(comment)
    ]
    num_casts = sum(map(casts_of, modules))
    for count, most, what in ((len(ignores), most_ignored, "faults overlooked"), (num_casts, most_casts, "casts")):
        if count > most:
            faults.append(f"{count} {what}, at most {most}; give the checker types instead")
    return faults


def lay_out(root: Path = ROOT) -> None:
    """Copy what lies beside `ldrestore` to where a checker looks for it; links are not everybody's on Windows."""
    shutil.rmtree(root / LAYOUT, ignore_errors=True)
    for package, folder in PACKAGES.items():
        if package != folder:
            target = root / LAYOUT / Path(*package.split("."))
            shutil.copytree(root / folder, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))


def faults_found(lines: list[str]) -> list[str]:
    """The lines of mypy's report that name a fault, with the places of the checkout."""
    places = {
        f"{(LAYOUT / Path(*package.split('.'))).as_posix()}/": f"{folder}/"
        for package, folder in PACKAGES.items()
        if package != folder
    }
    faults = [line.replace("\\", "/") for line in lines if ": error:" in line]
    for laid_out, folder in places.items():
        faults = [line.replace(laid_out, folder, 1) if line.startswith(laid_out) else line for line in faults]
    return faults


def check_types(root: Path = ROOT) -> list[str]:
    """The faults that mypy finds, one line each; its settings are those of pyproject.toml.

    Raises:
        RuntimeError: mypy itself failed.
    """
    lay_out(root)
    packages = [argument for package in PACKAGES for argument in ("--package", package)]
    scripts = [argument for script in read_scripts(root) for argument in ("--module", script.name)]
    command = [sys.executable, "-m", "mypy", "--python-executable", sys.executable, "--no-error-summary"]
    command += [*packages, *scripts]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, encoding="utf-8", check=False)
    if result.returncode not in (0, 1) or result.stderr:
        raise RuntimeError(f"mypy ended with {result.returncode}: {result.stderr or result.stdout}")
    return faults_found(result.stdout.splitlines())


if __name__ == "__main__":
    faults = [*check_overlooked([*read_modules(), *read_scripts()]), *check_types()]
    print("\n".join(faults) or "types: no fault")
    sys.exit(bool(faults))
