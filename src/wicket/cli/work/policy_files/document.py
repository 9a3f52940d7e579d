"""A file of policies, as values: whose they are, what they say, and what they are tried on.

It holds `agent` (a name or an id), `policies` as the API takes them, each with the `key` by which it is known again
and members named by e-mail address, and `tests`: calls with what is to become of them. docs/policies.md shows one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from wicket.connectors.services import catalog
from wicket.core.entities import Entity, EntityRef
from wicket.core.errors import Invalid
from wicket.core.model import Effect, Json, JsonObject, Reason
from wicket.core.policy.conditions import POLICY_KEY_GRAMMAR
from wicket.core.policy.document import PolicyDocument, parse_policy, render_policy
from wicket.core.policy.fields import (
    check_distinct,
    parse_choice,
    parse_list,
    parse_match,
    parse_object,
    parse_required,
    parse_text,
)
from wicket.store.entities import check_import
from wicket.store.members import MemberRecord
from wicket.store.policies import slug_of

FIELDS: Final = ("agent", "policies", "tests")
POLICIES_MAX: Final = 20_000
TESTS_MAX: Final = 10_000
ENTITIES_MAX: Final = 100
"""That one test may know of."""
NAME_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class FiledPolicy:
    """A policy as a file wants it; `document.enabled` is whether it is to be enabled."""

    key: str
    document: PolicyDocument


@dataclass(frozen=True, slots=True)
class Given:
    """The call of a test; what is left out is that of a plain call now."""

    member: str
    """E-mail address or id."""
    tool: str
    """As clients see it."""
    arguments: JsonObject
    at: datetime | None
    session: JsonObject | None
    ip: str | None
    entities: Mapping[str, Sequence[Entity]] = field(default_factory=dict)
    """Service -> what is known of its resources; nothing else is."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a test wants to come of its call; None: it does not say."""

    decision: Effect
    reason: Reason | None = None
    policies: frozenset[str] | None = None
    """Keys of those that determine the decision."""


@dataclass(frozen=True, slots=True)
class PolicyTest:
    name: str
    given: Given
    expected: Expected


@dataclass(frozen=True, slots=True)
class PolicyFile:
    policies: tuple[FiledPolicy, ...]
    tests: tuple[PolicyTest, ...]


class People:
    """The members of one agent, by the addresses that files name them by."""

    def __init__(self, members: Sequence[MemberRecord]) -> None:
        self._by_email = {member.email: member for member in members}
        self._emails: Mapping[str, str] = {
            one: member.email for member in members for one in (member.id, member.account_id)
        }

    def user_id(self, name: str, field: str) -> str:
        """Whom `principal.userIds` means."""
        return self._find(name, field).account_id if "@" in name else name

    def member_id(self, name: str, field: str) -> str:
        """Whose policy `memberId` means."""
        return self._find(name, field).id if "@" in name else name

    def name(self, one: str) -> str:
        """The address of a member or a user; the id where it is nobody's any more."""
        return self._emails.get(one, one)

    def _find(self, name: str, field: str) -> MemberRecord:
        member = self._by_email.get(name.strip().lower())
        if member is None:
            raise Invalid(f"`{field}`: `{name}` is no member of this agent", field=field)
        return member


def named_agent(raw: Json) -> str:
    """The agent that a file names; raises Invalid where it names none, and for what is no file of policies."""
    named = parse_object(raw, "file", FIELDS).get("agent")
    if named is None:
        raise Invalid("`agent` is missing: name it in the file, or with --agent", field="agent")
    return parse_text(named, "agent", length_max=NAME_CHARS_MAX)


def parse_file(raw: Json, people: People, *, known_zones: frozenset[str]) -> PolicyFile:
    """Read what a file holds; raises Invalid with the dotted path of the bad field."""
    raw = parse_object(raw, "file", FIELDS)
    listed = parse_list(raw.get("policies") or [], "policies", count_max=POLICIES_MAX)
    policies = tuple(
        _parse_filed(one, f"policies[{number}]", people, known_zones) for number, one in enumerate(listed)
    )
    check_distinct([policy.key for policy in policies], "policies[].key")
    tests = parse_list(raw.get("tests") or [], "tests", count_max=TESTS_MAX)
    return PolicyFile(
        policies, tuple(_parse_test(one, f"tests[{number}]") for number, one in enumerate(tests))
    )


def _parse_filed(raw: Json, field: str, people: People, known_zones: frozenset[str]) -> FiledPolicy:
    if not isinstance(raw, dict):
        raise Invalid(f"`{field}` must be an object", field=field)
    wire = {name: value for name, value in raw.items() if name != "key"}
    principal = wire.get("principal")
    if isinstance(principal, dict) and isinstance(users := principal.get("userIds"), list):
        place = f"{field}.principal.userIds"
        named: list[Json] = [people.user_id(one, place) if isinstance(one, str) else one for one in users]
        wire["principal"] = {**principal, "userIds": named}
    if isinstance(whose := wire.get("memberId"), str):
        wire["memberId"] = people.member_id(whose, f"{field}.memberId")
    try:
        document = parse_policy(wire, catalog(), known_zones=known_zones)
    except Invalid as problem:
        path = f"{field}.{problem.field}"
        raise Invalid(f"`{path}`: {problem.sentence}", field=path, code=problem.code) from problem
    key = raw.get("key")
    if key is None:
        return FiledPolicy(slug_of(document.name), document)
    return FiledPolicy(parse_match(key, f"{field}.key", POLICY_KEY_GRAMMAR, "a policy's key"), document)


def _parse_test(raw: Json, field: str) -> PolicyTest:
    raw = parse_object(raw, field, ("name", "given", "expect"))
    given = parse_object(
        parse_required(raw, "given", f"{field}.given"),
        f"{field}.given",
        ("member", "tool", "arguments", "at", "session", "ip", "entities"),
    )
    name = parse_text(
        parse_required(raw, "name", f"{field}.name"), f"{field}.name", length_max=NAME_CHARS_MAX
    )
    return PolicyTest(
        name=name,
        given=_parse_given(given, f"{field}.given"),
        expected=_parse_expected(parse_required(raw, "expect", f"{field}.expect"), f"{field}.expect"),
    )


def _parse_given(raw: JsonObject, place: str) -> Given:
    texts = {
        name: parse_text(parse_required(raw, name, f"{place}.{name}"), f"{place}.{name}", length_max=400)
        for name in ("member", "tool")
    }
    ip = raw.get("ip")
    return Given(
        **texts,
        arguments=_object(raw.get("arguments"), f"{place}.arguments") or {},
        at=_parse_instant(raw.get("at"), f"{place}.at"),
        session=_object(raw.get("session"), f"{place}.session"),
        ip=None if ip is None else parse_text(ip, f"{place}.ip", length_max=64),
        entities=_parse_entities(raw.get("entities"), f"{place}.entities"),
    )


def _parse_entities(raw: Json, field: str) -> Mapping[str, Sequence[Entity]]:
    """What a test knows of resources; raises Invalid for what could not be imported."""
    known: dict[str, list[Entity]] = {}
    for number, one in enumerate(parse_list(raw or [], field, count_max=ENTITIES_MAX)):
        place = f"{field}[{number}]"
        given = parse_object(one, place, ("service", "type", "id", "name", "attributes", "parents"))
        service, kind, entity_id = (
            parse_text(parse_required(given, name, f"{place}.{name}"), f"{place}.{name}", length_max=600)
            for name in ("service", "type", "id")
        )
        parents = parse_list(given.get("parents") or [], f"{place}.parents", count_max=10)
        refs = tuple(_parse_ref(parent, f"{place}.parents[{n}]") for n, parent in enumerate(parents))
        name = parse_text(given.get("name") or entity_id, f"{place}.name", length_max=600)
        attributes = _object(given.get("attributes"), f"{place}.attributes") or {}
        known.setdefault(service, []).append(Entity(kind, entity_id, name, attributes, refs))
    return {service: check_import(service, entities) for service, entities in known.items()}


def _parse_ref(raw: Json, field: str) -> EntityRef:
    given = parse_object(raw, field, ("type", "id"))
    kind, entity_id = (
        parse_text(parse_required(given, name, f"{field}.{name}"), f"{field}.{name}", length_max=600)
        for name in ("type", "id")
    )
    return EntityRef(kind, entity_id)


def _object(raw: Json, field: str) -> JsonObject | None:
    if raw is not None and not isinstance(raw, dict):
        raise Invalid(f"`{field}` must be an object", field=field)
    return raw


def _parse_instant(raw: Json, field: str) -> datetime | None:
    if raw is None:
        return None
    meaning = f"`{field}` must be an instant like `2026-03-02T22:00:00Z`"
    try:
        at = datetime.fromisoformat(raw if isinstance(raw, str) else "")
    except ValueError as error:
        raise Invalid(meaning, field=field) from error
    return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _parse_expected(raw: Json, field: str) -> Expected:
    if isinstance(raw, str):
        return Expected(parse_choice(raw, field, Effect))
    raw = parse_object(raw, field, ("decision", "reason", "policies"))
    decision = parse_choice(parse_required(raw, "decision", f"{field}.decision"), f"{field}.decision", Effect)
    reason, policies = raw.get("reason"), raw.get("policies")
    keys = None if policies is None else parse_list(policies, f"{field}.policies", count_max=POLICIES_MAX)
    return Expected(
        decision,
        None if reason is None else parse_choice(reason, f"{field}.reason", Reason),
        None
        if keys is None
        else frozenset(
            parse_match(one, f"{field}.policies[{number}]", POLICY_KEY_GRAMMAR, "a policy's key")
            for number, one in enumerate(keys)
        ),
    )


def render_file(agent: str, policies: Sequence[FiledPolicy], people: People) -> JsonObject:
    """Write a file's content, which `parse_file` reads back as the same policies."""
    return {"agent": agent, "policies": [_render(policy, people) for policy in policies]}


def _render(policy: FiledPolicy, people: People) -> JsonObject:
    rendered = render_policy(policy.document)
    match rendered["principal"]:
        case {"userIds": list(users)}:
            named: list[Json] = [people.name(str(one)) for one in users]
            rendered["principal"] = {"type": "specific_members", "userIds": named}
        case _:
            del rendered["principal"]
    if policy.document.enabled:
        del rendered["enabled"]
    if policy.document.member_id is not None:
        rendered["memberId"] = people.name(policy.document.member_id)
    return {"key": policy.key, **rendered}
