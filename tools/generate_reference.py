"""Write `docs/reference/` and `docs/openapi.json` from the code, so that they cannot go stale.

With `--check`, only say what is out of date.
"""

import ast
import json
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from importlib import import_module
from inspect import cleandoc, getsource
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

import typer
from pydantic.fields import FieldInfo

import wicket
from wicket.api.description import operations
from wicket.api.guards import GUARD, WHO
from wicket.core import errors
from wicket.core.codes import CODES
from wicket.core.errors import Refused, RpcCode, WicketError
from wicket.core.model import Outcome, Reason
from wicket.settings import Settings, StdioServer
from wicket.store.audit.fields import FIELDS

ROOT: Final = Path(__file__).parent.parent
FOLDER: Final = ROOT / "docs"
COMMANDS: Final = ("wicket.cli", "app")
"""Where the Typer application is."""
BANNER: Final = "<!-- Written by `make generate` from the code. Do not edit. -->"

Table = Sequence[Sequence[str]]


def settings_page() -> str:
    """Every setting: name, default, meaning."""
    fields = {name: field for name, field in Settings.model_fields.items() if name != "stdio"}
    rows = [
        (f"`WICKET_{name.upper()}`", default_of(field), field.description or "")
        for name, field in fields.items()
    ]
    servers = [
        (f"`{name}`", "needed" if field.is_required() else default_of(field), kind_of(field))
        for name, field in StdioServer.model_fields.items()
    ]
    return page(
        "Settings",
        "Strongest first: flags of `wicket serve`, environment variables, `wicket.toml` (in the working directory,"
        " or the file that `WICKET_CONFIG` names; names there are in lower case, without the prefix),"
        " and these defaults.",
        table(("Name", "Default", "Meaning"), rows),
        "## Local servers over stdio",
        "Only in the configuration file, one table `[stdio.<key>]` a server. The key is the service's.",
        table(("Name", "Default", "Type"), servers),
    )


def default_of(field: FieldInfo) -> str:
    """How a reader would write the default."""
    default = field.get_default(call_default_factory=True, validated_data={})
    match default:
        case None | () | {}:
            return "-"
        case bool():
            return f"`{str(default).lower()}`"
        case int() if default >= 1024 * 1024 and default % (1024 * 1024) == 0:
            return f"`{default}` ({default // (1024 * 1024)} MiB)"
        case float() if default.is_integer():
            return f"`{int(default)}`"
        case _:
            return f"`{default}`"


def kind_of(field: FieldInfo) -> str:
    """A type as a reader of TOML knows it."""
    text = str(field.annotation)
    kinds = {"tuple": "list of strings", "dict": "table of strings", "bool": "true or false"}
    return next((kind for name, kind in kinds.items() if name in text), "string")


def errors_page() -> str:
    """The tree of errors, every code that is raised, and the JSON-RPC codes."""
    kinds = list(subclasses(WicketError))
    tree = [(f"`{kind.__name__}`", f"`{kind.code}`", str(kind.status), meaning_of(kind)) for kind in kinds]
    codes = [(f"`{name}`", str(code.status), code.meaning) for name, code in sorted(CODES.items())]
    rpc = [(str(int(code)), code.name.lower().replace("_", " ")) for code in RpcCode]
    return page(
        "Errors",
        "The REST API answers `application/problem+json` with a stable `code`. The proxy answers a JSON-RPC error,"
        " whose `data.reason` is one of the [reason codes](reason-codes.md). Sentences may change; codes do not.",
        "## Kinds",
        table(("Kind", "Code, where there is no narrower one", "HTTP", "Meaning"), tree),
        "## Codes",
        "Each code has one HTTP status.",
        table(("Code", "HTTP", "Meaning"), codes),
        "## JSON-RPC codes",
        table(("Code", "Meaning"), rpc),
    )


def subclasses(kind: type[WicketError]) -> Iterator[type[WicketError]]:
    """The tree below and with `kind`, as far as `core.errors` draws it, parents first."""
    if kind.__module__ == errors.__name__:
        yield kind
        for child in kind.__subclasses__():
            yield from subclasses(child)


def meaning_of(kind: type[WicketError]) -> str:
    """What the tree in the docstring of `core.errors` says behind a kind's name."""
    drawn = re.search(rf"\b{kind.__name__} {{2,}}(.+)", errors.__doc__ or "")
    if drawn is None:
        raise SystemExit(f"{kind.__name__} is missing in the tree that core/errors.py draws: add it")
    return drawn.group(1)


@cache
def raised_codes() -> frozenset[tuple[str, int]]:
    """Every `code` that the source gives to an error, by a call or by a class, with its HTTP status."""
    for module in pkgutil.walk_packages(wicket.__path__, "wicket."):
        if not module.name.endswith("__main__") and ".migrations" not in module.name:
            import_module(module.name)
    known = {kind.__name__: kind for kind in all_kinds(WicketError) if not issubclass(kind, Refused)}
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in sorted((ROOT / "src").rglob("*.py"))]
    texts = dict(named for tree in trees for named in named_texts(tree))
    found = {(kind.code, kind.status) for kind in known.values()}
    for node in (node for tree in trees for node in ast.walk(tree)):
        match node:
            case ast.Call(func=ast.Name(id=name), keywords=words) if name in known:
                given = {word.arg: value_of(word.value, texts) for word in words}
                code, status = given.get("code"), given.get("status", known[name].status)
                if isinstance(code, str) and isinstance(status, int):
                    found.add((code, status))
            case _:
                continue
    return frozenset(found)


def all_kinds(kind: type[WicketError]) -> Iterator[type[WicketError]]:
    """The tree below and with `kind`, wherever its classes are."""
    yield kind
    for child in kind.__subclasses__():
        yield from all_kinds(child)


def named_texts(tree: ast.Module) -> Iterator[tuple[str, object]]:
    """Names that stand for a text in a module: `UNREACHABLE: Final = "upstream_unreachable"`."""
    for node in tree.body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Constant(value=str(text))):
                yield name, text
            case _:
                continue


def value_of(node: ast.expr, texts: Mapping[str, object]) -> object:
    """What an argument is, where it is written out or a name of a text."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return texts.get(name)
        case _:
            return None


def reason_codes_page() -> str:
    """Why a call was decided as it was, and how it ended."""
    return page(
        "Reason codes and outcomes",
        "`reasonCode` of an audit entry, `error.data.reason` of a refusal.",
        table(("Reason", "Meaning"), members_of(Reason)),
        "## Outcomes",
        "`outcome` of an audit entry. A late outcome supersedes `interrupted`.",
        table(("Outcome", "Meaning"), members_of(Outcome)),
    )


def members_of(vocabulary: type[Enum]) -> list[tuple[str, str]]:
    """Members of an enum with the docstrings behind them; a member without one is an error."""
    (body,) = (
        node.body for node in ast.parse(dedent(getsource(vocabulary))).body if isinstance(node, ast.ClassDef)
    )
    rows = []
    for member, after in zip(body, [*body[1:], None], strict=True):
        match member, after:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(value=ast.Constant(value=str(text))):
                rows.append((f"`{vocabulary[name].value}`", " ".join(text.split())))
            case ast.Assign(targets=[ast.Name(id=name)]), _:
                raise SystemExit(
                    f"{vocabulary.__name__}.{name} has no docstring behind it: say what it means"
                )
            case _:
                continue
    return rows


def audit_fields_page() -> str:
    """The fields of an audit entry."""
    rows = [(f"`{name}`", meaning) for name, meaning in FIELDS.items()]
    return page(
        "Fields of an audit entry",
        "In this order in `GET /api/audit`, in the stream, and as columns of exports. What a member may not see is left"
        " out of the member's own answers: on a trusted agent, the identities of policies.",
        table(("Field", "Meaning"), rows),
    )


def cli_page() -> str:
    """Every command with its arguments and options."""
    application = getattr(import_module(COMMANDS[0]), COMMANDS[1])
    root = typer.main.get_command(application)
    parts = [part for path, command in commands(root, ("wicket",)) for part in command_parts(path, command)]
    return page(
        "Commands",
        "Data goes to standard output, messages to standard error; `--json` everywhere. Exit codes: 0 ok,"
        " 1 denied or a failed check, 2 usage, 3 not allowed, 4 not found, 5 conflict or ambiguous, 6 unavailable.",
        *parts,
    )


# Typer's and Click's command classes are told apart by what they have: newer releases of Typer carry their own.
def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The leaves of a tree of commands, in the order of `--help`."""
    children: Mapping[str, Any] | None = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        if not child.hidden:
            yield from commands(child, (*path, name))


def command_parts(path: tuple[str, ...], command: Any) -> list[str]:
    """A heading, what the command does, and a table of what it takes."""
    rows = []
    for parameter in command.params:
        if getattr(parameter, "hidden", False) or parameter.name == "help":
            continue
        is_option = parameter.param_type_name == "option"
        names = [*parameter.opts, *parameter.secondary_opts] if is_option else [parameter.name.upper()]
        rows.append((" ".join(f"`{name}`" for name in names), getattr(parameter, "help", None) or ""))
    about = " ".join(cleandoc(command.help or "").split("\n\n")[0].split())
    return [f"## `{' '.join(path)}`", about, *([table(("Takes", "Meaning"), rows)] if rows else [])]


def openapi_page() -> str:
    """Every route of the REST API; the whole description is what `wicket openapi` prints."""
    rows = [
        (
            method.upper(),
            f"`{path}`",
            f"`{operation[GUARD]}`",
            operation["summary"],
        )
        for path, method, operation in operations(described())
    ]
    guards = [(f"`{guard}`", meaning) for guard, meaning in WHO.items()]
    return page(
        "REST API",
        "The whole description, with every field, is [openapi.json](../openapi.json): an instance serves it at"
        " `/api/openapi.json` and as pages at `/api/docs`, and `wicket openapi` prints it. [How to use"
        " it](../api.md).",
        table(("Method", "Path", "Who may", "What it does"), rows),
        "## Who may",
        "Checked before anything else about a request. What one may not know of is answered 404. A token needs the"
        " scope `read` for GET, `write` for everything else.",
        table(("Word", "Meaning"), guards),
    )


def openapi_document() -> str:
    """The description itself."""
    return json.dumps(described(), indent=1, ensure_ascii=False) + "\n"


@cache
def described() -> dict[str, Any]:
    """The description, as `wicket openapi` prints it."""
    answer = subprocess.run(
        [sys.executable, "-c", "from wicket.cli import main; main()", "openapi"],
        check=True,
        capture_output=True,
    )
    document: dict[str, Any] = json.loads(answer.stdout)
    return document


PAGES: Final[Mapping[str, Callable[[], str]]] = {
    "reference/settings.md": settings_page,
    "reference/errors.md": errors_page,
    "reference/reason-codes.md": reason_codes_page,
    "reference/audit-fields.md": audit_fields_page,
    "reference/cli.md": cli_page,
    "reference/openapi.md": openapi_page,
    "openapi.json": openapi_document,
}


def page(title: str, *parts: str) -> str:
    """A page of Markdown."""
    return "\n\n".join([BANNER, f"# {title}", *(part for part in parts if part)]) + "\n"


def table(heads: Sequence[str], rows: Table) -> str:
    """A Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def stale_pages() -> list[str]:
    """Names of the pages that are not what the code says now."""
    return [name for name, render in PAGES.items() if text_of(name) != render()]


def text_of(name: str) -> str | None:
    """A page as it lies on disk."""
    file = FOLDER / name
    return file.read_text(encoding="utf-8") if file.exists() else None


def main() -> None:
    """Write the pages, or check them."""
    if "--check" in sys.argv[1:]:
        if stale := stale_pages():
            raise SystemExit(f"out of date: {', '.join(stale)}; run `make generate`")
        return
    for name, render in PAGES.items():
        (FOLDER / name).write_text(render(), encoding="utf-8")
        print(f"docs/{name}")


if __name__ == "__main__":
    main()
