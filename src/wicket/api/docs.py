"""The description for machines, and as a page that people read: HTML made here, one stylesheet, no script, no host.

Both are made once, when somebody first asks, and outside the event loop: calls go on meanwhile.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from itertools import chain
from threading import Lock
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request, Response

from wicket.api.description import operations
from wicket.api.guards import GUARD, SCOPE, WHO, Guard, by
from wicket.api.http import open_router
from wicket.api.problems import MEDIA_TYPE
from wicket.core.codes import CODES

STYLE_PATH: Final = "/api/docs.css"
POLICY: Final = (
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FORMATS: Final = {"date-time": "instant", "uuid": "UUID"}
REF: Final = "#/components/"
_WRITING: Final = Lock()

Schema = Mapping[str, Any]


def routes() -> APIRouter:
    """What is about the API, and no part of it."""
    router = open_router("docs")
    unlisted: dict[str, Any] = {"include_in_schema": False, "response_class": Response}
    router.get("/api/openapi.json", **unlisted, **by(Guard.PUBLIC))(read_description)
    router.get("/api/docs", **unlisted, **by(Guard.PUBLIC))(read_docs)
    router.get(STYLE_PATH, **unlisted, **by(Guard.PUBLIC))(read_style)
    return router


@dataclass(frozen=True, slots=True)
class Written:
    """The description as it is sent."""

    document: bytes
    page: bytes


async def read_description(request: Request) -> Response:
    """The OpenAPI 3.1 document."""
    written = await asyncio.to_thread(_write, request.app)
    return Response(written.document, media_type="application/json")


async def read_docs(request: Request) -> Response:
    """The whole description on one page."""
    written = await asyncio.to_thread(_write, request.app)
    return Response(
        written.page, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": POLICY}
    )


def _write(app: FastAPI) -> Written:
    with _WRITING:
        if not hasattr(app.state, "written"):
            described = app.openapi()
            document = json.dumps(described, ensure_ascii=False, separators=(",", ":"))
            app.state.written = Written(document.encode(), render_docs(described).encode())
    written: Written = app.state.written
    return written


async def read_style() -> Response:
    """How it looks, in light and dark."""
    return Response(_style(), media_type="text/css; charset=utf-8")


@cache
def _style() -> bytes:
    return (files("wicket.api") / "docs.css").read_bytes()


def render_docs(described: Mapping[str, Any]) -> str:
    """A page of HTML, whole."""
    info, tags = described["info"], described["tags"]
    by_tag = {
        tag["name"]: [one for one in operations(described) if one[2]["tags"][-1] == tag["name"]]
        for tag in tags
    }
    shown = [tag for tag in tags if by_tag[tag["name"]]]
    sections = chain.from_iterable(_section(tag, by_tag[tag["name"]], described) for tag in shown)
    intro = "".join(f"<p>{_text(part)}</p>" for part in info["description"].strip().split("\n\n"))
    return "".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<title>Wicket REST API</title><link rel="stylesheet" href="{STYLE_PATH}"></head><body>',
            '<a class="skip" href="#main">Skip to the operations</a>',
            f"<header><h1>Wicket REST API</h1><p>Version {_text(info['version'])}, for machines: ",
            '<a href="/api/openapi.json">openapi.json</a></p></header>',
            f'<div class="page"><nav aria-label="Groups">{_navigation(shown, by_tag)}</nav>',
            f'<main id="main">{intro}{"".join(sections)}{_schemas(described)}{_codes()}</main></div>',
            "</body></html>\n",
        )
    )


def _navigation(tags: Sequence[Schema], by_tag: Mapping[str, Sequence[Any]]) -> str:
    items = (
        f'<li><a href="#{_id(tag["name"])}">{_text(tag["name"])}</a> {len(by_tag[tag["name"]])}</li>'
        for tag in tags
    )
    return (
        f'<ul>{"".join(items)}<li><a href="#shapes">shapes</a></li><li><a href="#codes">codes</a></li></ul>'
    )


def _section(tag: Schema, found: Sequence[tuple[str, str, Schema]], described: Schema) -> Iterator[str]:
    yield f'<section><h2 id="{_id(tag["name"])}">{_text(tag["name"])}</h2><p>{_text(tag["description"])}.</p>'
    for path, method, operation in found:
        yield "<details><summary>"
        yield f'<span class="method {method}">{method.upper()}</span> <code class="path">{escape(path)}</code> '
        yield f'<span class="about">{_text(operation["summary"])}</span></summary>'
        # A browser opens what is closed around the target of a link, and not the target itself.
        yield f'<div id="{escape(operation["operationId"])}">'
        yield from _operation(operation, described)
        yield "</div></details>"
    yield "</section>"


def _operation(operation: Schema, described: Schema) -> Iterator[str]:
    if "description" in operation:
        yield f"<p>{_text(operation['description'])}</p>"
    guard = Guard(operation[GUARD])
    scope = "" if not operation["security"] else f" A token needs the scope <code>{operation[SCOPE]}</code>."
    if guard is Guard.SESSION:
        scope = ""
    yield f"<p><strong>Who may:</strong> {_text(WHO[guard])}.{scope}</p>"
    parameters = [
        (f"<code>{escape(one['name'])}</code>", f"{one['in']}", _type(one["schema"]), _about(one))
        for one in operation.get("parameters", ())
    ]
    if parameters:
        yield _table("Parameters", ("Name", "In", "Type", "Meaning"), parameters)
    if "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        yield f"<h3>Body</h3><p>{_type(content['schema'])}</p>"
        if "example" in content:
            yield f'<pre tabindex="0"><code>{escape(json.dumps(content["example"], indent=2))}</code></pre>'
    yield _table("Answers", ("Status", "Body", "Meaning"), list(_answers(operation["responses"], described)))


def _answers(responses: Mapping[str, Schema], described: Schema) -> Iterator[tuple[str, str, str]]:
    for status, answer in sorted(responses.items()):
        said = _resolved(answer, described)
        if MEDIA_TYPE in said.get("content", {}):
            _, narrowed = said["content"][MEDIA_TYPE]["schema"]["allOf"]
            codes = narrowed["properties"]["code"]["enum"]
            links = ", ".join(f'<a href="#code-{code}"><code>{code}</code></a>' for code in codes)
            yield status, _link("Problem"), links
            continue
        bodies = [
            _type(content["schema"])
            if media_type == "application/json"
            else f"<code>{escape(media_type)}</code>"
            for media_type, content in said.get("content", {}).items()
        ]
        yield status, " or ".join(bodies) or "none", ""


def _schemas(described: Schema) -> str:
    parts = ['<section><h2 id="shapes">shapes</h2><p>What bodies are made of.</p>']
    for name, schema in sorted(described["components"]["schemas"].items()):
        parts.append(f"<details><summary><code>{escape(name)}</code></summary>")
        parts.append(f'<div id="shape-{escape(name)}">')
        parts.append(f"<p>{_text(schema['description'])}</p>" if "description" in schema else "")
        required = schema.get("required", ())
        rows = [
            (f"<code>{escape(field)}</code>", _type(of), "always" if field in required else "", _about(of))
            for field, of in schema.get("properties", {}).items()
        ]
        parts.append(
            _table("", ("Field", "Type", "There", "Meaning"), rows) if rows else f"<p>{_type(schema)}</p>"
        )
        parts.append("</div></details>")
    return "".join([*parts, "</section>"])


def _codes() -> str:
    rows = [
        (f'<code id="code-{name}">{name}</code>', str(code.status), _text(code.meaning))
        for name, code in sorted(CODES.items())
    ]
    return (
        '<section><h2 id="codes">codes</h2><p>The <code>code</code> of a problem never changes; its sentence may.</p>'
        f"{_table('', ('Code', 'HTTP', 'Meaning'), rows)}</section>"
    )


def _type(schema: Schema) -> str:
    """A schema in a few words, as HTML."""
    match schema:
        case {"$ref": str(ref)}:
            return _link(ref.removeprefix(REF + "schemas/"))
        case {"anyOf": [*choices]} | {"oneOf": [*choices]}:
            return " or ".join(_type(choice) for choice in choices)
        case {"const": value}:
            return f"<code>{escape(json.dumps(value))}</code>"
        case {"enum": [*values]}:
            return " or ".join(f"<code>{escape(json.dumps(value))}</code>" for value in values)
        case {"type": "array", "items": items}:
            return f"list of {_type(items)}"
        case {"type": "object", "additionalProperties": dict(values)} if values:
            return f"object of {_type(values)}"
        case {"type": "string", "format": str(name)}:
            return FORMATS.get(name, name)
        case {"type": str(kind)}:
            return "text" if kind == "string" else kind
        case _:
            return "anything"


def _link(name: str) -> str:
    return f'<a href="#shape-{escape(name)}">{escape(name)}</a>'


def _about(schema: Schema) -> str:
    return _text(schema.get("description", ""))


def _resolved(answer: Schema, described: Schema) -> Schema:
    if "$ref" not in answer:
        return answer
    found: Schema = described["components"]["responses"][answer["$ref"].removeprefix(REF + "responses/")]
    return found


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    above = f"<h3>{title}</h3>" if title else ""
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
    return f'{above}<div class="wide" tabindex="0">{table}</div>'


def _text(text: str) -> str:
    """Words of ours or of a docstring as HTML; what stands between backticks is code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if place % 2 else part for place, part in enumerate(parts))


def _id(name: str) -> str:
    return escape(name.replace(" ", "-"))
