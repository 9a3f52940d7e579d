"""Entries as lines of JSON that the database makes, a whole stretch of the log in one text: what an export is made of.

Read row by row and rendered here, millions of entries would take many times as long, and the interpreter with it.
What is stored as JSON goes into a line as it stands: the recorder wrote it in the form in which we answer. Some
entries are not for the database, and of those a line is the bare id: entries with a character that is written as a
number (no two databases read the same ones), entries of a member from whom policies are withheld, very long ones, and
on SQLite those that ended twice. `render.py` says what their lines are, as it says it of all others.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa

from wicket.core.model import Outcome
from wicket.store import tables
from wicket.store.audit.fields import FIELDS, STRUCTURED, ExportFormat
from wicket.store.audit.following import Position
from wicket.store.audit.lanes import Condition, audit
from wicket.store.audit.render import agent_names, service_names, tool_names
from wicket.store.audit.viewer import Viewer

BODY_BYTES_MAX: Final = 16 * 1024
"""Of entries that the database makes lines of."""
NUMBERED: Final = "\\u"
"""How JSON writes a character as a number."""
ending: Final = tables.outcomes.alias("ending")
endings: Final = tables.outcomes.alias("endings")

_COLUMNS: Final = {
    "id": "audit.id",
    "agentId": "audit.agent_id",
    "agentName": "agent_names.name",
    "memberId": "audit.member_id",
    "memberKeyId": "audit.key_id",
    "sessionId": "audit.session_id",
    "service": "service_names.name",
    "tool": "tool_names.name",
    "resource": "nullif(audit.resource, '')",
    "callerIp": "audit.caller_ip",
    "decision": "CASE WHEN audit.denied THEN 'DENY' ELSE 'ALLOW' END",
    "reason": "audit.reason",
    "reasonCode": "audit.reason_code",
    "denyMessage": "audit.deny_message",
    "outcome": "coalesce(ending.outcome, CASE WHEN audit.denied THEN 'refused' ELSE 'pending' END)",
    "seq": "audit.seq",
}
_TEXTS: Final = ("memberName", "action", "principal", "clientName", "clientVersion", "protocolVersion")
_NUMBERS: Final = ("decisionMs", "requestBytes")
_OBJECTS: Final = ("toolArgs", "matchedPolicies", "resources")
_MEASURED: Final = ("durationMs", "count", "upstreamStatus", "recordMs", "upstreamMs", "responseBytes")


def _sqlite_number(body: str, name: str) -> str:
    """As it is written, where it is one."""
    return f"CASE WHEN {body} ->> '$.{name}' IS NOT NULL THEN {body} -> '$.{name}' END"


def _sqlite_policies(none: str, one: str, each: str) -> str:
    """A list with something of each policy; most entries name one at most."""
    whole = f"SELECT json_group_array({each}) FROM json_each(audit.body, '$.matchedPolicies')"  # noqa: S608 - ours
    count = "json_array_length(audit.body, '$.matchedPolicies')"
    return f"CASE {count} WHEN 0 THEN {none} WHEN 1 THEN {one} ELSE ({whole}) END"


def _postgres_policies(of: str) -> str:
    """A list with something of each policy, as compact as all the rest; most entries name one at most."""
    policies = 'told."matchedPolicies"'
    each = f"SELECT one -> '{of}' FROM json_array_elements({policies}) AS one"  # noqa: S608 - our own names
    one = f"concat('[', {policies} -> 0 -> '{of}', ']')"
    return (
        f"CASE json_array_length({policies}) WHEN 0 THEN '[]' WHEN 1 THEN {one}"
        f" ELSE array_to_json(ARRAY({each}))::text END"
    )


_FIRST: Final = "audit.body -> '$.matchedPolicies[0]"
_SQLITE: Final[Mapping[str, str]] = MappingProxyType(
    _COLUMNS
    | {name: f"audit.body ->> '$.{name}'" for name in _TEXTS}
    | {name: _sqlite_number("audit.body", name) for name in _NUMBERS}
    | {name: _sqlite_number("ending.body", name) for name in _MEASURED}
    | {
        "timestamp": "strftime('%Y-%m-%dT%H:%M:%S.', audit.decided_at / 1000000, 'unixepoch')"
        " || substr('00000' || audit.decided_at, -6) || 'Z'",
        "toolArgs": "audit.body -> '$.toolArgs'",
        "resources": "coalesce(audit.body -> '$.resources', json('[]'))",
        "matchedPolicyIds": _sqlite_policies(
            "json('[]')", f"json_array({_FIRST}.key')", "json_each.value -> '$.key'"
        ),
        "matchedPolicyNames": _sqlite_policies(
            "json('[]')", f"json_array({_FIRST}.name')", "json_each.value -> '$.name'"
        ),
        "matchedPolicies": _sqlite_policies(
            "json('[]')",
            "json_remove(audit.body -> '$.matchedPolicies', '$[0].digest')",
            "json_remove(json_each.value, '$.digest')",
        ),
        "policyId": "audit.body ->> '$.matchedPolicies[0].id'",
        "count": "coalesce(ending.body -> '$.count', 1)",
        "hash": "lower(hex(audit.hash))",
    }
)
_POSTGRES_NULLABLE: Final[Mapping[str, str]] = MappingProxyType(
    {name: f'told."{name}"' for name in (*_TEXTS, *_NUMBERS)}
    | {name: f'measured."{name}"' for name in _MEASURED if name != "count"}
    | {name: f"to_json({_COLUMNS[name]})" for name in ("sessionId", "resource", "denyMessage")}
    | {"policyId": """told."matchedPolicies" -> 0 -> 'id'"""}
)
"""Of type json."""
_POSTGRES: Final[Mapping[str, str]] = MappingProxyType(
    {name: f"to_json({column})" for name, column in _COLUMNS.items() if name not in _POSTGRES_NULLABLE}
    | {
        "timestamp": "to_char(timestamp '1970-01-01' + audit.decided_at * interval '1 microsecond',"
        """ '"\\""YYYY-MM-DD"T"HH24:MI:SS.US"Z\\""')""",
        "decision": """CASE WHEN audit.denied THEN '"DENY"' ELSE '"ALLOW"' END""",
        "toolArgs": 'told."toolArgs"',
        "resources": """coalesce(told."resources", json '[]')""",
        "matchedPolicyIds": _postgres_policies("key"),
        "matchedPolicyNames": _postgres_policies("name"),
        # Within the list, whose values are texts and numbers, only a key can stand behind a comma in quotes.
        "matchedPolicies": """regexp_replace(told."matchedPolicies"::text,"""
        """ ',"digest":"[0-9a-f]*"}', '}', 'g')""",
        "count": """coalesce(measured."count", json '1')""",
        "seq": "audit.seq",
        "hash": """concat('"', encode(audit.hash, 'hex'), '"')""",
    }
)
"""Texts of JSON, or values that become it."""


def make_lines(
    tx: sa.Connection,
    conditions: Sequence[Condition],
    *,
    viewer: Viewer,
    until: Position,
    form: ExportFormat,
) -> tuple[bytes, int]:
    """The entries on which the conditions hold, newest first, and how many: objects, or for CSV lists of cells.

    They are read oldest first and turned round here: a file that is read forwards is read ahead by the system, and
    one that is read backwards is waited for page by page, four times as long where nothing of it is in memory.
    """
    is_sqlite = tx.dialect.name == "sqlite"
    line = (_sqlite_line if is_sqlite else _postgres_line)(form)
    make = _select_on_sqlite if is_sqlite else _select_on_postgres
    lines = make(line, viewer, until)
    found = lines.where(*conditions, until.covers(audit.writer, audit.seq)).order_by(audit.id).subquery()
    text: sa.ColumnElement[Any] = (
        sa.cast(sa.func.group_concat(found.c.line, "\n"), sa.LargeBinary)
        if is_sqlite
        else sa.func.convert_to(sa.func.string_agg(found.c.line, "\n"), "UTF8")
    )
    row = tx.execute(sa.select(text, sa.func.count()).select_from(found)).one()
    return b"\n".join(reversed((row[0] or b"").split(b"\n"))), row[1]


def _sqlite_line(form: ExportFormat) -> str:
    if form is ExportFormat.JSONL:
        fields = ", ".join(f"'{name}', {_SQLITE[name]}" for name in FIELDS)
        return f"json_object({fields})"
    cells = (
        f"({_SQLITE[name]}) || ''" if name in STRUCTURED else f"coalesce({_SQLITE[name]}, '')"
        for name in FIELDS
    )
    return f"json_array({', '.join(cells)})"


def _postgres_line(form: ExportFormat) -> str:
    """Pieces of text in a row: what PostgreSQL's own functions make of so many fields takes twice as long."""
    is_csv = form is ExportFormat.CSV
    none, begin, end = ('""', "[", "]") if is_csv else ("null", "{", "}")
    pieces = []
    for name in FIELDS:
        value = (
            f"coalesce({_POSTGRES_NULLABLE[name]}, json '{none}')"
            if name in _POSTGRES_NULLABLE
            else _POSTGRES[name]
        )
        if is_csv and name in STRUCTURED:
            value = f"to_json(({value})::text)"
        pieces += [f"'{begin}'" if is_csv else f"""'{begin}"{name}":'""", value]
        begin = ","
    return f"concat({', '.join(pieces)}, '{end}')"


def _is_left(viewer: Viewer) -> list[sa.ColumnElement[bool]]:
    """What leaves the line of an entry to us."""
    told = [sa.func.octet_length(audit.body) > BODY_BYTES_MAX]
    withheld = sorted(viewer.withheld_members)
    return [*told, audit.member_id.in_(withheld)] if withheld else told


def _select_on_sqlite(line: str, viewer: Viewer, until: Position) -> sa.Select[Any]:
    ends = (
        sa.select(sa.func.count())
        .select_from(endings)
        .where(endings.c.entry_id == audit.id)
        .correlate(tables.audit)
        .scalar_subquery()
    )
    is_left = sa.or_(*_is_left(viewer), sa.func.instr(audit.body, NUMBERED) > 0, ends > 1)
    ended = sa.and_(ending.c.entry_id == audit.id, until.covers(ending.c.writer, ending.c.seq), ends == 1)
    lines = _named(sa.case((is_left, audit.id), else_=sa.literal_column(line)))
    return lines.outerjoin(ending, ended)


def _select_on_postgres(line: str, viewer: Viewer, until: Position) -> sa.Select[Any]:
    is_left = sa.or_(*_is_left(viewer), sa.func.strpos(audit.body, NUMBERED) > 0)
    nothing: sa.ColumnElement[str] = sa.literal_column("'{}'")
    last = (
        sa.select(endings.c.outcome, endings.c.body)
        .where(endings.c.entry_id == audit.id, until.covers(endings.c.writer, endings.c.seq))
        .order_by(
            (endings.c.outcome != sa.literal_column(f"'{Outcome.INTERRUPTED}'")).desc(),
            endings.c.ended_at.desc(),
        )
        .limit(1)
        .correlate(tables.audit)
        .lateral("ending")
    )
    told = _record(sa.case((is_left, nothing), else_=audit.body), (*_TEXTS, *_NUMBERS, *_OBJECTS), "told")
    measured = _record(sa.func.coalesce(last.c.body, nothing), _MEASURED, "measured")
    lines = _named(sa.case((is_left, audit.id), else_=sa.literal_column(line)))
    return (
        lines.outerjoin(last, sa.true())
        .outerjoin(told.lateral("told"), sa.true())
        .outerjoin(measured.lateral("measured"), sa.true())
    )


def _record(text: sa.ColumnElement[str], names: Sequence[str], name: str) -> Any:
    """Some members of a JSON object, each as it stands: it is read once for all of them."""
    columns = [sa.column(one, sa.JSON) for one in names]
    found = sa.func.json_to_record(sa.cast(text, sa.JSON)).table_valued(*columns, name=name)
    return found.render_derived(name=name, with_types=True)


def _named(line: sa.ColumnElement[Any]) -> sa.Select[Any]:
    return (
        sa.select(line.label("line"))
        .select_from(tables.audit)
        .join(agent_names, agent_names.c.id == audit.agent_name)
        .join(service_names, service_names.c.id == audit.service)
        .join(tool_names, tool_names.c.id == audit.tool)
    )
