import pytest

from tests.bench.rows import Row, table


@pytest.mark.parametrize(
    ("row", "holds", "bound"),
    [
        (Row("a", 6.0, "s"), True, ""),
        (Row("a", 6.0, "s", most=6), True, "<= 6"),
        (Row("a", 6.1, "s", most=6), False, "<= 6 MISSED"),
        (Row("a", 1999, "/s", least=2000), False, ">= 2000 MISSED"),
        (Row("a", 2000, "/s", least=2000), True, ">= 2000"),
    ],
)
def test_bounds(row: Row, holds: bool, bound: str) -> None:
    assert (row.holds, row.bound) == (holds, bound)


def test_json_has_the_yardstick_with_its_ratio() -> None:
    assert Row("login_attach", 12.0, "ms", yardstick="tmux attach", beside=4.0).as_json() == {
        "name": "login_attach", "value": 12.0, "unit": "ms", "yardstick": {"name": "tmux attach", "value": 4.0, "ratio": 3.0},
    }  # fmt: skip
    assert Row("resident", 61.23456, "MB").as_json() == {"name": "resident", "value": 61.235, "unit": "MB"}


def test_a_yardstick_of_nothing_has_no_ratio() -> None:
    assert Row("refused", 0, "", yardstick="other", beside=0).ratio is None


def test_table_lines_up() -> None:
    lines = table([Row("a", 1, "s"), Row("longer", 123456, "ms", most=1)]).splitlines()
    assert [line.index("s") for line in lines[1:]] == [lines[0].index("unit"), lines[0].index("unit") + 1]
    assert lines[2].endswith("<= 1 MISSED")
