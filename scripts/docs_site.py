"""What the docs as a site need beyond their pages; mkdocs calls it while `make docs` runs.

Pages that lie elsewhere in the repository are taken in, links to them are turned, and the packages are laid out as in a
wheel, for the reference.
"""

import posixpath
import re
import shutil
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from syntax_trees import PACKAGES, ROOT

PAGES = {
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "ldrestore/assets/default/README.md": "cards/default.md",
    "ldrestore/assets/default_fast/README.md": "cards/default_fast.md",
    "ldrestore/assets/ldrestore_tiny_stable/README.md": "cards/ldrestore_tiny_stable.md",
    "ldrestore/assets/ldrestore_tiny_xl/README.md": "cards/ldrestore_tiny_xl.md",
}
"""File of the repository to page of the site."""

LAYOUT = Path("build", "reference")
"""Where the packages are laid out as in a wheel; mkdocs.yml names it, too."""

_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)#\s]+)(#[^)\s]*)?(?=\))")
"""The target of a link, without its anchor, and that; addresses and links within a page left out."""


def on_startup(command: str, dirty: bool) -> None:
    """Lay out the packages, for the reference reads their source."""
    shutil.rmtree(ROOT / LAYOUT, ignore_errors=True)
    for package, folder in sorted(PACKAGES.items()):
        shutil.copytree(
            ROOT / folder,
            ROOT / LAYOUT / Path(*package.split(".")),
            ignore=shutil.ignore_patterns("__pycache__", "assets", ".*"),
            dirs_exist_ok=True,
        )


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Take the pages in that lie elsewhere."""
    for path, page in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / path).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links so that they lead from page to page."""
    return turned(markdown, page.file.src_uri)


def turned(markdown: str, page: str) -> str:
    """A page with its links as they are in the site.

    Args:
        markdown: Whose links lead from file to file of the repository.
        page: Name in the site, such as "cards/default.md".

    Returns:
        The same, but links to pages lead there, and those to other files of the repository are code.
    """
    source = {place: path for path, place in PAGES.items()}.get(page, f"docs/{page}")
    folder = posixpath.dirname(source)

    def target(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[1]))
        place = PAGES.get(path, path.removeprefix("docs/") if path.startswith("docs/") else None)
        if place is None:
            return match[0]
        return posixpath.relpath(place, posixpath.dirname(page) or ".") + (match[2] or "")

    turned_links = _LINK.sub(target, markdown)
    return re.sub(r"(?<!!)\[([^\]]+)\]\((?![a-z]+:|#|/)([^)\s]+)\)", lambda match: _plain(match, page), turned_links)


def _plain(match: re.Match[str], page: str) -> str:
    """A link as it is, or its words alone where it leads out of the site."""
    place = posixpath.normpath(posixpath.join(posixpath.dirname(page), match[2].partition("#")[0]))
    return match[1] if PurePosixPath(place).parts[:1] == ("..",) else match[0]
