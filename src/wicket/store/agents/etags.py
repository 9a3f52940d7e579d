"""Entity tags: what an agent, or its settings, looked like to whoever wants to change exactly that."""

import json
from collections.abc import Collection
from hashlib import sha256

import sqlalchemy as sa

from wicket.core.errors import Conflict
from wicket.core.model import Json
from wicket.store.agents.reads import StoredAgent, get_agent
from wicket.store.agents.settings import StoredSettings, get_settings, render_settings


def etag_of(agent: StoredAgent) -> str:
    """Another one whenever something that the agent's people see of it is another."""
    return _etag([agent.name, agent.status, agent.status_reason, [*agent.tags], [*agent.services]])


def etag_of_settings(settings: StoredSettings) -> str:
    """The same of an agent's settings."""
    return _etag(render_settings(settings))


def check_agent(tx: sa.Connection, *, agent_id: str, etags: Collection[str] | None) -> None:
    """Raise Conflict `version_conflict` unless the agent has one of `etags`; None is content with any."""
    if etags is not None:
        _check(etag_of(get_agent(tx, agent_id=agent_id)), etags)


def check_settings(tx: sa.Connection, *, agent_id: str, etags: Collection[str] | None) -> None:
    """The same for its settings."""
    if etags is not None:
        _check(etag_of_settings(get_settings(tx, agent_id=agent_id)), etags)


def _check(found: str, etags: Collection[str]) -> None:
    if found not in etags:
        raise Conflict(
            "it has changed since you read it: read it again and repeat the change",
            code="version_conflict",
            status=412,
        )


def _etag(shown: Json) -> str:
    return sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()[:24]
