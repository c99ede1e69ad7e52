"""What an export says of the agent's files to somebody's terminal."""

import pytest

from backend.work.export import tell


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("left out: größer.bin", "left out: größer.bin"),
        ("left out: \x1b]0;owned\x07", "left out: \\x1b]0;owned\\x07"),
        ("left out: a\nb", "left out: a\\nb"),
        ("left out: \u202egnp.exe", "left out: \\u202egnp.exe"),
        ("left out: \udcff", "left out: \\udcff"),
    ],
)
def test_a_name_is_spelled_out_where_a_terminal_would_obey_it(
    text: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tell(text, text)
    assert capsys.readouterr().err == f"codetainer: {shown}\n  {shown}\n"
