"""The process's own log: one event a line on stderr, for people on a terminal, as JSON otherwise.

What other libraries log comes through here in the same form. Secrets never reach it: events carry names and ids, and
a traceback shows no values of variables. Nor can anybody forge a line: JSON escapes what would begin one, and for
people it is escaped here, and tracebacks stand behind a margin.
"""

import logging
import sys
from traceback import format_exception
from typing import Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from wicket.core.printable import printable

LIBRARY_LEVEL = logging.WARNING
MARGIN: Final = "  | "


def configure_logs(log_format: Literal["auto", "console", "json"]) -> None:
    """Set up logging for this process; `auto` looks whether stderr is a terminal."""
    is_console = log_format == "console" or (log_format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: list[Processor] = (
        [_in_one_line, structlog.dev.ConsoleRenderer(exception_formatter=_render_traceback)]
        if is_console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LIBRARY_LEVEL)
    logging.getLogger("wicket").setLevel(logging.INFO)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _in_one_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {name: printable(value) if isinstance(value, str) else value for name, value in event.items()}


def _render_traceback(out: TextIO, exc_info: ExcInfo) -> None:
    lines = "".join(format_exception(*exc_info)).splitlines()
    out.writelines(f"\n{MARGIN}{printable(line)}" for line in lines)
