"""The log as OpenTelemetry log records, by OTLP over HTTP in its JSON encoding, for whoever collects them.

Each process sends what its own recorder has committed, read from the log itself: so nothing is sent that is not
recorded, no call waits for a collector, and several processes send each entry once. How far it got is kept in memory:
what a process that is killed had not sent yet is in the log, but not at the collector.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import orjson
import structlog

from wicket.core.errors import Unavailable, UpstreamFailed
from wicket.core.model import Json, JsonObject
from wicket.runtime.wire import Wire, WireRequest, header_lines
from wicket.store.audit.following import Committed, Position, position_now, read_after
from wicket.store.audit.render import render, render_outcome
from wicket.store.db import Database

INTERVAL_S: Final = 1.0
TIMEOUT_S: Final = 10.0
BACKOFF_MAX_S: Final = 60.0
LAST_ROUND_S: Final = 3.0
LAG_ROWS_MAX: Final = 100_000
"""Behind which the collector is not caught up with any more: it goes on with the newest."""
ANSWER_BYTES_MAX: Final = 64 * 1024
TRY_AGAIN: Final = frozenset({408, 429, 502, 503, 504})
"""OTLP 1.x, "Retryable Response Codes", and a timeout."""
INFO, WARN = (9, "INFO"), (13, "WARN")
ALL_KNOWN: Final = 2**31 - 1
"""A position that knows every writer id has no new ones: only those that it names are read."""
_CAPITAL: Final = re.compile(r"(?=[A-Z])")

_log = structlog.get_logger()


class Exporter:
    """Follows this process's own part of the log; start it after the recorder, and stop it after that has stopped."""

    def __init__(
        self,
        database: Database,
        wire: Wire,
        *,
        endpoint: str,
        version: str,
        own_writers: Callable[[], Sequence[int]],
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._database = database
        self._wire = wire
        self._url = endpoint.rstrip("/") + "/v1/logs"
        self._version = version
        self._own_writers = own_writers
        self._interval_s = interval_s
        self._position = Position(ALL_KNOWN, {})
        self._begun = 0
        """How many of the own writers are followed, or were read to their end."""
        self._exporting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._exporting = asyncio.create_task(self._export_again_and_again())

    async def stop(self) -> None:
        """Send what is left, if the collector takes it in time."""
        if self._exporting is not None:
            self._exporting.cancel()
            with suppress(asyncio.CancelledError):
                await self._exporting
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(LAST_ROUND_S):
                await self.export()

    async def export(self) -> None:
        """Send what is new; raises Unavailable when the collector does not take it."""
        is_end = False
        while not is_end:
            writers = self._own_writers()
            seqs = {**self._position.seqs, **dict.fromkeys(writers[self._begun :], 0)}
            self._position, self._begun = Position(ALL_KNOWN, seqs), len(writers)
            stretch = await self._database.read(read_after, self._position)
            if stretch.rows:
                await self._send(stretch.rows)
            self._position, is_end = stretch.position, stretch.is_end
            if not is_end:
                await self._skip_what_is_too_old()

    async def _skip_what_is_too_old(self) -> None:
        newest = await self._database.read(position_now)
        lag = {w: newest.seqs.get(w, 0) - seq for w, seq in self._position.seqs.items()}
        skipped = {writer: rows for writer, rows in lag.items() if rows > LAG_ROWS_MAX}
        if skipped:
            seqs = {w: newest.seqs[w] if w in skipped else seq for w, seq in self._position.seqs.items()}
            self._position = Position(ALL_KNOWN, seqs)
            _log.warning(
                "the collector is too slow: rows of the log were skipped", rows=sum(skipped.values())
            )

    async def _send(self, rows: Sequence[Committed]) -> None:
        request = WireRequest(
            url=self._url,
            headers=header_lines({"Content-Type": "application/json"}),
            body=_encoded(render_logs(rows, version=self._version)),
            timeout_s=TIMEOUT_S,
            service="the OpenTelemetry collector",
            response_bytes_max=ANSWER_BYTES_MAX,
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._wire.send(request)
                try:
                    await answer.read()
                finally:
                    answer.close()
        except (UpstreamFailed, TimeoutError) as error:
            raise Unavailable(f"the OpenTelemetry collector did not take the log: {error}") from error
        if answer.status in TRY_AGAIN:
            raise Unavailable(f"the OpenTelemetry collector answered {answer.status}")
        if answer.status // 100 != 2:  # noqa: PLR2004 - the class of statuses that say yes
            # Sending it again would be refused again: OTLP asks to drop it.
            _log.error("the collector refused rows of the log", status=answer.status, rows=len(rows))

    async def _export_again_and_again(self) -> None:
        backoff_s = self._interval_s
        while True:
            wait_s = self._interval_s
            try:
                await self.export()
                backoff_s = self._interval_s
            except Unavailable as error:
                _log.warning("the log could not be exported", error=str(error), again_in_s=backoff_s)
                wait_s, backoff_s = backoff_s, min(2 * backoff_s, BACKOFF_MAX_S)
            except Exception:  # noqa: BLE001 - the top of the task: without it nothing would be exported any more
                _log.exception("the log could not be exported")
                wait_s = BACKOFF_MAX_S
            await asyncio.sleep(wait_s)


def _encoded(logs: JsonObject) -> bytes:
    try:
        return orjson.dumps(logs)
    except TypeError:  # half of a surrogate pair, which only an escape can carry
        return json.dumps(logs).encode()


def render_logs(rows: Iterable[Committed], *, version: str) -> JsonObject:
    """An ExportLogsServiceRequest (OTLP 1.x, JSON encoding)."""
    resource = {"service.name": "wicket", "service.version": version}
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeLogs": [
                    {
                        "scope": {"name": "wicket.audit", "version": version},
                        "logRecords": [_record(row) for row in rows],
                    }
                ],
            }
        ]
    }


def _record(row: Committed) -> JsonObject:
    """An entry when it was decided; or how one ended, as far as that is known by then."""
    entry = render(row.entry)
    number, text = WARN if entry["decision"] == "DENY" else INFO
    tool = f"{entry['service']}.{entry['tool']}"
    if row.outcome is None:
        name, body, fields = "wicket.decision", f"{entry['decision']} {tool}: {entry['reason']}", entry
    else:
        fields = render_outcome(row.outcome)
        name, body = "wicket.outcome", f"{fields['outcome']} {tool}"
    return {
        "timeUnixNano": str(row.at * 1_000),
        "observedTimeUnixNano": str(row.at * 1_000),
        "severityNumber": number,
        "severityText": text,
        "eventName": name,
        "body": {"stringValue": body},
        "attributes": _attributes({f"wicket.{_snake(name)}": value for name, value in fields.items()}),
    }


def _snake(name: str) -> str:
    return _CAPITAL.sub("_", name).lower()


def _attributes(values: Mapping[str, Json]) -> list[Json]:
    return [{"key": name, "value": _value(value)} for name, value in values.items() if value is not None]


def _value(value: Json) -> JsonObject:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}  # 64 bits are text in the JSON encoding
        case float():
            return {"doubleValue": value}
        case str():
            return {"stringValue": str(value)}
        case _:
            return {"stringValue": json.dumps(value, ensure_ascii=False)}
