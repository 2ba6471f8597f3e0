import pytest

from tests.bench.measure import Run
from tests.bench.table import Row, as_json, as_text, less, parse_speed

MB = 1_000_000


def run(seconds: float, *, peak: int = 60 * MB, read: int = 0) -> Run:
    return Run(seconds=seconds, cpu_seconds=seconds, peak_bytes=peak, read_bytes=read, written_bytes=0)


def test_the_fastest_run_and_the_largest_memory_count() -> None:
    row = Row("x", 1000 * MB, (run(4.0, peak=50 * MB), run(2.0), run(3.0, peak=70 * MB)))

    told = as_json(row, reference=2000e6)

    assert told["seconds"] == 2.0
    assert told["bytes_per_second"] == 500e6
    assert told["ratio"] == 0.25
    assert told["peak_bytes"] == 70 * MB


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
        Row("start", 0, (run(0.5, peak=10 * MB),)),
        Row("other", 5, missing="not installed"),
    ]

    lines = as_text(rows, reference=1000e6, floor=20 * MB).splitlines()

    assert {line.count("|") for line in lines} == {9}
    assert len({len(line) for line in lines}) == 1
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[2][:4] == ["`openssl speed sha256`", "", "1.00", "1.00"]
    assert cells[3][:6] == ["measured", "2.00", "0.50", "0.50", "2.00", "60"]
    assert cells[4][:6] == ["start", "0.50", "", "", "0.50", "< 20"]
    assert cells[5][0] == "other: not measured, not installed"
