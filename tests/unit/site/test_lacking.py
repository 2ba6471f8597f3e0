"""What a unit is found to lack, from what systemd says of it and from its files' times."""

import runpy
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.role_files import role_file

PROGRAM = runpy.run_path(str(role_file("units", "lacking.py")))
LACKS, JOBS = PROGRAM["lacks"], PROGRAM["jobs"]
RUNNING = {"ActiveState": "active", "CanReload": "yes", "ReloadResult": "success", "UnitFileState": "enabled"}


def unit(folder: Path, *, started: int = 1, reloaded: int = 1, **changes: str) -> dict[str, str]:
    """A running unit that was started and reloaded so many seconds after its files took their places."""
    for name in ("unit", "configuration"):
        (folder / name).touch()
    known = RUNNING | {
        "FragmentPath": str(folder / "unit"),
        "ActiveEnterTimestamp": moment(folder / "unit", started),
        "StateChangeTimestamp": moment(folder / "configuration", reloaded),
    }
    return defaultdict(str, known | changes)


def moment(file: Path, seconds: int) -> str:
    """As ``systemctl show --timestamp=us+utc`` writes it."""
    at = datetime.fromtimestamp(file.stat().st_ctime, UTC) + timedelta(seconds=seconds)
    return f"{at:%a %Y-%m-%d %H:%M:%S.%f} UTC"


def lacks(folder: Path, known: dict[str, str], *, enabled: bool = True, retries: bool = False) -> str:
    return str(LACKS(known, {"enabled": enabled, "retries": retries, "files": [str(folder / "configuration")]}))


def test_a_unit_that_is_newer_than_its_files_lacks_nothing(tmp_path: Path) -> None:
    assert lacks(tmp_path, unit(tmp_path)) == ""


def test_a_change_of_its_configuration_is_taken_up(tmp_path: Path) -> None:
    assert lacks(tmp_path, unit(tmp_path, reloaded=-1)) == "reload"
    assert lacks(tmp_path, unit(tmp_path, reloaded=-1, CanReload="no", ReloadResult="")) == "restart"


def test_a_change_of_its_own_file_takes_a_restart(tmp_path: Path) -> None:
    assert lacks(tmp_path, unit(tmp_path, started=-1)) == "restart"


def test_a_generated_unit_is_as_old_as_what_it_is_made_from(tmp_path: Path) -> None:
    known = unit(tmp_path, started=-1, FragmentPath="/run/systemd/generator/x", SourcePath=str(tmp_path / "unit"))
    assert lacks(tmp_path, known, enabled=False) == "restart"


def test_a_reload_that_failed_is_tried_again(tmp_path: Path) -> None:
    assert lacks(tmp_path, unit(tmp_path, ReloadResult="exit-code")) == "reload"


@pytest.mark.parametrize(
    ("name", "value"), [("ActiveState", "failed"), ("ActiveState", "inactive"), ("UnitFileState", "disabled")]
)
def test_what_does_not_run_or_would_not_after_a_boot_is_started(tmp_path: Path, name: str, value: str) -> None:
    assert lacks(tmp_path, unit(tmp_path) | {name: value}) == "start"


@pytest.mark.parametrize(
    ("active", "sub"),
    [
        ("activating", "auto-restart"),
        ("activating", "auto-restart-queued"),
        ("activating", "start"),
        ("deactivating", "stop-sigterm"),
        ("failed", "failed-before-auto-restart"),
        ("inactive", "dead-before-auto-restart"),
    ],
)
def test_a_unit_that_tries_again_by_itself_is_left_alone_between_two_tries(
    tmp_path: Path, active: str, sub: str
) -> None:
    known = unit(tmp_path, ActiveState=active, SubState=sub)
    assert (lacks(tmp_path, known), lacks(tmp_path, known, retries=True)) == ("start", "")


@pytest.mark.parametrize(("active", "sub"), [("failed", "failed"), ("inactive", "dead")])
def test_a_unit_that_has_given_up_is_started(tmp_path: Path, active: str, sub: str) -> None:
    assert lacks(tmp_path, unit(tmp_path, ActiveState=active, SubState=sub), retries=True) == "start"


def ended(folder: Path, *, began: int = 1, **changes: str) -> dict[str, str]:
    """A unit that does something and ends, begun so many seconds after its files took their places."""
    known = {"Type": "oneshot", "RemainAfterExit": "no", "Result": "success", "ActiveState": "inactive"}
    since = {"InactiveExitTimestamp": moment(folder / "unit", began), "ActiveEnterTimestamp": ""}
    return unit(folder, CanReload="no") | known | since | changes


def test_a_unit_that_ends_has_to_have_run_with_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "unit").touch()
    assert lacks(tmp_path, ended(tmp_path)) == ""
    assert lacks(tmp_path, ended(tmp_path, began=-1)) == "restart"
    assert lacks(tmp_path, ended(tmp_path, InactiveExitTimestamp="")) == "start"
    assert lacks(tmp_path, ended(tmp_path, ActiveState="failed", Result="exit-code")) == "start"
    assert lacks(tmp_path, ended(tmp_path, UnitFileState="disabled")) == "start"
    assert lacks(tmp_path, ended(tmp_path, ActiveState="activating")) == "start"


def test_a_unit_that_systemd_has_never_seen_is_started(tmp_path: Path) -> None:
    assert lacks(tmp_path, defaultdict(str, {"ActiveState": "inactive", "LoadState": "not-found"})) == "start"


def test_a_generated_unit_cannot_be_enabled(tmp_path: Path) -> None:
    assert lacks(tmp_path, unit(tmp_path, UnitFileState="generated"), enabled=False) == ""


def test_units_of_one_turn_start_side_by_side_and_the_others_in_their_order() -> None:
    given = [("a", {"turn": 1}), ("b", {"turn": 0}), ("c", {"turn": 0}), ("d", {"turn": 0}), ("e", {"turn": 0})]
    states = {"a": "start", "b": "start", "c": "restart", "d": "start", "e": ""}
    wanted = [{"name": name, "enabled": False, "files": [], **more} for name, more in given]
    known: dict[str, dict[str, str]] = {name: defaultdict(str) for name in states}
    assert JOBS(wanted, known, states) == [["start", "--", "b", "d"], ["restart", "--", "c"], ["start", "--", "a"]]


def test_units_without_turns_start_one_by_one_once_they_are_enabled() -> None:
    wanted: list[dict[str, object]] = [{"name": name, "enabled": True, "files": []} for name in ("a", "b")]
    known = {"a": defaultdict(str), "b": defaultdict(str, UnitFileState="enabled")}
    states = {"a": "start", "b": "start"}
    assert JOBS(wanted, known, states) == [["enable", "--", "a"], ["start", "--", "a"], ["start", "--", "b"]]
