"""The manual reads without a network, and is the same wherever it was made."""

import os
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.support.project import REPOSITORY
from tests.support.umask import umask

pytestmark = pytest.mark.integration

# What the manual is made of; nothing of the rest may decide what is in it.
SOURCES = (
    *("*.md", "LICENSE", "docs", "tests/corpus/*.*"),
    *("appliance/model/serving/*.py", "ansible/appliance_site/roles/*/README.md"),
)


def make(repository: Path, target: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "docs/build.py", str(target)]
    environment = {**os.environ, **variables}
    return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("made") / "manual"
    made = make(REPOSITORY, target)
    assert (made.returncode, made.stderr) == (0, "")
    return target


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """Another clone, as far as the manual needs it."""
    clone = tmp_path / "with space"
    for pattern in SOURCES:
        for path in REPOSITORY.glob(pattern):
            place = clone / path.relative_to(REPOSITORY)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(path, place) if path.is_dir() else shutil.copy(path, place)
    return clone


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Links(HTMLParser):
    """Where a page points to, what it loads, and what others can point to in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.loaded: set[str] = set()
        self.names: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.names |= {given["id"]} if "id" in given else set()
        if "src" in given or (tag == "link" and "href" in given):
            self.loaded.add(given.get("src") or given["href"])
        elif "href" in given:
            self.targets.add(given["href"])


def test_every_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(manual: Path) -> None:
    pages = {page: Links(page) for page in manual.rglob("*.html")}
    assert manual / "docs/site.html" in pages
    assert len(pages) > 50
    for page, links in pages.items():
        assert not [target for target in links.loaded if urlsplit(target).netloc], page
        for target in links.targets | links.loaded:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            place = Path(os.path.normpath(page.parent / unquote(parts.path))) if parts.path else page
            assert place.is_file(), f"{page}: {target}"
            assert not parts.fragment or place.suffix != ".html" or unquote(parts.fragment) in pages[place].names, (
                f"{page}: {target}"
            )


def test_the_same_pages_give_the_same_bytes_elsewhere(manual: Path, copy: Path, tmp_path: Path) -> None:
    with umask(0o077):
        made = make(copy, tmp_path / "other", TZ="Asia/Tokyo", LC_ALL="C", PYTHONHASHSEED="7", SOURCE_DATE_EPOCH="1")
    assert (made.returncode, made.stderr) == (0, "")
    assert files(tmp_path / "other") == files(manual)
    assert not [path for path, data in files(manual).items() if str(REPOSITORY).encode() in data]


def test_a_link_to_no_page_is_an_error_and_the_manual_stays(copy: Path, tmp_path: Path) -> None:
    target = tmp_path / "manual"
    assert make(copy, target).returncode == 0
    (target / "docs/gone.html").touch()
    before = {path: (target / path).stat().st_mtime_ns for path in files(target)}
    page = copy / "docs/site.md"
    page.write_text(f"{page.read_text()}\n[nowhere](nowhere.md)\n")
    refused = make(copy, target)
    assert refused.returncode == 1
    assert "site.md" in refused.stderr
    assert "nowhere.md" in refused.stderr
    assert {path: (target / path).stat().st_mtime_ns for path in files(target)} == before

    page.write_text(page.read_text().replace("[nowhere](nowhere.md)", "Somewhere."))
    assert make(copy, target).returncode == 0
    changed = {path for path in files(target) if (target / path).stat().st_mtime_ns != before.get(path)}
    assert "docs/site.html" in changed
    assert "docs/auditing.html" not in changed, "an untouched page stays as it is"
    assert not (target / "docs/gone.html").exists()
