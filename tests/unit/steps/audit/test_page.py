"""The report as a page: it holds all, asks nobody, and no text of a bundle or log steers it."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import NotTrusted
from appliance.model.documents.audit import Report
from appliance.model.parts import Licences, Part
from appliance.model.progress import Silent
from appliance.steps.audit import Materials, audit, page
from appliance.steps.import_bundle import import_bundle
from appliance.steps.site.evidence import record_install
from appliance.store.site import Site
from tests.support.audits import IMAGE, WEIGHTS, flipped_file, install
from tests.support.bundles import (
    FIRST,
    PLAIN,
    key,
    root_document,
)
from tests.support.forging import put
from tests.support.known import HOLE, NEWS, PARTS, WAIVER, bundle, carrier, sbom_of


class Tags(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = "</td><script>alert(1)</script><img src=x onerror=alert(1)> \"' &amp; {{ 7*7 }} {% raw %} \u202e\x1b[31m\n"


def test_the_page_holds_all_and_asks_nobody(materials: Materials) -> None:
    text = page(audit(materials, Silent()))
    seen = Tags(text)
    for said in ("tiny 1.0.0", "signer 12", IMAGE, WEIGHTS, "models/tiny/model.safetensors", "5.2.37-2", "Apache-2.0"):
        assert said in seen.text
    assert {tag for tag, _ in seen.tags} & {"img", "iframe", "link", "object", "form"} == set()
    names = {name for _, attributes in seen.tags for name, _ in attributes}
    plain = {"lang", "charset", "http-equiv", "content", "name", "class", "scope", "id", "href", "aria-label"}
    assert names - {"colspan"} == plain | {"data-label"}
    tags = [tag for tag, _ in seen.tags]
    assert tags.count("table") == tags.count("caption") > 10
    places = {value for _, attributes in seen.tags for name, value in attributes if name == "id"}
    links = [value for _, attributes in seen.tags for name, value in attributes if name == "href"]
    assert len(links) == 9
    assert {f"#{place}" for place in places} == set(links)
    assert all("scope" in dict(attributes) for tag, attributes in seen.tags if tag == "th")
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_the_page_runs_its_own_script_and_no_other(materials: Materials) -> None:
    text = page(audit(materials, Silent()))
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in text
    assert script == resources.files("appliance").joinpath("report.js").read_text()
    assert "require-trusted-types-for 'script'; trusted-types 'none'" in text
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|write\(|eval\(|fetch\(|import\(|XMLHttp", script)


def glanced(tmp_path: Path, *parts: Part, waivers: tuple[dict[str, str], ...] = ()) -> str:
    """The page on a bundle of ``parts`` and one that carries advisories."""
    held = bundle(policy={"waived": waivers}, sbom=sbom_of(*parts)).write(tmp_path / "held")
    news = carrier(NEWS).write(tmp_path / "news")
    return page(audit(Materials(root=held.trusted, site=None, bundles=(held.path, news.path)), Silent()))


def test_the_page_shows_at_a_glance_what_is_inside(tmp_path: Path) -> None:
    ended = {**WAIVER, "id": HOLE, "part": "os-packages/*", "until": "2026-01-01"}
    text = " ".join(re.sub(r"<[^>]*>", " ", glanced(tmp_path, *PARTS, waivers=(WAIVER, ended))).split())
    for said in (
        "vulnerabilities 1 critical, 1 high, 1 medium by advisories of 2026-11-20T12:55:00Z",
        "licences 2 MIT, 1 without one that could be read, 1 BSD-2-Clause",
        "made by urn:appliance:builder:",
        "Artifact OS packages Python distributions critical high medium",
        "wheels/control - 1 1 - -",
        "CVE-2020-14343 wheels/* 2099-12-31 1 Never used. Ada.",
        f"{HOLE} os-packages/* 2026-01-01 has ended 0 Never used. Ada.",
        "Known vulnerabilities of parts: 3",
        "Parts, files left out: 3",
        "waived until 2099-12-31",
    ):
        assert said in text


def test_what_nobody_could_look_up_is_not_said_to_be_clean(tmp_path: Path) -> None:
    text = Tags(glanced(tmp_path, *PARTS)).text
    told = text[text.index("What is inside of tiny 2.0.0") :]
    assert "not looked up: it has no SBOM that can be read" in told
    assert "none known" not in text
    alone = bundle().write(tmp_path / "alone")
    text = Tags(page(audit(Materials(root=alone.trusted, site=None, bundles=(alone.path,)), Silent()))).text
    assert "not looked up: no advisories that can be read" in text


def test_hostile_words_of_parts_stay_text(tmp_path: Path) -> None:
    def pages(folder: str, text: str) -> Tags:
        licences = Licences(declared=(text,))
        return Tags(glanced(tmp_path / folder, replace(PARTS[2], name=text, version=text, licences=licences)))

    hostile, harmless = pages("hostile", HOSTILE), pages("harmless", "text")
    assert hostile.tags == harmless.tags
    assert r"\u202e\x1b[31m\n" in hostile.text


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    """The same tags, whatever a signed bundle says of itself."""

    def pages(text: str) -> Tags:
        def index(value: dict[str, Any]) -> None:
            value.update(description=text)
            value["artifacts"][0].update(licence=text, source={text: text}, details={text: text})

        label = text.encode("ascii", "ignore").decode().replace("\x1b", "").strip()
        root = root_document(1, (FIRST,), threshold=1, change=put(f"keys/{key(FIRST).public.keyid}/label", label))
        written = PLAIN.but(roots=(root,), index=index).write(tmp_path / hashlib.sha256(text.encode()).hexdigest())
        report = audit(Materials(root=written.trusted, site=None, bundles=(written.path,)), Silent())
        assert report.fits
        return Tags(page(report))

    hostile, harmless = pages(HOSTILE), pages("text")
    assert hostile.tags == harmless.tags
    assert r"alert(1)</script>" in hostile.text
    assert "{{ 7*7 }}" in hostile.text
    assert r"\u202e\x1b[31m\n" in hostile.text
    assert "\u202e" not in hostile.text


def test_weights_beside_a_models_own_are_there_by_name(site: Site, materials: Materials) -> None:
    beside = {"tiny-chat+draft": "6" * 64, "tiny-legal": "7" * 64}
    model = {"tiny-chat": {"image": IMAGE, "weights": WEIGHTS, "beside": beside}}
    record_install(site, install(site, models=model))
    text = Tags(page(audit(materials, Silent()))).text
    (row,) = re.findall(f"{WEIGHTS}(.*?)no bundle", text, re.DOTALL)
    assert row.strip() == f"tiny-chat+draft {'6' * 64}tiny-legal {'7' * 64}"


def test_a_hostile_log_stays_text(site: Site, materials: Materials) -> None:
    record_install(site, install(site, host="<script>", files={"/<b>": "4" * 64}, packages={"<i>": "<u>"}))
    seen = Tags(page(audit(materials, Silent())))
    assert {"b", "i", "u"} & {tag for tag, _ in seen.tags} == set()
    assert [tag for tag, _ in seen.tags].count("script") == 1
    assert "<script>" in seen.text


def test_every_kind_of_finding_has_a_place_on_the_page(site: Site, materials: Materials) -> None:
    flipped_file(site)
    with pytest.raises(NotTrusted):
        import_bundle(site.path("tiny", "1.0.0"), materials.root, site, Silent())
    text = Tags(page(audit(materials, Silent()))).text
    assert "a bundle is refused: the file is not the one that was signed" in text
    assert "None was found that verifies." in text
    assert "a bundle was refused" in text


def test_programs_read_the_same(materials: Materials) -> None:
    report = audit(materials, Silent())
    assert Report.model_validate_json(report.model_dump_json(by_alias=True)) == report


def test_who_audits_is_named_or_has_a_line_to_write_on(materials: Materials) -> None:
    assert "auditornot named" in "".join(Tags(page(audit(materials, Silent()))).text.split("\n"))
    named = page(audit(replace(materials, auditor="J\u00f6rg <b>Doe</b>"), Silent()))
    assert Tags(named).text.count("J\u00f6rg <b>Doe</b>") == 2
