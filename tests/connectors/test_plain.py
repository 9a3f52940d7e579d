"""The services whose resources are found by data alone: what each names, refuses, and decides."""

import re
import tomllib
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.connectors.resolving import call_of, containers, is_rejected, targets
from tests.connectors.test_resolve import WORLD
from tests.connectors.test_services import GOOD
from wicket.connectors import catalog
from wicket.connectors.services import OWN_MAPPERS, OWN_TYPES, parse_entry, target_type
from wicket.core.entities import Entity, EntityRef
from wicket.core.errors import Invalid
from wicket.core.model import Effect, Json, JsonObject, PolicyEffect, PolicyRef
from wicket.core.policy import engine
from wicket.core.policy.document import parse_policy
from wicket.core.session import FRESH
from wicket.core.world import AgentPolicy

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
UUID, OTHER = "11111111-2222-4333-8444-555555555555", "99999999-2222-4333-8444-555555555555"
TBL, APP, APP_2 = "tbl0123456789abcd", "appAAAAAAAAAAAAAA", "appBBBBBBBBBBBBBB"
PLANET: JsonObject = {"organization": "acme", "database": "shop", "branch": "main"}
SENTRY: JsonObject = {"organizationSlug": "acme", "projectSlug": "site"}
CASES: list[tuple[str, str, JsonObject, str, str, str, str, str]] = [
    # service, tool, arguments, the argument that names, its resource, condition, its value, another value
    ("notion", "notion-update-page", {"page_id": UUID}, "page_id", f"Page {UUID}", "pageId", UUID, OTHER),
    (
        "vercel", "pause_project", {"projectId": "prj_a1"}, "projectId", "Project prj_a1", "projectId", "prj_a1",
        "prj_b2",
    ),
    (
        "stripe", "stripe_api_read", {"stripe_api_operation_id": "GetCharges", "stripe_context": "acct_1"},
        "stripe_context", "Account acct_1", "accountId", "acct_1", "acct_2",
    ),
    (
        "supabase", "execute_sql", {"project_id": "abcdefghijklmnopqrst"}, "project_id",
        "Project abcdefghijklmnopqrst", "projectId", "abcdefghijklmnopqrst", "tsrqponmlkjihgfedcba",
    ),
    (
        "hubspot", "get_crm_objects", {"objectType": "contacts"}, "objectType", "ObjectType contacts",
        "objectTypeId", "contacts", "deals",
    ),
    (
        "airtable", "delete_table", {"baseId": APP, "tableId": TBL}, "baseId", f"Table {TBL}", "baseId", APP, APP_2,
    ),
    (
        "planetscale", "planetscale_get_branch", PLANET, "branch", "Branch acme/shop/main", "databaseId",
        "acme/shop", "acme/other",
    ),
    (
        "atlassian", "getPagesInConfluenceSpace", {"cloudId": UUID, "spaceId": "12"}, "spaceId",
        f"Space {UUID}/12", "spaceId", f"{UUID}/12", f"{UUID}/13",
    ),
    ("sentry", "find_dsns", SENTRY, "projectSlug", "Project acme/site", "projectId", "acme/site", "acme/other"),
    (
        "cloudflare", "d1_database_query", {"database_id": UUID}, "database_id", f"Database {UUID}", "databaseId",
        UUID, OTHER,
    ),
    (
        "google", "drive.trash_file", {"fileId": "1AbCdEfGhIjK"}, "fileId", "File 1AbCdEfGhIjK", "fileId",
        "1AbCdEfGhIjK", "2AbCdEfGhIjK",
    ),
    (
        "prowler", "prowler_trigger_scan", {"provider_id": UUID}, "provider_id", f"Provider {UUID}", "providerId",
        UUID, OTHER,
    ),
]  # fmt: skip
BAD: list[Json] = [
    "", " ", "..", "../x", "a/../b", "x.git", "%2e%2e", "a%2fb", "https://example.com/x", "//example.com", "x ",
    " x", "x.", "x\n", "x\u200b", "\u0430bc", "a,b", "a?b", "a#b", "?", None, 1, True, ["x"], {"id": "x"}, "x" * 300,
]  # fmt: skip


def effect_of(service: str, tool: str, arguments: JsonObject, *limits: JsonObject) -> tuple[Effect, str]:
    """What is decided under these policies; a permit of the whole service stands behind a forbid."""
    documents: list[JsonObject] = [
        {"name": "p", "service": service, "tools": [tool], **limit} for limit in limits
    ]
    if all(limit["effect"] == "forbid" for limit in limits):
        documents.append({"name": "p", "service": service, "tools": [tool], "effect": "permit"})
    policies = tuple(
        AgentPolicy(
            PolicyRef(f"id-{n}", f"p{n}", "p", 1, PolicyEffect(str(one["effect"]))),
            parse_policy(one, catalog()),
        )
        for n, one in enumerate(documents)
    )
    world = replace(WORLD, services=dict(catalog()), policies=policies, slices={})
    decision = engine.decide(world, call_of(service, tool, arguments), FRESH, NOON).decision
    return decision.effect, str(decision.reason)


def limit(effect: str, kind: str, value: Json) -> JsonObject:
    return {"effect": effect, "conditions": {"items": [{"type": kind, "value": value}]}}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_a_call_targets_what_it_names_and_is_decided_by_it(
    case: tuple[str, str, JsonObject, str, str, str, str, str],
) -> None:
    service, tool, arguments, _, resource, kind, value, other = case
    assert targets(call_of(service, tool, arguments)) == [resource]
    assert effect_of(service, tool, arguments, limit("permit", kind, value))[0] is Effect.ALLOW
    assert effect_of(service, tool, arguments, limit("permit", kind, other))[0] is Effect.DENY
    assert effect_of(service, tool, arguments, limit("forbid", kind, value))[0] is Effect.DENY
    assert effect_of(service, tool, arguments, limit("forbid", kind, other))[0] is Effect.ALLOW


@pytest.mark.parametrize("bad", BAD, ids=repr)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_an_id_of_another_spelling_is_refused(
    case: tuple[str, str, JsonObject, str, str, str, str, str], bad: Json
) -> None:
    service, tool, arguments, argument, *_ = case
    assert is_rejected(service, tool, {**arguments, argument: bad})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_a_parameter_in_two_spellings_is_refused(
    case: tuple[str, str, JsonObject, str, str, str, str, str],
) -> None:
    service, tool, arguments, argument, *_ = case
    assert is_rejected(service, tool, {**arguments, argument.upper(): arguments[argument]})


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_a_limited_policy_denies_a_call_that_names_nothing(
    case: tuple[str, str, JsonObject, str, str, str, str, str],
) -> None:
    service, tool, _, _, _, kind, value, _ = case
    assert effect_of(service, tool, {}, limit("forbid", kind, value)) == (
        Effect.DENY,
        "resource_not_recognised",
    )


def test_a_call_on_repositories_that_it_does_not_name_alike_misses_limited_permits_and_hits_forbids() -> None:
    asked: JsonObject = {"path": "my-org/site"}
    assert effect_of("huggingface", "hf_fs", asked, limit("permit", "visibility", "public"))[0] is Effect.DENY
    assert (
        effect_of("huggingface", "hf_fs", asked, limit("forbid", "visibility", "private"))[0] is Effect.DENY
    )


def test_containers_that_a_call_does_not_name_are_those_that_its_entity_tells() -> None:
    told = Entity("Deployment", "dpl_1", "", {}, (EntityRef("Project", "prj_1"), EntityRef("Team", "team_1")))
    asked: JsonObject = {"idOrUrl": "dpl_1"}
    assert containers(call_of("vercel", "get_deployment", asked, told)) == ["Project prj_1", "Team team_1"]
    assert containers(call_of("vercel", "get_deployment", asked)) == ["Project ?", "Team ?"]


@pytest.mark.parametrize(
    ("target", "expected"), [("production", Effect.DENY), ("preview", Effect.ALLOW), (None, Effect.DENY)]
)
def test_a_deployment_is_held_back_by_where_it_goes(target: str | None, expected: Effect) -> None:
    arguments: JsonObject = {"name": "site", **({} if target is None else {"target": target})}
    forbid = limit("forbid", "deploymentTarget", "production")
    assert effect_of("vercel", "deploy_to_vercel", arguments, forbid)[0] is expected


def test_an_address_beside_an_id_may_mean_anything() -> None:
    asked: JsonObject = {"organizationSlug": "acme", "issueId": "SITE-1", "issueUrl": "https://x.sentry.io/1"}
    assert targets(call_of("sentry", "update_issue", asked)) == ["Issue acme/SITE-1", "Issue ?"]


def test_a_thing_that_may_be_of_another_type_is_hit_by_forbids_of_that_type() -> None:
    scoped: JsonObject = {"resourceScope": "database"}
    asked: JsonObject = {"id": UUID}
    assert effect_of("notion", "notion-fetch", asked, {"effect": "forbid", **scoped})[0] is Effect.DENY
    assert effect_of("notion", "notion-fetch", asked, {"effect": "permit", **scoped})[0] is Effect.DENY


def test_an_issue_number_is_hit_by_a_forbid_of_pull_requests_until_somebody_has_told() -> None:
    asked: JsonObject = {"owner": "my-org", "repo": "site", "issue_number": 7}
    forbid: JsonObject = {"effect": "forbid", "resourceScope": "pull_request"}
    permit: JsonObject = {"effect": "permit", "resourceScope": "pull_request"}
    issue: JsonObject = {"effect": "permit", "resourceScope": "issue"}
    assert effect_of("github", "add_issue_comment", asked, forbid)[0] is Effect.DENY
    assert effect_of("github", "add_issue_comment", asked, permit)[0] is Effect.DENY
    assert effect_of("github", "add_issue_comment", asked, issue)[0] is Effect.ALLOW


def test_every_target_of_a_tool_has_a_type_or_looks_through_many() -> None:
    for key, connector in catalog().items():
        used = {facts.target for facts in connector.tools.values() if facts.target}
        assert {target_type(key, one) for one in used} <= {"", *connector.resource_types}
    for key, types in OWN_TYPES.items():
        assert {target for found in types.values() for target in found} == set(OWN_MAPPERS[key])


def test_every_condition_that_names_ids_knows_their_grammar() -> None:
    for connector in catalog().values():
        for condition in connector.condition_types.values():
            if condition.resource_type:
                assert re.compile(condition.grammar).fullmatch("https://example.com/..") is None


TYPED = (
    GOOD
    + """
[types]
Space = { label = "space" }
Page = { label = "page", within = ["Space"], attributes = { state = "text" } }
[targets]
page = { type = "Page", arguments = { Page = "id" } }
"""
)


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ('{ type = "Book", arguments = { Page = "id" } }', "type"),
        ('{ type = "Page" }', "arguments"),
        ('{ type = "Space", arguments = { Page = "id" } }', "arguments"),
        ('{ type = "Page", arguments = { Page = "a b" } }', "arguments.Page"),
        ('{ type = "Page", arguments = { Page = "id" }, new = true }', "new"),
        ('{ type = "Page", new = true, tells = { colour = "c" } }', "tells"),
        ('{ type = "Page", arguments = { Page = "id" }, spans = "Book" }', "spans"),
        ('{ type = "Page", arguments = { Page = "id" }, maybe = ["Book"] }', "maybe"),
        ('{ type = "Page", arguments = { Page = "id" }, more = 1 }', "more"),
    ],
)
def test_a_bad_target_is_refused_with_the_place(target: str, field: str) -> None:
    raw = tomllib.loads(TYPED.replace('{ type = "Page", arguments = { Page = "id" } }', target))
    with pytest.raises(Invalid) as refused:
        parse_entry("wiki", raw)
    assert refused.value.field == f"wiki.targets.page.{field}"
