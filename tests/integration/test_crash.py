"""kill -9 at any moment: afterwards there is the old or the new, and the next run goes on.

Each operation is killed before every single call that changes files, one run for each, and
then at random moments; tests/support/crash.py says how.  What is left is judged each time as
`appliance verify`, `state show` and `log check` do; then the operation is done again, and
has to end as if nothing had happened.
"""

import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.model.documents.log import LogEntry
from appliance.model.documents.policy import DEFAULT_POLICY
from appliance.model.documents.state import SiteState
from appliance.model.progress import Silent
from appliance.steps import log
from appliance.steps.site.state import Memory
from appliance.steps.verify import verify
from appliance.store.site import Site
from tests.support.bundles import FIRST, SECOND, Recipe, Written, key, keyid
from tests.support.crash import Runner
from tests.support.in_process import ask
from tests.support.sites import version

pytestmark = pytest.mark.integration

SEED = 4711
RANDOM_MOMENTS = 200
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Operation:
    """A command that changes a copy of ``template``.

    ``check`` is told where it was killed, ``finished`` where it came to its end.
    """

    template: Path
    arguments: Callable[[Path], list[str | Path]]
    check: Callable[[Path], None]
    finished: Callable[[Path], None]

    def place(self) -> Path:
        """A new copy; the one before is gone."""
        place = self.template.with_name("place")
        if place.exists():
            shutil.rmtree(place)
        shutil.copytree(self.template, place, symlinks=True)
        return place


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    with Runner() as runner:
        yield runner


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory where there is one: hundreds of runs sync every file."""
    if not _MEMORY.is_dir():
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="crash-", dir=_MEMORY) as folder:
        yield Path(folder)


# A bundle that is signed ----------------------------------------------------------------------


def sign(shelf: Path) -> Operation:
    """The second of two signers signs a bundle."""
    written = Recipe(signers=(FIRST,)).write(shelf)
    (shelf / "template").mkdir()
    written.path.rename(shelf / "template/bundle")
    (shelf / "key.pem").write_bytes(key(SECOND).pem(None))
    files = contents(shelf / "template")

    def check(place: Path) -> None:
        found = contents(place)
        signature = found.pop(f"bundle/sigs/{keyid(SECOND)}.sigstore.json", None)
        for path in found.keys() - files.keys():
            assert path.startswith("bundle/sigs/.")  # a part of the signature, which the next run clears
            del found[path]
        assert found == files
        assert signature is None or json.loads(signature)

    def finished(place: Path) -> None:
        verify(place / "bundle", written.trusted, Silent())

    return Operation(
        shelf / "template", lambda place: ["sign", place / "bundle", "--key", shelf / "key.pem"], check, finished
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# A site ---------------------------------------------------------------------------------------


class Sites:
    """Sites in one directory, and what people's commands say of them."""

    def __init__(self, shelf: Path) -> None:
        self.template = shelf / "template"
        self.bundles: dict[str, Written] = {
            number: version(number).write(shelf / number) for number in ("1.0.0", "2.0.0")
        }
        self.trusted = self.bundles["1.0.0"].trusted

    def taking(self, number: str, site: Path) -> list[str | Path]:
        return ["import", self.bundles[number].path, "--root", self.trusted, "--site", site]

    def operation(self, arguments: Callable[[Path], list[str | Path]]) -> Operation:
        """Judge every copy of ``template`` by what the command makes of it when nobody kills it."""
        whole = self.template.with_name("whole")
        shutil.copytree(self.template, whole, symlinks=True)
        assert ask(*arguments(whole)).code == 0
        states, before = (state(self.template), state(whole)), entries(self.template)
        currents, final = (current(self.template), current(whole)), entries(whole)

        def check(place: Path) -> None:
            self.check_bundles(place)
            assert state(place) in states
            if "tiny-2.0.0" in held(place):
                assert state(place) == states[1]  # the state knows of what is held, at any moment
            assert current(place) in currents
            told = entries(place)
            assert told[: len(before)] == before
            assert [one.event for one in told] == [one.event for one in final[: len(told)]]
            if "import" in [one.event for one in told[len(before) :]]:
                assert "tiny-2.0.0" in held(place)

        def finished(place: Path) -> None:
            self.check_bundles(place)
            assert (state(place), current(place), held(place)) == (states[1], currents[1], held(whole))
            assert last_of_each(entries(place)) == last_of_each(final)
            for folder in (place, *(folder for folder in place.iterdir() if folder.is_dir())):
                assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []

        return Operation(self.template, arguments, check, finished)

    def check_bundles(self, site: Path) -> None:
        for name in held(site):
            verify(site / "bundles" / name, self.trusted, Silent())


def held(site: Path) -> list[str]:
    return sorted(path.name for path in (site / "bundles").glob("[!.]*"))


def current(site: Path) -> str:
    """What readers find: nothing, or a whole bundle."""
    link = site / "current/tiny"
    if not link.is_symlink():
        return ""
    assert (link / "SHA256SUMS").is_file()
    return str(link.readlink())


def state(site: Path) -> SiteState:
    return Memory(Site(site), DEFAULT_POLICY, Silent()).load()


def entries(site: Path) -> tuple[LogEntry, ...]:
    """The log, whose chain holds, and holds the line that every receipt names."""
    if not (site / "log/log.jsonl").exists():
        return ()
    log.check(Site(site), sorted((site / "receipts").glob("*.sigstore.json")), None)
    return log.entries(Site(site))


def last_of_each(told: Sequence[LogEntry]) -> dict[str, object]:
    """What a log says at last of each event; an import that is done twice is told twice."""
    return {one.event: one.details for one in told}


def first_import(shelf: Path) -> Operation:
    """The first bundle of a host that is no site yet."""
    site = Sites(shelf)
    site.template.mkdir()
    return site.operation(lambda place: site.taking("2.0.0", place))


def import_(shelf: Path) -> Operation:
    """A newer bundle comes in: staging, state, log, receipt, current."""
    site = Sites(shelf)
    assert ask(*site.taking("1.0.0", site.template)).code == 0
    return site.operation(lambda place: site.taking("2.0.0", place))


def switch(shelf: Path) -> Operation:
    """Back to a version that is held: current, and a line in the log."""
    site = Sites(shelf)
    for number in ("1.0.0", "2.0.0"):
        assert ask(*site.taking(number, site.template)).code == 0
    return site.operation(lambda place: ["switch", "tiny", "1.0.0", "--site", place])


def add_to_log(shelf: Path) -> Operation:
    """A line in the log and nothing else."""
    site = Sites(shelf)
    assert ask(*site.taking("1.0.0", site.template)).code == 0
    runs = {"system": "Debian 13", "kernel": "6.12", "models": {}, "files": {}, "packages": {"nginx": "1.26"}}
    (shelf / "host.json").write_text(json.dumps(runs))
    command: list[str | Path] = ["log", "add", "install", shelf / "host.json", "--host", "gpu1", "--bundle", "tiny"]
    return site.operation(lambda place: [*command, "--site", place])


def update_state(shelf: Path) -> Operation:
    """The state is made anew; what it says has to be the same."""
    site = Sites(shelf)
    assert ask(*site.taking("1.0.0", site.template)).code == 0
    return site.operation(lambda place: ["state", "rebuild", "--root", site.trusted, "--site", place])


OPERATIONS = {
    "sign": sign,
    "first import": first_import,
    "import": import_,
    "switch": switch,
    "log append": add_to_log,
    "state update": update_state,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_before_any_call_that_changes_files(name: str, shelf: Path, runner: Runner) -> None:
    operation = OPERATIONS[name](shelf)
    calls = runner.count(*operation.arguments(operation.place()))
    assert calls > 4
    for number in range(1, calls + 1):
        place = operation.place()
        assert runner.run(*operation.arguments(place), before_call=number).code is None, f"call {number} of {calls}"
        operation.check(place)
        assert runner.run(*operation.arguments(place)).code == 0, f"after call {number} of {calls}"
        operation.finished(place)


@pytest.mark.parametrize("name", OPERATIONS)
def test_killed_at_random_moments(name: str, shelf: Path, runner: Runner) -> None:
    operation = OPERATIONS[name](shelf)
    place = operation.place()
    longest = runner.run(*operation.arguments(place)).seconds
    generator = random.Random(f"{SEED} {name}")  # noqa: S311 - nothing secret about it
    print(f"seed {SEED}, up to {longest:.3f} s")
    killed = 0
    while killed < RANDOM_MOMENTS // len(OPERATIONS):
        place = operation.place()
        moment = generator.uniform(0, longest)
        if runner.run(*operation.arguments(place), after=moment).code is None:
            killed += 1
            operation.check(place)
            assert runner.run(*operation.arguments(place)).code == 0, f"after {moment:.6f} s"
        operation.finished(place)
