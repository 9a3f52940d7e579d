import tomllib
from collections import Counter
from importlib.resources import files
from typing import Any

import pytest

from wicket.connectors import auth_facts, catalog, custom_namespace, is_reserved
from wicket.connectors.services import SERVICES, parse_entry
from wicket.core.errors import Invalid
from wicket.core.model import AuthType, ConnectorKind, Tier

SERVICE_TABLE = [
    # key, name, namespace, tools offered that read, write, destroy
    ("github", "GitHub", "GitHubMCP", 63, 50, 14),
    ("slack", "Slack", "SlackMCP", 14, 10, 3),
    ("linear", "Linear", "LinearMCP", 42, 27, 9),
    ("notion", "Notion", "NotionMCP", 25, 13, 4),
    ("stripe", "Stripe", "StripeMCP", 11, 0, 2),
    ("vercel", "Vercel", "VercelMCP", 23, 9, 6),
    ("supabase", "Supabase", "SupabaseMCP", 20, 4, 8),
    ("hubspot", "HubSpot", "HubSpotMCP", 18, 16, 0),
    ("airtable", "Airtable", "AirtableMCP", 22, 15, 6),
    ("planetscale", "PlanetScale", "PlanetScaleMCP", 19, 0, 1),
    ("atlassian", "Atlassian", "AtlassianMCP", 24, 13, 0),
    ("sentry", "Sentry", "SentryMCP", 39, 8, 7),
    ("cloudflare", "Cloudflare", "CloudflareMCP", 18, 7, 7),
    ("huggingface", "Hugging Face", "HuggingFaceMCP", 3, 1, 6),
    ("google", "Google", "GoogleMCP", 20, 19, 7),
    ("prowler", "Prowler", "ProwlerMCP", 62, 26, 13),
]


def test_the_catalog_holds_the_sixteen_services() -> None:
    assert list(catalog()) == [row[0] for row in SERVICE_TABLE]
    stored = {file.name for file in files("wicket.connectors").joinpath("catalog").iterdir()}
    assert stored == {f"{key}.toml" for key in SERVICES}


@pytest.mark.parametrize(("key", "name", "namespace", "reads", "writes", "destroys"), SERVICE_TABLE)
def test_a_service_is_what_users_know(
    key: str, name: str, namespace: str, reads: int, writes: int, destroys: int
) -> None:
    connector = catalog()[key]
    assert (connector.key, connector.name, connector.namespace) == (key, name, namespace)
    assert connector.kind is ConnectorKind.CATALOG
    assert connector.auth is AuthType.BEARER
    assert connector.auth_header == "Authorization"
    assert connector.per_member
    assert connector.url.startswith("https://")
    tiers = Counter(tool.tier for tool in connector.tools.values() if tool.offered)
    assert (tiers[Tier.READ], tiers[Tier.WRITE], tiers[Tier.DESTRUCTIVE]) == (reads, writes, destroys)


def test_every_tool_is_filed_under_its_own_name() -> None:
    for connector in catalog().values():
        assert all(name == tool.name for name, tool in connector.tools.items())
        assert not any("__" in name for name in connector.tools)


@pytest.mark.parametrize(
    ("service", "tool", "tier"),
    [
        ("github", "create_repository", Tier.DESTRUCTIVE),
        ("github", "fork_repository", Tier.DESTRUCTIVE),
        ("github", "merge_pull_request", Tier.DESTRUCTIVE),
        ("github", "delete_file", Tier.DESTRUCTIVE),
        ("github", "get_file_contents", Tier.READ),
        ("github", "push_files", Tier.WRITE),
        ("slack", "slack_get_file_upload_url", Tier.WRITE),
        ("slack", "slack_send_message", Tier.WRITE),
        ("cloudflare", "d1_database_query", Tier.DESTRUCTIVE),
        ("supabase", "execute_sql", Tier.DESTRUCTIVE),
        ("google", "gmail.search_threads", Tier.READ),
        ("linear", "merge_diff", Tier.DESTRUCTIVE),
    ],
)
def test_our_table_and_not_the_vendors_hint_says_how_much_harm_a_tool_can_do(
    service: str, tool: str, tier: Tier
) -> None:
    assert catalog()[service].tools[tool].tier is tier


def test_tools_that_a_service_no_longer_offers_are_known_by_name() -> None:
    gone = {f"{c.key} {t.name}" for c in catalog().values() for t in c.tools.values() if not t.offered}
    assert gone == {"slack slack_reply_to_thread", "slack slack_update_message", "slack slack_delete_message"}


def test_a_multiplexing_tool_has_a_selector_with_tiers() -> None:
    tool = catalog()["github"].tools["label_write"]
    assert tool.selector == "method"
    assert tool.selector_tiers == {"create": Tier.WRITE, "update": Tier.WRITE, "delete": Tier.DESTRUCTIVE}
    assert tool.resource_args == ("owner", "repo")


def test_the_tool_that_runs_sentrys_tools_has_their_tiers() -> None:
    tools = catalog()["sentry"].tools
    assert tools["execute_sentry_tool"].selector == "name"
    assert tools["execute_sentry_tool"].selector_tiers == {name: tool.tier for name, tool in tools.items()}


def test_no_selector_of_a_tool_that_reads_does_more() -> None:
    for connector in catalog().values():
        for tool in connector.tools.values():
            if tool.tier is Tier.READ:
                assert set(tool.selector_tiers.values()) <= {Tier.READ}


def test_arguments_that_hold_secrets_under_harmless_names_are_known() -> None:
    assert catalog()["sentry"].tools["create_uptime_monitor"].secret_args == ("headers",)


@pytest.mark.parametrize("key", ["notion", "vercel", "hubspot", "sentry", "google"])
def test_a_service_that_takes_no_pasted_token_says_so(key: str) -> None:
    assert not auth_facts(key).accepts_token


@pytest.mark.parametrize("key", ["github", "slack", "linear", "stripe", "supabase", "airtable", "prowler"])
def test_a_service_that_takes_a_pasted_token_says_so(key: str) -> None:
    assert auth_facts(key).accepts_token
    assert auth_facts(key).notes


def test_the_catalog_is_read_once_and_cannot_be_changed() -> None:
    assert catalog() is catalog()
    with pytest.raises(TypeError):
        catalog()["github"] = catalog()["slack"]  # type: ignore[index]
    with pytest.raises(TypeError):
        catalog()["github"].tools["new"] = catalog()["github"].tools["get_me"]  # type: ignore[index]


def test_a_custom_connector_has_a_namespace_of_its_own() -> None:
    assert custom_namespace("wiki") == "Custom_wikiMCP"
    assert custom_namespace("wiki") not in {connector.namespace for connector in catalog().values()}


def test_the_keys_of_the_catalog_are_reserved() -> None:
    assert all(is_reserved(key) for key in catalog())
    assert not is_reserved("wiki")


GOOD = """
[service]
key = "wiki"
name = "Wiki"
namespace = "WikiMCP"
endpoint = "https://wiki.example/mcp"
[auth]
kinds = ["token"]
[tools]
look = { tier = "read" }
edit = { tier = "destructive", selector = "method", selector_tiers.write = ["add"], resource_args = ["page"] }
"""


def test_a_good_file_is_read() -> None:
    entry = parse_entry("wiki", tomllib.loads(GOOD))
    assert entry.connector.tools["edit"].selector_tiers == {"add": Tier.WRITE}
    assert entry.connector.id == "wiki"
    assert entry.auth.accepts_token


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ('key = "wiki"', 'key = "other"', "wiki.service.key"),
        ('name = "Wiki"', "name = 1", "wiki.service.name"),
        ('name = "Wiki"', 'name = "Wiki"\nextra = 1', "wiki.service.extra"),
        ('"WikiMCP"', '"Wiki"', "wiki.service.namespace"),
        ('"https://wiki.example/mcp"', '"http://wiki.example/mcp"', "wiki.service.endpoint"),
        ('kinds = ["token"]', 'kinds = ["magic"]', "wiki.auth.kinds"),
        ('kinds = ["token"]', "kinds = []", "wiki.auth.kinds"),
        ('kinds = ["token"]', 'kinds = ["token"]\ntoken_url = "ftp://x"', "wiki.auth.token_url"),
        ('kinds = ["token"]', 'kinds = ["token"]\nscopes = [1]', "wiki.auth.scopes"),
        ('look = { tier = "read" }', "look = 1", "wiki.tools.look"),
        ('look = { tier = "read" }', "look = {}", "wiki.tools.look.tier"),
        ('look = { tier = "read" }', 'look = { tier = "harmless" }', "wiki.tools.look.tier"),
        ('look = { tier = "read" }', 'look = { tier = "read", teir = "x" }', "wiki.tools.look.teir"),
        ('look = { tier = "read" }', 'look = { tier = "read", offered = "no" }', "wiki.tools.look.offered"),
        (
            'look = { tier = "read" }',
            'look = { tier = "read", resource_args = "a" }',
            "wiki.tools.look.resource_args",
        ),
        (
            'look = { tier = "read" }',
            'look = { tier = "read", secret_args = ["a b"] }',
            "wiki.tools.look.secret_args",
        ),
        ('look = { tier = "read" }', '"look up" = { tier = "read" }', "wiki.tools.look up"),
        ('selector = "method"', 'selector = "a.b"', "wiki.tools.edit.selector"),
        ('selector = "method", ', "", "wiki.tools.edit.selector"),
        (
            'selector_tiers.write = ["add"]',
            'selector_tiers.worst = ["add"]',
            "wiki.tools.edit.selector_tiers",
        ),
        ('["add"]', '["add", "Add"]', "wiki.tools.edit.selector_tiers.write"),
        ('["add"]', '["a d"]', "wiki.tools.edit.selector_tiers.write"),
        ("[tools]", "[more]\n[tools]", "wiki.more"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(before: str, after: str, field: str) -> None:
    assert before in GOOD
    raw: dict[str, Any] = tomllib.loads(GOOD.replace(before, after))
    with pytest.raises(Invalid) as refused:
        parse_entry("wiki", raw)
    assert refused.value.field == field
