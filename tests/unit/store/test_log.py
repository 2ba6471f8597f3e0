"""A log on the disk: appended to, never rewritten, whatever was killed or cut."""

import hashlib
import multiprocessing
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.errors import BadInput, NotTrusted
from appliance.model.documents.log import Line
from appliance.model.limits import MAX_LOG_LINE
from appliance.store.log import Details, Log
from tests.support.umask import umask

TIME = "2026-10-01T12:00:00Z"


@pytest.fixture
def log(tmp_path: Path) -> Log:
    (tmp_path / "a site").mkdir()
    return Log(tmp_path / "a site")


def append(log: Log, number: int = 0) -> None:
    log.append("verify", {"number": number}, time=TIME)


def numbers(log: Log) -> list[object]:
    return [line.entry.details["number"] for line in log.lines()]


def test_what_was_appended_is_read_in_order(log: Log) -> None:
    assert list(log.lines()) == []
    for number in range(3):
        append(log, number)
    lines = list(log.lines())
    assert [line.entry.seq for line in lines] == [1, 2, 3]
    assert numbers(log) == [0, 1, 2]
    assert lines[-1].end == log.size()


def test_others_than_root_and_its_group_do_not_read_it(log: Log) -> None:
    with umask(0):
        append(log)
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o640
    assert stat.S_IMODE(log.path.parent.stat().st_mode) == 0o750


def append_many(site: Path, count: int) -> None:
    for number in range(count):
        append(Log(site), number)


def test_processes_take_turns(log: Log) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=append_many, args=(log.path.parents[1], 40)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert [line.entry.seq for line in log.lines()] == list(range(1, 161))


@pytest.mark.parametrize("kept", [0, 1, 50, -1])
def test_a_torn_last_line_is_not_read_and_goes_with_the_next_append(kept: int, log: Log) -> None:
    append(log, 1)
    whole = log.path.read_bytes()
    append(log, 2)
    log.path.write_bytes(whole + log.path.read_bytes()[len(whole) :][:kept])
    assert numbers(log) == [1]
    append(log, 3)
    assert numbers(log) == [1, 3]
    assert log.path.read_bytes().startswith(whole)


def test_a_torn_first_line_leaves_an_empty_log(log: Log) -> None:
    append(log)
    log.path.write_bytes(log.path.read_bytes()[:-1])
    assert numbers(log) == []
    append(log, 7)
    assert numbers(log) == [7]


@pytest.mark.parametrize("line", [0, 1, 2])
def test_every_changed_line_is_found(line: int, log: Log) -> None:
    for number in range(3):
        append(log, number)
    lines = log.path.read_bytes().splitlines(keepends=True)
    lines[line] = lines[line].replace(b'"number":', b'"number":1')
    log.path.write_bytes(b"".join(lines))
    if line == 2:  # nothing follows it: what it said is known to an exported head alone
        assert len(list(log.lines())) == 3
        return
    with pytest.raises(NotTrusted) as caught:
        list(log.lines())
    assert caught.value.reference == "log-broken"
    assert caught.value.where == f"{log.path}:{line + 2}"


@pytest.mark.parametrize("change", ["remove", "swap", "repeat", "insert"])
def test_lines_cannot_be_moved(change: str, log: Log) -> None:
    for number in range(4):
        append(log, number)
    lines = log.path.read_bytes().splitlines(keepends=True)
    lines = {
        "remove": [lines[0], *lines[2:]],
        "swap": [lines[0], lines[2], lines[1], lines[3]],
        "repeat": [*lines[:2], *lines[1:]],
        "insert": [*lines[:2], b"\n", *lines[2:]],
    }[change]
    log.path.write_bytes(b"".join(lines))
    with pytest.raises(NotTrusted):
        list(log.lines())


@pytest.mark.parametrize("tail", [b"not a line\n", b"{}\n", b"x" * (MAX_LOG_LINE + 1), b"x" * MAX_LOG_LINE + b"\n"])
def test_nothing_is_appended_to_what_is_no_log(tail: bytes, log: Log) -> None:
    append(log)
    with log.path.open("ab") as file:
        file.write(tail)
    before = log.path.read_bytes()
    for append_or_check in (lambda: log.append("verify", {}, time=TIME), log.check_end):
        with pytest.raises(NotTrusted) as caught:
            append_or_check()
        assert caught.value.reference == "log-broken"
    assert log.path.read_bytes() == before


def test_a_log_that_was_put_away_is_begun_anew(log: Log) -> None:
    append(log)
    log.path.rename(log.path.with_name("2026.jsonl"))
    append(log, 5)
    assert [(line.entry.seq, line.entry.details) for line in log.lines()] == [(1, {"number": 5})]


def test_a_link_is_not_followed(log: Log, tmp_path: Path) -> None:
    log.path.parent.mkdir()
    log.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        append(log)
    with pytest.raises(OSError, match="symbolic links"):
        numbers(log)
    assert not (tmp_path / "elsewhere").exists()


def test_a_full_disk_leaves_the_log_as_it_was(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    append(log)
    before = log.path.read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:10]))
    with pytest.raises(BadInput) as caught:
        append(log)
    assert caught.value.reference == "disk-full"
    assert log.path.read_bytes() == before


def test_a_decision_and_its_line_are_one(log: Log) -> None:
    append(log, 1)

    def once(number: int) -> bool:
        def make(lines: Iterator[Line]) -> Details | None:
            known = [line.entry.details["number"] for line in lines]
            return None if number in known else {"number": number}

        return log.append_made("verify", make, time=TIME) is not None

    assert [once(2), once(2), once(1), once(3)] == [True, False, False, True]
    assert numbers(log) == [1, 2, 3]


def test_what_has_no_form_is_not_written(log: Log) -> None:
    with pytest.raises(BadInput) as caught:
        log.append("verify", {"text": "\n"}, time=TIME)
    assert caught.value.reference == "log-entry"
    assert log.size() == 0


def test_a_directory_in_its_place_is_told(log: Log) -> None:
    log.path.mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        append(log)


def test_a_device_in_its_place_is_told(log: Log) -> None:
    log.path.parent.mkdir()
    os.mkfifo(log.path)
    with pytest.raises(NotTrusted) as caught:
        append(log)
    assert "not an ordinary file" in caught.value.what


def test_any_part_of_it_can_be_hashed(log: Log) -> None:
    append(log)
    end = log.size()
    before = log.sha256(end)
    append(log)
    assert log.sha256(end) == before == hashlib.sha256(log.path.read_bytes()[:end]).hexdigest()
    assert log.sha256(log.size()) != before
