"""An agent's own settings, where it differs from the instance."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from wicket.core.errors import Invalid, NotFound
from wicket.core.model import DenialShape, Json, JsonObject
from wicket.core.world import AgentSettings
from wicket.store import tables
from wicket.store.changes import record_change

RATE_MAX: Final = 1_000_000
_FIELDS: Final = frozenset({"rateBurst", "ratePerSecond", "denialShape", "timeZone"})


@dataclass(frozen=True, slots=True)
class StoredSettings:
    """None: as the instance has it."""

    rate_burst: int | None = None
    rate_per_second: float | None = None
    denial_shape: DenialShape = DenialShape.ERROR
    time_zone: str | None = None
    """IANA name that people see instants in; policies name their own."""

    @property
    def of_world(self) -> AgentSettings:
        return AgentSettings(self.rate_burst, self.rate_per_second, self.denial_shape)


def parse_settings(raw: Mapping[str, Json], *, known_zones: frozenset[str] | None = None) -> StoredSettings:
    """Read settings as they stand on the wire; raises Invalid naming the field. Null is the same as absent.

    `known_zones` are the IANA names to accept; None accepts what was accepted when it was stored.
    """
    for field in raw.keys() - _FIELDS:
        raise Invalid(f"`{field}` is no setting of an agent: remove it", field=field)
    return StoredSettings(
        rate_burst=_parse_burst(raw.get("rateBurst")),
        rate_per_second=_parse_rate(raw.get("ratePerSecond")),
        denial_shape=_parse_shape(raw.get("denialShape")),
        time_zone=_parse_zone(raw.get("timeZone"), known_zones),
    )


def render_settings(settings: StoredSettings) -> JsonObject:
    """Every setting, null where the instance's applies."""
    return {
        "rateBurst": settings.rate_burst,
        "ratePerSecond": settings.rate_per_second,
        "denialShape": settings.denial_shape.value,
        "timeZone": settings.time_zone,
    }


def get_settings(tx: sa.Connection, *, agent_id: str) -> StoredSettings:
    """The settings of an agent; raises NotFound."""
    stored = tx.execute(
        sa.select(tables.agents.c.settings).where(
            tables.agents.c.id == agent_id, tables.agents.c.deleted_at.is_(None)
        )
    ).scalar_one_or_none()
    if stored is None:
        raise NotFound(f"there is no agent `{agent_id}`: list the agents to find its id")
    return parse_settings(json.loads(stored))


def put_settings(
    tx: sa.Connection, *, agent_id: str, settings: StoredSettings, actor_id: str | None, now: datetime
) -> None:
    """Replace the settings of an agent; raises NotFound."""
    get_settings(tx, agent_id=agent_id)
    rendered = render_settings(settings)
    tx.execute(
        sa.update(tables.agents).where(tables.agents.c.id == agent_id).values(settings=json.dumps(rendered))
    )
    record_change(
        tx,
        kind="agent_settings_changed",
        agent_id=agent_id,
        actor_id=actor_id,
        body={"settings": rendered},
        now=now,
    )


def _parse_burst(value: Json) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= RATE_MAX:
        return value
    raise Invalid(f"`rateBurst` is a whole number from 1 to {RATE_MAX}, or null", field="rateBurst")


def _parse_rate(value: Json) -> float | None:
    if value is None:
        return None
    if (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and 0 < value <= RATE_MAX
    ):
        return float(value)
    raise Invalid(f"`ratePerSecond` is a number above 0 up to {RATE_MAX}, or null", field="ratePerSecond")


def _parse_shape(value: Json) -> DenialShape:
    if value is None:
        return DenialShape.ERROR
    if isinstance(value, str) and value in set(DenialShape):
        return DenialShape(value)
    raise Invalid("`denialShape` is `error` or `toolResult`", field="denialShape")


def _parse_zone(value: Json, known_zones: frozenset[str] | None) -> str | None:
    if value is None:
        return None
    if isinstance(value, str) and (known_zones is None or value in known_zones):
        return value
    raise Invalid("`timeZone` is an IANA name such as `Europe/Berlin`, or null", field="timeZone")
