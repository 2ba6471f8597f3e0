import pytest

from tests.bench import cases
from tests.bench.aims import AIMS, Results, as_json, as_text, figures
from tests.bench.measure import Run
from tests.bench.table import Row, Speeds

MB = 1_000_000


def row(name: str, seconds: float, *, amount: int = 1000 * MB, written: int = 0) -> Row:
    return Row(name, amount, (Run(seconds, seconds, 60 * MB, amount, written),))


def results(*rows: Row) -> Results:
    return Results({one.name: one for one in rows}, Speeds(4, all_cores=(1000e6,), one_core=(400e6,)))


def test_a_figure_stands_beside_its_aim() -> None:
    found = figures(results(row(cases.VERIFY, 1.25)))

    head, _, first, memory = as_text(found).splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == ["what", "of", "figure", "aim", "reached"]
    assert [cell.strip() for cell in first.strip("|").split("|")] == [
        *(cases.VERIFY, "`openssl speed`, all cores", "0.80", ">= 0.90", "no")
    ]
    assert "<= 150.00" in memory
    assert [told["reached"] for told in as_json(found)] == [False, True]


def test_what_was_not_measured_has_no_line() -> None:
    missing = Row(cases.VERIFY, 5, missing="not installed")

    assert figures(results(missing, row(cases.CAT_COLD, 1.0))) == []
    assert figures(results(row(cases.VERIFY_COLD, 1.0), row(cases.CAT_COLD, 1.0))) == figures(
        results(row(cases.VERIFY_COLD, 1.0))
    )


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ((row(cases.HELP, 0.5), row(cases.PASS, 0.1)), 0.4),
        ((row(cases.VERIFY_COLD, 1.0), row(cases.DIGESTS_COLD, 0.5), row(cases.CAT_COLD, 0.8)), 0.5),
        ((row(cases.ONE, 2.5), row(cases.ONE_DIGEST, 3.0)), 1.0),
        ((row(cases.ONE_COLD, 5.0), row(cases.ONE_CAT_COLD, 4.0)), 0.8),
        ((row(cases.ONE_COLD, 5.0), row(cases.ONE_CAT_COLD, 1.0)), 0.5),
        ((row(cases.TINY, 3.0), row(cases.TINY_SUMS, 1.0)), 3.0),
        ((row(cases.FIRST, 3.0), row(cases.COPY, 1.5)), 0.5),
        ((row(cases.IMPORT, 2.0), row(cases.COPY_COLD, 1.0)), 0.5),
        ((row(cases.IMPORT_NEXT, 2.0, written=2 * MB),), 2.0),
    ],
)
def test_the_first_figure_is_of_what_its_line_says(rows: tuple[Row, ...], told: float) -> None:
    assert figures(results(*rows))[0][1] == pytest.approx(told)


def test_aims_name_rows_that_there_are(every_case: list[cases.Case]) -> None:
    names = [case.name for case in every_case]

    assert len(names) == len(set(names))
    assert {aim.what for aim in AIMS} - set(names) == {"`appliance`, every row"}
