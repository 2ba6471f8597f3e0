"""A site's state that is tied to a TPM: no older copy passes, and no killed run shuts a site out."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import ApplianceError, BadInput, NotTrusted
from appliance.model.counter import Reading
from appliance.model.documents.policy import POLICY_SCHEMA, SitePolicy
from appliance.model.documents.state import SiteState
from appliance.model.progress import Silent
from appliance.steps.import_bundle import Imported, import_bundle
from appliance.steps.site.state import Memory
from appliance.steps.switch import switch
from appliance.steps.verify import read_trusted
from appliance.store.site import Site
from appliance.store.state import StateFile
from appliance.tools.tpm import FIRST_INDEX, TpmCounter
from tests.support.bundles import Written
from tests.support.sites import holdings, version
from tests.support.swtpm import SoftTpm

pytestmark = pytest.mark.integration

INDEX = FIRST_INDEX + 0x10


@pytest.fixture
def tpm() -> Iterator[SoftTpm]:
    with SoftTpm() as tpm:
        yield tpm


@pytest.fixture
def counter(tpm: SoftTpm) -> TpmCounter:
    return TpmCounter(tpm.device, INDEX)


# The counter -----------------------------------------------------------------------------------


def test_a_counter_goes_up_by_one_and_outlives_the_power(tpm: SoftTpm, counter: TpmCounter) -> None:
    assert counter.read() is None
    first = counter.start()
    assert counter.read() == Reading(first, binding=False)
    assert counter.increment() == first + 1
    counter.bind()
    counter.bind()
    tpm.off()
    tpm.on()
    assert counter.read() == Reading(first + 1, binding=True)


def test_a_counter_that_was_removed_goes_on_above_its_last_value(tpm: SoftTpm, counter: TpmCounter) -> None:
    counter.start()
    last = counter.increment()
    tpm.undefine(INDEX)
    assert counter.read() is None
    assert counter.start() > last


def test_the_index_of_somebody_else_is_left_alone(tpm: SoftTpm, counter: TpmCounter) -> None:
    tpm.define(INDEX, 1 << 1 | 1 << 17)
    with pytest.raises(BadInput) as caught:
        counter.start()
    assert caught.value.reference == "tpm-unusable"


def test_a_tpm_that_is_not_there_or_is_none_is_told(tpm: SoftTpm, counter: TpmCounter, tmp_path: Path) -> None:
    tpm.off()
    (tmp_path / "file").write_bytes(b"")
    for wrong in (counter, TpmCounter(tmp_path / "file", INDEX), TpmCounter(Path("/dev/null"), INDEX)):
        with pytest.raises(BadInput) as caught:
            wrong.read()
        assert caught.value.reference == "tpm-unusable"
        assert "tpm: off" in caught.value.hint


# The state's file ------------------------------------------------------------------------------


def remembering(length: int) -> SiteState:
    return SiteState(roots=("a" * 64,) * length)


def said(state: SiteState | None) -> int:
    """What was remembered, without the counter."""
    return len(state.roots) if state else 0


@pytest.fixture
def file(counter: TpmCounter, tmp_path: Path) -> StateFile:
    return StateFile(tmp_path / "state", counter)


def write(file: StateFile, length: int) -> None:
    file.update(lambda old: remembering(length).model_copy(update={"counter": old.counter if old else None}))


class Killed(BaseException):
    """The process ends here."""


def kill_before(owner: type, name: str, patch: pytest.MonkeyPatch) -> None:
    def killed(*arguments: object, **options: object) -> None:
        raise Killed

    patch.setattr(owner, name, killed)


def kill_after(owner: type, name: str, patch: pytest.MonkeyPatch) -> None:
    act = getattr(owner, name)

    def killed(*arguments: object, **options: object) -> None:
        act(*arguments, **options)
        raise Killed

    patch.setattr(owner, name, killed)


MOMENTS: dict[str, tuple[Callable[[type, str, pytest.MonkeyPatch], None], type, str]] = {
    "nothing done": (kill_before, StateFile, "_write"),
    "index defined": (kill_after, TpmCounter, "_define"),
    "counter started": (kill_after, TpmCounter, "start"),
    "next state half written": (kill_before, StateFile, "_write_next"),
    "next state written": (kill_after, StateFile, "_write_next"),
    "counter raised": (kill_after, TpmCounter, "increment"),
    "not renamed": (kill_before, Path, "rename"),
    "renamed": (kill_after, Path, "rename"),
    "not binding": (kill_before, TpmCounter, "bind"),
    "binding": (kill_after, TpmCounter, "bind"),
}


FIRST_AND_LATER = {
    f"{moment}, {'a later' if old else 'the first'} state": (*what, old)
    for moment, what in MOMENTS.items()
    for old in (0, 1)
    if not (old and moment == "counter started")  # which the first state has done
}


@pytest.mark.parametrize(("how", "owner", "name", "old"), FIRST_AND_LATER.values(), ids=list(FIRST_AND_LATER))
def test_a_killed_run_leaves_one_state_and_the_next_run_goes_on(
    how: Callable[[type, str, pytest.MonkeyPatch], None],
    owner: type,
    name: str,
    old: int,
    file: StateFile,
    counter: TpmCounter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if old:
        write(file, old)
    with monkeypatch.context() as patch:
        how(owner, name, patch)
        with pytest.raises(Killed):
            write(file, 2)
    assert said(file.load()) in (old, 2)
    copy = file.folder.parent / "copy"
    if file.folder.exists():
        shutil.copytree(file.folder, copy)
    write(file, 3)
    assert said(file.load()) == 3
    reading = counter.read()
    assert reading
    assert reading.binding
    if copy.exists() and said(StateFile(copy).remains()):
        restore(copy, file)
        assert refused(file.load).reference == "state-rolled-back"


def restore(copy: Path, file: StateFile) -> None:
    shutil.rmtree(file.folder)
    shutil.copytree(copy, file.folder)


def refused(act: Callable[[], object]) -> ApplianceError:
    with pytest.raises((NotTrusted, BadInput)) as caught:
        act()
    return caught.value


def test_a_state_that_did_not_change_costs_the_tpm_nothing(file: StateFile, counter: TpmCounter) -> None:
    write(file, 1)
    before = counter.read()
    write(file, 1)
    assert counter.read() == before


def test_no_state_at_all_is_an_older_one_too(file: StateFile) -> None:
    write(file, 1)
    shutil.rmtree(file.folder)
    error = refused(file.load)
    assert (error.reference, error.found) == ("state-rolled-back", "no state")


def test_the_state_of_before_it_was_tied_does_not_come_back(file: StateFile, tmp_path: Path) -> None:
    write(StateFile(file.folder), 1)
    copy = tmp_path / "copy"
    shutil.copytree(file.folder, copy)
    write(file, 2)
    restore(copy, file)
    error = refused(file.load)
    assert (error.reference, error.found) == ("state-rolled-back", "a state without a counter")


@pytest.mark.parametrize("act", [SoftTpm.clear, lambda tpm: tpm.undefine(INDEX)], ids=["cleared", "removed"])
def test_a_state_whose_counter_is_gone_is_refused(
    act: Callable[[SoftTpm], None], tpm: SoftTpm, file: StateFile
) -> None:
    write(file, 1)
    act(tpm)
    assert refused(file.load).reference == "tpm-missing"
    assert refused(StateFile(file.folder).load).reference == "tpm-missing"
    assert said(StateFile(file.folder, untied=True).load()) == 1
    file.replace(remembering(1))
    assert said(file.load()) == 1


# The site --------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "a site")


class Carry:
    """Bundles on media of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, number: str) -> Written:
        return version(number).write(self.folder / number)


@pytest.fixture
def carry(tmp_path: Path) -> Carry:
    return Carry(tmp_path / "media")


def policy(tpm: SoftTpm, use: str = "required") -> SitePolicy:
    return SitePolicy.model_validate({"schema": POLICY_SCHEMA, "tpm": use, "tpm_device": str(tpm.device)})


def take(written: Written, site: Site, demands: SitePolicy, progress: Silent | None = None) -> Imported:
    return import_bundle(written.path, written.trusted, site, progress or Silent(), demands=demands)


def test_a_backup_of_the_state_lets_no_old_bundle_in(tpm: SoftTpm, site: Site, carry: Carry, tmp_path: Path) -> None:
    first, second = carry("1.0.0"), carry("2.0.0")
    take(first, site, policy(tpm))
    shutil.copytree(site.state, tmp_path / "backup")
    shutil.rmtree(take(second, site, policy(tpm)).path)
    shutil.rmtree(site.state)
    shutil.copytree(tmp_path / "backup", site.state)
    before = holdings(site.root)
    for act in (
        lambda: take(carry("1.5.0"), site, policy(tpm)),
        lambda: switch(site, "tiny", "1.0.0", Silent(), demands=policy(tpm)),
    ):
        error = refused(act)
        assert error.reference == "state-rolled-back"
        assert "old bundles" in error.hint
        assert "appliance state rebuild" in error.hint
        assert holdings(site.root) == before

    Memory(site, policy(tpm), Silent()).rebuild(read_trusted(first.trusted))
    assert take(second, site, policy(tpm)).current == "2.0.0"


def test_two_sites_of_one_host_do_not_disturb_each_other(tpm: SoftTpm, carry: Carry, tmp_path: Path) -> None:
    first, second = Site(tmp_path / "one"), Site(tmp_path / "two")
    for number in ("1.0.0", "2.0.0"):
        for site in (first, second):
            assert take(carry(number), site, policy(tpm)).switched
    assert refused(lambda: take(carry("1.0.0"), first, policy(tpm))).reference == "bundle-rollback"


class Telling(Silent):
    """Keeps the lines that a person would see."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, text: str) -> None:
        self.lines.append(text)


def test_a_tpm_that_cannot_be_used_is_done_without_unless_it_was_used(
    tpm: SoftTpm, site: Site, carry: Carry, tmp_path: Path
) -> None:
    take(carry("1.0.0"), site, policy(tpm, "auto"))
    tpm.set_owner_password(b"secret")
    other, progress = Site(tmp_path / "other"), Telling()
    assert take(carry("1.0.0"), other, policy(tpm, "auto"), progress).switched
    assert "not tied to a TPM" in progress.lines[0]
    assert "the owner's password is not empty" in progress.lines[0]
    assert refused(lambda: take(carry("2.0.0"), other, policy(tpm))).reference == "tpm-unusable"
    assert refused(lambda: take(carry("2.0.0"), site, policy(tpm, "auto"))).reference == "tpm-missing"


def test_a_policy_can_let_go_of_the_tpm_and_nobody_else_can_take_it_up_again(
    tpm: SoftTpm, site: Site, carry: Carry
) -> None:
    take(carry("1.0.0"), site, policy(tpm))
    assert take(carry("2.0.0"), site, policy(tpm, "off")).switched
    assert Memory(site, policy(tpm, "off"), Silent()).load().counter is None
    assert refused(lambda: take(carry("3.0.0"), site, policy(tpm))).reference == "state-rolled-back"
    Memory(site, policy(tpm), Silent()).rebuild(read_trusted(carry("1.0.0").trusted))
    assert take(carry("3.0.0"), site, policy(tpm)).switched


def test_a_host_that_was_installed_anew_is_taken_up_by_somebody(tpm: SoftTpm, site: Site, carry: Carry) -> None:
    take(carry("2.0.0"), site, policy(tpm))
    shutil.rmtree(site.root)
    assert refused(lambda: take(carry("1.0.0"), site, policy(tpm))).reference == "state-rolled-back"
    Memory(site, policy(tpm), Silent()).rebuild(read_trusted(carry("1.0.0").trusted))
    assert take(carry("1.0.0"), site, policy(tpm)).switched


# Stops for ever at one call, and says so: the moment to be killed at.
DRIVER = """
import sys, time
from appliance.cli.main import run
from appliance.tools.tpm import TpmCounter
name, after = sys.argv[1], sys.argv[2] == "after"
act = getattr(TpmCounter, name)
def stop(*arguments):
    if after:
        act(*arguments)
    print("now", flush=True)
    while True:
        time.sleep(60)
setattr(TpmCounter, name, stop)
sys.exit(run(sys.argv[3:]))
"""


@pytest.mark.parametrize("moment", [("start", "after"), ("increment", "after"), ("bind", "before")])
def test_an_import_that_was_killed_beside_the_tpm_goes_on(
    moment: tuple[str, str], tpm: SoftTpm, site: Site, carry: Carry, tmp_path: Path
) -> None:
    carried = carry("1.0.0")
    file = tmp_path / "policy.yaml"
    file.write_text(f"schema: {POLICY_SCHEMA}\ntpm: required\ntpm_device: {tpm.device}\n")
    file.chmod(0o644)
    words: list[Any] = ["import", carried.path, "--root", carried.trusted, "--site", site.root, "--policy", file]
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, *moment, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGKILL)
    assert not list(site.bundles())
    assert take(carried, site, policy(tpm)).switched
    assert refused(lambda: take(carry("0.9.0"), site, policy(tpm))).reference == "bundle-rollback"
