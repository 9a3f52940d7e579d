"""Agents: who owns them, whether they may act, which services they have, how they differ from the instance."""

from wicket.store.agents.etags import check_agent, check_settings, etag_of, etag_of_settings
from wicket.store.agents.reads import (
    DIRECTIONS,
    SORTS,
    SeenAgent,
    StoredAgent,
    find_agents,
    get_agent,
    get_agent_of,
    list_agents,
    list_all_agents,
)
from wicket.store.agents.saves import create_agent, delete_agent, set_status, update_agent
from wicket.store.agents.services import ServiceState, list_services, seed_baseline, set_services
from wicket.store.agents.settings import (
    StoredSettings,
    get_settings,
    parse_settings,
    put_settings,
    render_settings,
)

__all__ = [
    "DIRECTIONS",
    "SORTS",
    "SeenAgent",
    "ServiceState",
    "StoredAgent",
    "StoredSettings",
    "check_agent",
    "check_settings",
    "create_agent",
    "delete_agent",
    "etag_of",
    "etag_of_settings",
    "find_agents",
    "get_agent",
    "get_agent_of",
    "get_settings",
    "list_agents",
    "list_all_agents",
    "list_services",
    "parse_settings",
    "put_settings",
    "render_settings",
    "seed_baseline",
    "set_services",
    "set_status",
    "update_agent",
]
