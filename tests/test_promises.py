"""Each promise has tests, and each test that names a promise names one of ours."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.promises import PROMISES
from tests.test_house import python_files

TESTS = Path(__file__).parent


def names_of(node: ast.AST) -> list[str] | None:
    """The ids in a `pytest.mark.promise(...)`, or None for anything else."""
    match node:
        case ast.Call(func=ast.Attribute(attr="promise", value=ast.Attribute(attr="mark")), args=args):
            return [str(argument.value) for argument in args if isinstance(argument, ast.Constant)]
        case _:
            return None


def marks_in(file: Path) -> Iterator[tuple[str, str]]:
    """Each promise that a file names, and where."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if (names := names_of(node)) is not None:
            assert len(names) == 1, f"{file}: one promise a mark"
            yield names[0], f"{file.relative_to(TESTS)}:{node.lineno}"  # type: ignore[attr-defined]


def marked() -> dict[str, list[str]]:
    places = defaultdict(list)
    for file in python_files(TESTS):
        for name, place in marks_in(file):
            places[name].append(place)
    return dict(places)


def test_every_promise_is_checked_by_tests_or_by_a_script() -> None:
    checked = set(marked()) | {name for name, promise in PROMISES.items() if promise.script}
    assert [name for name in PROMISES if name not in checked] == []


def test_every_promise_that_a_test_names_is_listed() -> None:
    assert {name: places for name, places in marked().items() if name not in PROMISES} == {}


def test_marks_stand_on_tests() -> None:
    """A mark on anything else would count, and check nothing."""
    astray = []
    for file in python_files(TESTS):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        on_tests = {
            id(node)
            for holder in ast.walk(tree)
            if is_test_or_mark_of_all(holder)
            for node in ast.walk(holder)
        }
        astray += [
            f"{file.relative_to(TESTS)}:{node.lineno}"  # type: ignore[attr-defined]
            for node in ast.walk(tree)
            if names_of(node) is not None and id(node) not in on_tests
        ]
    assert astray == []


def is_test_or_mark_of_all(node: ast.AST) -> bool:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name.startswith("test_")
        case ast.Assign(targets=[ast.Name(id="pytestmark")]):
            return True
        case _:
            return False
