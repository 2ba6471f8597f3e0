"""What it takes to tell what is in a bundle: seconds and bytes of its SBOMs by artifact, and of other evidence.

    python -m tests.bench.contents bundles/demo.yaml --records 20000

The definition has to be built: its files lie in the cache.  The first time is measured with a
cache that has forgotten what it was told of packages, layers and tensors; again is what every
later build takes.  Advisories are looked up in a snapshot that is made for it, with so many
records of Python distributions and as many of Debian's source packages.
"""

import argparse
import hashlib
import io
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from appliance.artifacts.advisories.matching import asked_of, match
from appliance.artifacts.advisories.snapshot import read_snapshot
from appliance.artifacts.base import Context
from appliance.artifacts.kinds import KINDS
from appliance.model.documents.bundle import LOCK_EVIDENCE, NOTICE, SBOMS
from appliance.model.documents.lock import Lock
from appliance.model.files import BundleFile, Content
from appliance.model.parts import Part
from appliance.model.progress import Silent
from appliance.steps.documents.lock import lock_path, lock_text, read_lock
from appliance.steps.sealing.provenance import provenance
from appliance.steps.sealing.sbom import documents
from appliance.steps.sealing.upstream import upstream_files, upstream_report
from appliance.store.cache import Cache
from tests.support.advisories import fixed_in, hole, osv, osv_archive, snapshot, tracker

T = TypeVar("T")


class Forgetful(Cache):
    """A cache with its bytes, and without its memory of what follows from them."""

    def recall(self, key: str) -> tuple[str, ...]:
        """Nothing."""
        return ()


@dataclass(frozen=True)
class Told:
    """One artifact: what is in it, and seconds of CPU and of the clock, the first time and again."""

    part: Part
    files: tuple[BundleFile, ...]
    first: tuple[float, float]
    again: tuple[float, float]


def tell(definition: Path, cache: Path) -> Iterator[Told]:
    """Each artifact of the definition's lock."""
    context = Context(definition.parent, Cache(cache), Silent())
    forgetful = replace(context, sink=Forgetful(cache))
    for kind in KINDS:
        artifacts = [artifact for artifact in read_lock(lock_path(definition)).artifacts if artifact.kind == kind.name]
        for layout in kind.lay_out(artifacts, context)[0] if artifacts else ():
            first = _timed()
            kind.describe(layout, forgetful)
            again = _timed()
            part = kind.describe(layout, context)
            end = _timed()
            yield Told(part, tuple(layout.files), _between(first, again), _between(again, end))


def evidence(lock: Lock, told: Sequence[Told], records: int) -> Iterator[tuple[str, tuple[float, float], int]]:
    """Other evidence: its name, seconds of the clock and of CPU, and bytes that it adds to a bundle."""
    files: dict[str, Content] = {file.path: file for entry in told for file in entry.files}
    text = lock_text(lock)
    files[LOCK_EVIDENCE] = Content(sha256=hashlib.sha256(text).hexdigest(), size=len(text))
    made, seconds = _measured(lambda: provenance(lock, files))
    yield "provenance", seconds, len(made)
    made, seconds = _measured(lambda: upstream_report(lock))
    yield "what upstream has signed", seconds, len(made) + sum(file.size for file in upstream_files(lock))
    parts = [entry.part for entry in told]
    advisories = _advisories(records)
    opened: dict[str, Callable[[], io.BytesIO]] = {name: partial(io.BytesIO, data) for name, data in advisories.items()}
    _, seconds = _measured(lambda: match(parts, read_snapshot(opened, asked_of(parts), None)))
    yield f"advisories, {2 * records:,} records", seconds, sum(map(len, advisories.values()))


def _advisories(records: int) -> dict[str, bytes]:
    """A snapshot; of what it knows, a bundle has no more than one of a few parts."""
    found = (osv(f"PYSEC-2026-{number}", f"distribution-{number % 5000}", ("1.0", "2.0")) for number in range(records))
    sources: dict[str, dict[str, dict[str, object]]] = {}
    for number in range(records):
        name = f"CVE-2026-{number + 10_000}"
        sources.setdefault(f"source-{number % 5000}", {})[name] = hole(trixie=fixed_in("2.0-1"))
    return snapshot() | {"osv-pypi.zip": osv_archive(found), "debian.json": tracker(sources)}


def main(arguments: Sequence[str]) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("definition", type=Path)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/appliance")
    parser.add_argument("--records", type=int, default=20_000)
    options = parser.parse_args(arguments)
    lock = read_lock(lock_path(options.definition))
    told = list(tell(options.definition, options.cache))
    written, writing = _measured(lambda: documents(lock, [entry.part for entry in told], {}))
    print("| artifact | MB | parts | first: s | CPU s | again: s | CPU s | CycloneDX kB | SPDX kB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for entry in told:
        sizes = [len(written[f"{SBOMS}/{entry.part.ref}.{form}.json"]) for form in ("cdx", "spdx")]
        _row(entry.part.ref, _size(entry), _count(entry.part), (*entry.first, *entry.again), sizes)
    sizes = [len(written[f"{SBOMS}/bundle.{form}.json"]) for form in ("cdx", "spdx")]
    total = sum(map(_size, told))
    _row(
        "writing all, and the whole bundle",
        total,
        sum(_count(entry.part) for entry in told),
        (*writing, *writing),
        sizes,
    )
    every = sum(map(len, written.values()))
    print(f"\n{len(written)} files with {every / 1e6:.1f} MB, of which {NOTICE} has {len(written[NOTICE]) / 1e6:.1f}\n")
    print("| other evidence | s | CPU s | kB |")
    print("| --- | ---: | ---: | ---: |")
    for name, (clock, cpu), size in evidence(lock, told, options.records):
        print(f"| {name} | {clock:.2f} | {cpu:.2f} | {size / 1e3:.0f} |")


def _row(name: str, size: int, parts: int, seconds: Sequence[float], sizes: Sequence[int]) -> None:
    figures = " | ".join(f"{second:.2f}" for second in seconds)
    print(
        f"| {name} | {size / 1e6:.1f} | {parts} | {figures} | {' | '.join(f'{length / 1e3:.0f}' for length in sizes)} |"
    )


def _count(part: Part) -> int:
    return 1 + sum(map(_count, part.parts))


def _size(told: Told) -> int:
    return sum(file.size for file in told.files)


def _measured(call: Callable[[], T]) -> tuple[T, tuple[float, float]]:
    """What it returns, and seconds of the clock and of CPU."""
    begin = _timed()
    result = call()
    return result, _between(begin, _timed())


def _timed() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def _between(begin: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    return end[0] - begin[0], end[1] - begin[1]


if __name__ == "__main__":
    main(sys.argv[1:])
