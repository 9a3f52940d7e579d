"""The habits of the house that no linter knows, checked on every file."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src"
TESTS = ROOT / "tests"

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "shared", "manager", "managers", "misc"}

NOT_OURS = {"__pycache__", "node_modules", "static"}
PLAYED = {"conformance", "bench"}
"""Servers and loads that play a part in real time; what they show is not asserted by waiting."""

TEXT_SUFFIXES = {
    ".py",
    ".ts",
    ".tsx",
    ".css",
    ".html",
    ".md",
    ".toml",
    ".txt",
    ".in",
    ".cfg",
    ".json",
    ".yml",
    ".yaml",
    ".ini",
    ".mako",
}
TEXT_ROOTS = ("src", "dashboard", "tests", "tools", "docs", "requirements", ".ci")
MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:work|farm|root|home/\w+|Users/\w+)/")
REGISTRY_HOST = re.compile(
    r"pypi\.(?:org|io)|pythonhosted|registry\.npmjs|registry\.yarnpkg|(?:index|find-links) ?[=:]"
)

# What shows a reader that a test can fail: an assertion, an expected error, or a call that is named for checking.
CHECKING_CALL = re.compile(r"^(?:raises|warns|fail|(?:assert|check|expect|verify)(?:_|$))")

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.py") if not NOT_OURS.intersection(file.parts))


def functions(file: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def text_files() -> Iterator[Path]:
    yield from (file for file in ROOT.iterdir() if file.is_file() and file.suffix in {".md", ".toml"})
    yield ROOT / "Makefile"
    for folder in TEXT_ROOTS:
        for file in (ROOT / folder).rglob("*"):
            if (
                file.is_file()
                and not NOT_OURS.intersection(file.parts)
                and file.suffix in {*TEXT_SUFFIXES, ""}
            ):
                yield file


def matches(pattern: re.Pattern[str], file: Path) -> list[str]:
    lines = enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
    return [f"{file.relative_to(ROOT)}:{number}" for number, line in lines if pattern.search(line)]


def checks_something(test: Function) -> bool:
    return any(isinstance(node, ast.Assert) or is_checking_call(node) for node in ast.walk(test))


def is_checking_call(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    match node.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return CHECKING_CALL.match(name) is not None
        case _:
            return False


def is_sleep(node: ast.AST) -> bool:
    """Whether a call waits for time to pass; `asyncio.sleep(0)` only lets others run."""
    match node:
        case ast.Call(func=ast.Attribute(attr="sleep") | ast.Name(id="sleep"), args=[ast.Constant(value=0)]):
            return False
        case ast.Call(func=ast.Attribute(attr="sleep") | ast.Name(id="sleep")):
            return True
        case _:
            return False


def test_no_function_is_longer_than_a_page() -> None:
    long = [
        f"{file.relative_to(ROOT)}:{function.lineno} {function.name}"
        for file in python_files(SRC)
        for function in functions(file)
        if (function.end_lineno or 0) - function.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert long == []


def test_no_file_holds_two_thoughts() -> None:
    sizes = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in python_files(SRC)}
    assert [str(file.relative_to(ROOT)) for file, lines in sizes.items() if lines > FILE_LINES_MAX] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [str(f.relative_to(ROOT)) for f in SRC.rglob("*") if f.stem.lower() in VAGUE_NAMES] == []


def test_every_test_asserts_something() -> None:
    silent = [
        f"{file.relative_to(ROOT)}:{function.lineno} {function.name}"
        for file in python_files(TESTS)
        for function in functions(file)
        if function.name.startswith("test_") and not checks_something(function)
    ]
    assert silent == []


def test_no_test_sleeps() -> None:
    sleeping = [
        f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        for file in python_files(TESTS)
        if not PLAYED.intersection(file.parts)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if is_sleep(node)
    ]
    assert sleeping == []


def test_core_asks_no_clock() -> None:
    clock = re.compile(r"\b(?:datetime|date)\.(?:now|today|utcnow)\(")
    assert [hit for file in python_files(SRC / "wicket" / "core") for hit in matches(clock, file)] == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert [hit for file in text_files() for hit in matches(MACHINE_PATH, file)] == []


def test_the_locks_name_no_host() -> None:
    locks = sorted((ROOT / "requirements").glob("*.txt"))
    assert locks
    assert [hit for file in locks for hit in matches(REGISTRY_HOST, file)] == []


@pytest.mark.parametrize(
    ("code", "checks"),
    [
        ("def test_a():\n    assert True", True),
        ("def test_a():\n    with pytest.raises(ValueError): f()", True),
        ("async def test_a():\n    await check_that(f)", True),
        ("def test_a():\n    f()", False),
        ("def test_a():\n    checked(f)", False),
    ],
)
def test_a_silent_test_is_told_from_one_that_checks(code: str, *, checks: bool) -> None:
    (function,) = (node for node in ast.walk(ast.parse(code)) if isinstance(node, Function))
    assert checks_something(function) is checks


@pytest.mark.parametrize(
    ("code", "sleeps"),
    [
        ("asyncio.sleep(0)", False),
        ("asyncio.sleep(0.1)", True),
        ("time.sleep(1)", True),
        ("sleep(pause)", True),
        ("f()", False),
    ],
)
def test_a_sleep_is_told_from_a_yield(code: str, *, sleeps: bool) -> None:
    assert any(is_sleep(node) for node in ast.walk(ast.parse(code))) is sleeps
