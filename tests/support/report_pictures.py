"""Pictures of the page of an audit, of a bundle and vulnerabilities that its tests make up.

python -m tests.support.report_pictures FOLDER
"""

import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from appliance.model.parts import Licences, Part
from appliance.model.progress import Silent
from appliance.steps.audit import Materials, audit, page
from tests.support.advisories import BAD, part_of, snapshot, vex, vex_statement
from tests.support.browser import browsing
from tests.support.known import WAIVER, bundle, carrier, sbom_of

_LICENCES = ("MIT", "Apache-2.0", "BSD-3-Clause", "GPL-2.0-or-later")
_WAIVED = {**WAIVER, "id": "CVE-2023-49083", "part": "wheels/some/*"}


def _parts() -> tuple[Part, ...]:
    return tuple(
        replace(part_of(package, version), licences=Licences(declared=(_LICENCES[number % len(_LICENCES)],)))
        for number, (package, version, *_) in enumerate(BAD)
    )


# What the other pictures of the report do not have.
_ALONE = """
for (const one of document.body.children) one.hidden = !one.matches(".annexes");
for (let one = document.querySelector("#glance"); one.id !== "bundles"; one = one.nextElementSibling) {
    one.hidden = false;
}
for (const one of document.querySelectorAll("details")) {
    if (one.id === "all-vulnerabilities") one.open = true;
    else one.remove();
}
"""
_FILTER = """(() => {
    const form = document.querySelector("form[data-table=table-vulnerabilities]");
    form.elements.severity.value = "medium";
    form.dispatchEvent(new Event("input"));
})()"""


def main(folder: Path) -> None:
    """Write glance-{light,dark}.png."""
    stated = vex(vex_statement("CVE-2020-14343", "pkg:pypi/pyyaml@5.3.1"))
    news = carrier({**snapshot(), "openvex.json": stated}, vex_until="2099-12-31")
    policy = {"fail": ({"severity": ("critical",)}, {"kev": True}), "waived": (_WAIVED,)}
    with TemporaryDirectory(ignore_cleanup_errors=True) as scratch, browsing(Path(scratch)) as tab:
        held = bundle(policy=policy, sbom=sbom_of(*_parts())).write(Path(scratch) / "1")
        carried = news.write(Path(scratch) / "2").path
        report = audit(Materials(root=held.trusted, site=None, bundles=(held.path, carried)), Silent())
        (Path(scratch) / "report.html").write_text(page(report))
        tab.resize(1100, 900)
        tab.go(f"file://{scratch}/report.html")
        tab.tell(_ALONE)
        tab.picture(folder / "glance-light.png")
        tab.media(prefers_color_scheme="dark")
        tab.tell(_FILTER)
        tab.picture(folder / "glance-dark.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
