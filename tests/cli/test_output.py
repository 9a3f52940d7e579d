import pytest

from wicket.cli.output import print_table, say
from wicket.core.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Zoë, naïve, 日本", "Zoë, naïve, 日本"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("two\nlines", "two\\nlines"),
        ("a\tb", "a\\tb"),
        ("rtl\u202eoverride", "rtl\\u202eoverride"),
    ],
)
def test_what_others_made_up_steers_no_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_pipe_gets_a_line_a_row_without_heads(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name", "status"), [("one", "active"), ("two\t", "disabled")])
    assert capsys.readouterr().out == "one\tactive\ntwo\\t\tdisabled\n"


def test_messages_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    say("careful")
    assert capsys.readouterr() == ("", "careful\n")
