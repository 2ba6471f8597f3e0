from dataclasses import replace

import pytest

from tests.bench.measure import Run
from tests.bench.table import Row, Speeds, as_json, as_text, less, parse_speed

MB = 1_000_000
SPEEDS = Speeds(4, all_cores=(1900e6, 2000e6), one_core=(500e6,))


def run(seconds: float, *, peak: int = 60 * MB, read: int = 0) -> Run:
    return Run(seconds=seconds, cpu_seconds=seconds, peak_bytes=peak, read_bytes=read, written_bytes=0)


def test_the_fastest_run_and_the_largest_memory_count() -> None:
    row = Row("x", 1000 * MB, (run(4.0, peak=50 * MB), run(2.0), run(3.0, peak=70 * MB)))

    told = as_json(row, SPEEDS)

    assert told["seconds"] == 2.0
    assert told["bytes_per_second"] == 500e6
    assert told["ratio"] == 0.25
    assert told["ratio_to"] == "4 cores"
    assert told["peak_bytes"] == 70 * MB


def test_one_file_is_compared_with_one_core() -> None:
    told = as_json(Row("x", 1000 * MB, (run(4.0),), one_core=True), SPEEDS)

    assert (told["ratio"], told["ratio_to"]) == (0.5, "1 core")


def test_the_least_time_of_the_processor_counts_in_whatever_run() -> None:
    fast = replace(run(1.0), cpu_seconds=3.0)
    row = Row("x", 0, (fast, run(2.0)))

    assert (row.best, row.cpu_seconds) == (fast, 2.0)


def test_the_start_is_taken_off_the_best_runs() -> None:
    rest = less("rest", Row("x", 1000 * MB, (run(2.5), run(9.0))), Row("start", 0, (run(0.5), run(0.7))))

    assert rest.rate == 500e6


@pytest.mark.parametrize(
    ("state", "read", "doubt"),
    [
        ("warm", 0, ""),
        ("warm", 100 * MB, "not all was in the page cache"),
        ("cold", 1000 * MB, ""),
        ("cold", 900 * MB, "not all came from storage"),
        ("", 500 * MB, ""),
    ],
)
def test_a_row_says_when_the_page_cache_was_not_as_meant(state: str, read: int, doubt: str) -> None:
    assert Row("x", 1000 * MB, (run(1.0, read=read),), state).doubt == doubt


def test_the_figure_of_openssl_speed() -> None:
    printed = "compiler: gcc\ntype        1048576 bytes\nsha256         1781870.70k\n"

    assert parse_speed(printed) == pytest.approx(1_781_870_700)


def test_no_figure_of_openssl_speed() -> None:
    with pytest.raises(ValueError, match="no figure"):
        parse_speed("sha256: unknown option\n")


def test_every_line_of_the_table_has_the_same_columns() -> None:
    rows = [
        Row("measured", 1000 * MB, (run(2.0),)),
        Row("one", 1000 * MB, (run(2.5),), one_core=True),
        Row("start", 0, (run(0.5, peak=10 * MB),)),
        Row("other", 5, missing="not installed"),
    ]

    lines = as_text(rows, SPEEDS, floor=20 * MB).splitlines()

    assert {line.count("|") for line in lines} == {10}
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[2][:5] == ["`openssl speed sha256`", "", "2.00", "1.00", "4 cores"]
    assert cells[3][:5] == ["`openssl speed sha256`", "", "0.50", "1.00", "1 core"]
    assert cells[4][:7] == ["measured", "2.00", "0.50", "0.25", "4 cores", "2.00", "60"]
    assert cells[5][:7] == ["one", "2.50", "0.40", "0.80", "1 core", "2.50", "60"]
    assert cells[6][:7] == ["start", "0.50", "", "", "", "0.50", "< 20"]
    assert cells[7][0] == "other: not measured, not installed"


def test_a_speed_that_was_not_measured_has_no_line() -> None:
    text = as_text([], Speeds(4, all_cores=(1e9,)), floor=0)

    assert text.count("openssl speed") == 1
