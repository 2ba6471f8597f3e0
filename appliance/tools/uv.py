"""uv: resolves a set of wheels for a Python and a platform that are not this host's.

pip evaluates markers for the interpreter that runs it; uv does so for the target.  uv is
run without any configuration, cache or environment of this host's users, and its answer
is checked: each distribution has to come from the one index that the set names for it.

Formats: PEP 751 (``pylock.toml``) for the answer; ``[tool.uv.index]`` and
``[tool.uv.sources]`` of docs.astral.sh/uv for the binding of names to indexes.
"""

import json
import re
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import uv
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from appliance.errors import ApplianceError, BadInput, Failed
from appliance.model.documents.wheel_set import WheelSet
from appliance.tools.run import run
from appliance.tools.simple_index import links_of

_TIMEOUT = 1800.0  # seconds
_SHOWN_WHEELS = 10
# The glibc 2.x that uv 0.13 has platforms for: its --python-platform.
_GLIBC_KNOWN = (17, 28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)
_STAND_IN = "stand-in"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LISTED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?(?:==| @ )\S+")
_SAYS_WHAT = re.compile(r"^(?:error|cause|hint): ")
# What uv writes of a release that a requirement pins: others it does not take.
_YANKED = re.compile(r'^warning: `([^`]+)` is yanked(?: \(reason: "(.*?)"\))?$', re.MULTILINE | re.DOTALL)
_NO_WHEEL = re.compile(r"Wheels are required for `([^`]+)`")
_FETCH_FAILED = re.compile(r"Failed to fetch: `?([^\s`]+)")


@dataclass(frozen=True)
class OfferedWheel:
    """A wheel as an index offers it.  ``size`` in bytes, where the index tells it."""

    filename: str
    url: str
    sha256: str
    size: int | None


@dataclass(frozen=True)
class ResolvedPackage:
    """One distribution of the answer.

    ``name`` is canonical (PEP 503); ``yanked`` is None, or why the release was taken back, which may be "".
    """

    name: str
    version: str
    wheels: tuple[OfferedWheel, ...]
    yanked: str | None = None


@dataclass(frozen=True)
class Resolution:
    """A question to uv.

    ``artifact`` is ``kind/name``, for messages.  ``stand_ins`` is a directory of wheels
    for each bound package whose index it stands in for; ``built`` holds wheels made here,
    which satisfy requirements of their names.  ``held`` are versions by name that are taken
    again where nothing forbids it.
    """

    artifact: str
    wheels: WheelSet
    stand_ins: Mapping[str, Path]
    built: tuple[Path, ...]
    held: Mapping[str, str]

    @property
    def title(self) -> str:
        """The name of the project that uv sees; its messages tell who asked for what."""
        return canonicalize_name(self.artifact.replace("/", "-"))

    def index_of(self, package: str) -> str:
        """The only address that ``package`` may come from."""
        if package in self.stand_ins:
            return self.stand_ins[package].as_uri()
        index = self.wheels.bindings().get(package)
        return index.url if index else self.wheels.index


def resolve(question: Resolution, work: Path) -> tuple[ResolvedPackage, ...]:
    """Ask uv, in the scratch directory ``work``.  Wheels of ``built`` are not in the answer.

    Raises BadInput: ``wheels-unresolvable``, ``sdist-refused``, ``source-unreachable``,
    ``wheels-index-mixed`` or ``wheel-without-sha256``.
    """
    own: set[str] = {_distribution(path) for path in question.built}
    _settle_project(question, own, work)
    notes: list[str] = []
    answer = _compile(question, work, "pylock.toml", notes.append)
    yanked = {match[1]: match[2] or "" for note in notes for match in _YANKED.finditer(note)}
    return _read_pylock(answer, own, yanked)


def _settle_project(question: Resolution, own: set[str], work: Path) -> None:
    """Write a project whose resolution takes every bound name from its index.

    uv binds only names that the project itself requires.  So each bound name is required
    at first, and those that nothing else asks for are taken out again.
    """
    required = set(question.wheels.bindings()) - question.wheels.required_names() - own
    _write_project(question, required, work)
    while question.wheels.indexes:
        listed = _read_listing(_compile(question, work, "requirements.txt"))
        idle = {name for name in required if listed[name].wanted_by <= {question.title}}
        if not idle:
            _check_origins(question, listed, own)
            return
        required -= idle
        _write_project(question, required, work)


def _write_project(question: Resolution, required: set[str], work: Path) -> None:
    wheels = question.wheels
    own = [f"{_distribution(path)} @ {path.as_uri()}" for path in question.built]
    lines = [
        "[project]",
        f"name = {_toml(question.title)}",
        'version = "0"',
        f"requires-python = {_toml(f'>={wheels.python}')}",
        f"dependencies = {_toml([*wheels.requirements, *sorted(required), *own])}",
    ]
    for index in wheels.indexes:
        lines += ["[[tool.uv.index]]", f"name = {_toml(index.name)}", f"url = {_toml(index.url)}", "explicit = true"]
    for name, folder in sorted(question.stand_ins.items()):
        lines += ["[[tool.uv.index]]", f"name = {_toml(f'{_STAND_IN}-{name}')}", f"url = {_toml(folder.as_uri())}"]
        lines += ['format = "flat"', "explicit = true"]
    lines.append("[tool.uv.sources]")
    for name, index in sorted(wheels.bindings().items()):
        chosen = f"{_STAND_IN}-{name}" if name in question.stand_ins else index.name
        lines.append(f"{_toml(name)} = {{ index = {_toml(chosen)} }}")
    (work / "pyproject.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (work / "excludes.txt").write_text("\n".join(wheels.exclude), encoding="utf-8")


def _distribution(wheel: Path) -> str:
    return canonicalize_name(wheel.name.split("-", 1)[0])


def _toml(value: str | list[str]) -> str:
    return json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML basic string


def _compile(question: Resolution, work: Path, form: str, notes: Callable[[str], None] | None = None) -> str:
    wheels = question.wheels
    # A platform that uv does not know is asked for as the newest older one; wheels that
    # need what lies between are not found then, and none too new is.
    glibc = max(minor for minor in _GLIBC_KNOWN if minor <= wheels.glibc_minor)
    # uv keeps to what it finds in the file that it is to write.
    output = work / form
    output.write_text(_HELD[form](question.held), encoding="utf-8")
    argv: list[str | Path] = [
        *(_program(), "pip", "compile", work / "pyproject.toml", "--no-config", "--no-header"),
        *("--format", form, "--output-file", output, "--annotation-style", "split", "--emit-index-annotation"),
        *("--python", sys.executable, "--no-python-downloads"),
        *("--python-version", wheels.python, "--python-platform", f"{wheels.machine}-manylinux_2_{glibc}"),
        *("--default-index", wheels.index, "--index-strategy", "first-index"),
        *("--only-binary", ":all:", "--keyring-provider", "disabled", "--system-certs"),
        *("--excludes", work / "excludes.txt"),
        *("--cache-dir", work / "cache"),
        *(() if notes else ("--quiet",)),
    ]
    try:
        run(argv, cwd=work, network=True, timeout=_TIMEOUT, notes=notes)
    except Failed as error:
        raise _explained(error, question) from None
    return output.read_text(encoding="utf-8")


def _held_listing(held: Mapping[str, str]) -> str:
    return "".join(f"{name}=={version}\n" for name, version in sorted(held.items()))


def _held_pylock(held: Mapping[str, str]) -> str:
    packages = (f"{{name = {_toml(name)}, version = {_toml(version)}}}" for name, version in sorted(held.items()))
    return f'lock-version = "1.0"\ncreated-by = "appliance"\npackages = [{", ".join(packages)}]\n'


_HELD: Mapping[str, Callable[[Mapping[str, str]], str]] = {
    "requirements.txt": _held_listing,
    "pylock.toml": _held_pylock,
}


def _program() -> str:
    try:
        return uv.find_uv_bin()
    except FileNotFoundError:
        hint = "install this project's requirements again: pip install --requirement requirements.txt"
        raise BadInput("tool-missing", "the program uv is not installed", hint=hint) from None


def _explained(error: Failed, question: Resolution) -> ApplianceError:
    if error.reference != "tool-failed":
        return error
    lines = (_SAYS_WHAT.sub("", line.strip()).rstrip(".") for line in error.what.splitlines()[1:])
    said = "; ".join(line for line in lines if line and not line.startswith("warning: "))
    if fetch := _FETCH_FAILED.search(said):
        hint = "check network, proxy (https_proxy) and certificates (SSL_CERT_FILE)"
        return BadInput("source-unreachable", f"the package index cannot be read: {said}", where=fetch[1], hint=hint)
    if (package := _NO_WHEEL.search(said)) and (others := _wheels_for_others(package[1], question)):
        return BadInput(
            "wheel-missing",
            f"{package[1]} has no wheel for the target",
            where=question.artifact,
            expected=f"Python {question.wheels.python}, {question.wheels.platform}",
            found=", ".join(others),
            hint="change 'python' or 'platform', or ask for another version",
        )
    if "building from source is disabled" in said:
        hint = "choose another version, or build the wheel once and offer it on an index of your own"
        return BadInput("sdist-refused", said, where=question.artifact, hint=hint)
    if "No solution found" in said:
        hint = "change 'requirements', 'python' or 'platform' of the definition"
        if question.stand_ins:
            hint += f"; of {', '.join(sorted(question.stand_ins))} only pip's find-links were searched"
        return BadInput("wheels-unresolvable", said, where=question.artifact, hint=hint)
    return error


def _wheels_for_others(package: str, question: Resolution) -> list[str]:
    """The wheels of what is asked for that an index has, for other Pythons and platforms than the target."""
    asked = [Requirement(text) for text in question.wheels.requirements]
    specifiers = [one.specifier for one in asked if canonicalize_name(one.name) == package]
    try:
        links = links_of(question.index_of(package), package, lambda line: None)
    except BadInput:
        return []  # uv's own words have to do
    names = [link.filename for link in links if all(one.contains(link.version, prereleases=True) for one in specifiers)]
    return sorted(names)[-_SHOWN_WHEELS:]


@dataclass(frozen=True)
class _Listed:
    wanted_by: frozenset[str]
    index: str


def _read_listing(text: str) -> dict[str, _Listed]:
    """Read requirements with the annotations ``# via`` (who asks) and ``# from`` (index)."""
    listed: dict[str, _Listed] = {}
    name = ""
    for line in text.splitlines():
        if match := _LISTED.match(line):
            name = canonicalize_name(match[1])
            listed[name] = _Listed(frozenset(), "")
        elif name and (words := line.strip().removeprefix("#").split()):
            entry = listed[name]
            if words[0] == "from":
                listed[name] = _Listed(entry.wanted_by, words[1])
            elif asker := words[1:2] if words[0] == "via" else words[:1]:
                listed[name] = _Listed(entry.wanted_by | {asker[0]}, entry.index)
    return listed


def _check_origins(question: Resolution, listed: dict[str, _Listed], own: set[str]) -> None:
    for name, entry in listed.items():
        if name not in own and entry.index.rstrip("/") != question.index_of(name):
            raise BadInput(
                "wheels-index-mixed",
                f"{name} came from an index that it is not bound to",
                where=question.artifact,
                expected=question.index_of(name),
                found=entry.index,
            )


def _read_pylock(text: str, own: set[str], yanked: Mapping[str, str]) -> tuple[ResolvedPackage, ...]:
    packages = tomllib.loads(text).get("packages", [])
    return tuple(_package(entry, yanked) for entry in packages if canonicalize_name(entry["name"]) not in own)


def _package(entry: Mapping[str, Any], yanked: Mapping[str, str]) -> ResolvedPackage:
    name, version = canonicalize_name(entry["name"]), entry["version"]
    wheels = tuple(_wheel(wheel, entry["name"]) for wheel in entry.get("wheels", []))
    return ResolvedPackage(name, version, wheels, yanked.get(f"{name}=={version}"))


def _wheel(entry: Mapping[str, Any], package: str) -> OfferedWheel:
    url = entry.get("url", "")
    sha256 = entry.get("hashes", {}).get("sha256", "")
    if not _SHA256.fullmatch(sha256):
        raise BadInput("wheel-without-sha256", f"the index gives no SHA-256 for {package}", where=url)
    filename = entry.get("name") or unquote(urlsplit(url).path.rpartition("/")[2])
    return OfferedWheel(filename, url, sha256, entry.get("size"))
