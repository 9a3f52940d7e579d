"""The decision: which policies bear on a call, and what Cedar says of them.

Pure, and the only file that speaks to Cedar. Calls, lists, simulation and replay all come through here.
A call is allowed when Cedar allows it for every resource it targets and no policy failed to evaluate: Cedar
itself skips a policy that fails, which would let a broken forbid through. Nor may a call that names no resource, where
a policy that covers it is limited to some: a forbid among them could not see what it is about.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, TypeAlias

import cedarpy

from wicket.core.errors import Invalid
from wicket.core.model import (
    SERVICE_TYPE,
    Call,
    Connector,
    Decision,
    Effect,
    Json,
    JsonObject,
    PolicyEffect,
    PolicyRef,
    Reason,
    Resource,
    Tier,
)
from wicket.core.policy.compile import compile_policy, paths_read
from wicket.core.policy.compile_arguments import ARGUMENTS
from wicket.core.policy.document import EVERY, PolicyDocument
from wicket.core.policy.explain import Told, tell
from wicket.core.policy.explanation import Explanation, explain, parts_of
from wicket.core.policy.request import Value, build_entities, build_request, is_described, read_values
from wicket.core.policy.schema import ACTION, build_schema
from wicket.core.policy.slices import BindingPolicy, BoundMember, RuledWorld, Subject, find_covering, remember
from wicket.core.policy.text import render_text
from wicket.core.policy.withheld import withhold
from wicket.core.session import Facts

DETAIL_LENGTH_MAX = 500
KNOWN_MAX = 32
"""Decisions remembered for one slice."""
CEDAR_FAILURES = (ValueError, TypeError, KeyError, RecursionError)
"""What cedarpy raises for policies, entities or requests that it cannot read."""
FACTS = ("session", "memberSessions")
"""Parts of the context that are facts of tool sessions."""
KNOWN_TEXT_MAX = 1_024
"""Longer texts of arguments are not remembered."""
POLICY_FAILURE = re.compile(r"error while evaluating policy `(?P<id>.+?)`: (?P<message>.*)", re.DOTALL)


PartKey: TypeAlias = tuple[str, str]
"""A condition of a policy: the policy's id, and the field that has it."""


class Judged(NamedTuple):
    """A decision, how the log tells it, and whether facts of the tool session could have made it another."""

    decision: Decision
    told: Told
    reads_facts: bool


class Rules:
    """Policies that are judged together, parsed once."""

    __slots__ = (
        "_handle", "_namespace", "_parts", "_policies", "_scoped", "_unreadable", "reads", "reads_arguments",
        "reads_facts",
    )  # fmt: skip

    def __init__(self, policies: Sequence[BindingPolicy], namespace: str) -> None:
        self._namespace = namespace
        self._parts: tuple[cedarpy.PolicySet | None, Mapping[str, PartKey]] | None = None
        self._policies = {policy.ref.id: policy for policy in policies}
        compiled = {policy.ref.id: compile_policy(policy.document, namespace) for policy in policies}
        self.reads = tuple(sorted({path for one in compiled.values() for path in paths_read(one)}))
        self.reads_arguments = any(path[0] == ARGUMENTS for path in self.reads)
        self.reads_facts = any(path[0] in FACTS for path in self.reads)
        self._scoped = tuple(policy.ref for policy in policies if policy.document.is_scoped)
        self._handle: cedarpy.PolicySet | None = None
        self._unreadable: tuple[PolicyRef, ...] = ()
        try:
            self._handle = _parsed(compiled)
        except CEDAR_FAILURES:
            self._unreadable = tuple(p.ref for p in policies if not _is_readable(compiled[p.ref.id]))

    def decide(self, request: JsonObject, context: str, entities: cedarpy.Entities | str) -> Decision:
        """Judge a request; `context` and `entities` are those of the request, as JSON or parsed."""
        if not self._policies:
            return Decision(request=request)
        if self._handle is None:
            return _errored(request, self._unreadable, "a policy cannot be read")
        try:
            return self._concluded(request, _ask(self._handle, request, context, entities))
        except CEDAR_FAILURES as failure:
            return _errored(request, (), str(failure))

    def explain(self, request: JsonObject) -> Explanation:
        """Which conditions of which policies hold for a request that was decided."""
        if self._parts is None:
            self._parts = self._taken_apart()
        handle, keys = self._parts
        policies = tuple(self._policies.values())
        if handle is None:
            return explain(policies, request, holding=(), failing=set(keys.values()))
        context, entities = (json.dumps(request[name]) for name in ("context", "entities"))
        answers = [answer.diagnostics for answer in _ask(handle, request, context, entities)]
        holding = [{keys[reason] for reason in answer.reasons} for answer in answers]
        errors = [POLICY_FAILURE.fullmatch(error) for answer in answers for error in answer.errors]
        failing = {keys[error["id"]] for error in errors if error}
        # A permit has to match for every resource; one that a forbid matches for is enough.
        forbids = {policy.ref.id for policy in policies if policy.ref.effect is PolicyEffect.FORBID}
        held = {
            key for key in set().union(*holding) if key[0] in forbids or all(key in one for one in holding)
        }
        return explain(policies, request, holding=held, failing=failing)

    def _taken_apart(self) -> tuple[cedarpy.PolicySet | None, Mapping[str, PartKey]]:
        """Every condition as a permit of its own, so that Cedar names each that holds; and what their ids stand for."""
        compiled: dict[str, JsonObject] = {}
        keys: dict[str, PartKey] = {}
        for policy in self._policies.values():
            for place, part in parts_of(policy.document).items():
                name = f"part{len(keys)}"
                keys[name] = (policy.ref.id, place)
                compiled[name] = {
                    **compile_policy(part, self._namespace),
                    "effect": PolicyEffect.PERMIT.value,
                }
        try:
            return _parsed(compiled), keys
        except CEDAR_FAILURES:
            return None, keys

    def _concluded(self, request: JsonObject, answers: Sequence[cedarpy.AuthzResult]) -> Decision:
        errors = [error for answer in answers for error in answer.diagnostics.errors]
        if errors:
            return self._failed(request, errors)
        matched = self._refs({reason for answer in answers for reason in answer.diagnostics.reasons})
        forbids = tuple(ref for ref in matched if ref.effect is PolicyEffect.FORBID)
        if self._scoped and not forbids and self._names_nothing(request):
            return Decision(Effect.DENY, Reason.RESOURCE_NOT_RECOGNISED, self._scoped, request)
        if answers and all(answer.decision is cedarpy.Decision.Allow for answer in answers):
            return Decision(Effect.ALLOW, Reason.PERMITTED, matched, request)
        if forbids:
            return Decision(Effect.DENY, Reason.FORBIDDEN_BY_POLICY, forbids, request)
        return Decision(Effect.DENY, Reason.NO_PERMIT_MATCHED, (), request, hint=_Hint(self, request))

    def _names_nothing(self, request: JsonObject) -> bool:
        targets = request.get("resources", [request["resource"]])
        kinds = [str(target["type"]) for target in _list(targets) if isinstance(target, dict)]
        return any(kind.endswith(f"::{SERVICE_TYPE}") for kind in kinds)

    def _failed(self, request: JsonObject, errors: Sequence[str]) -> Decision:
        failures = [POLICY_FAILURE.fullmatch(error) for error in errors]
        refs = self._refs({failure["id"] for failure in failures if failure})
        first = failures[0]
        if first is None:
            return _errored(request, refs, errors[0])
        return _errored(request, refs, first["message"])

    def _refs(self, ids: set[str]) -> tuple[PolicyRef, ...]:
        return tuple(policy.ref for policy_id, policy in self._policies.items() if policy_id in ids)


class _Hint:
    """The nearest permit in a sentence; a remembered denial remembers it too."""

    __slots__ = ("_request", "_rules", "_text")

    def __init__(self, rules: Rules, request: JsonObject) -> None:
        self._rules = rules
        self._request = request
        self._text: str | None = None

    def __call__(self) -> str:
        if self._text is None:
            try:
                self._text = self._rules.explain(self._request).text
            except CEDAR_FAILURES:
                # The denial stands without it.
                self._text = ""
        return self._text


def _ask(
    handle: cedarpy.PolicySet, request: JsonObject, context: str, entities: cedarpy.Entities | str
) -> Sequence[cedarpy.AuthzResult]:
    """Ask for each resource that the call targets, and let Cedar see no other one meanwhile.

    Containers are transitive: what is in a repository that nobody could name would otherwise be in the owner of
    another resource whose repository could not be named either.
    """
    shared: JsonObject = {"principal": request["principal"], "action": request["action"], "context": context}
    targets = _list(request.get("resources", [request["resource"]]))
    if len(targets) == 1 or not isinstance(entities, str):
        questions = [{**shared, "resource": target} for target in targets]
        return cedarpy.is_authorized_batch(questions, handle, entities)
    told = [one for one in json.loads(entities) if isinstance(one, dict)]
    answers: list[cedarpy.AuthzResult] = []
    for target in targets:
        seen = [one for one in told if one["uid"] in (request["action"], target)]
        answers += cedarpy.is_authorized_batch([{**shared, "resource": target}], handle, json.dumps(seen))
    return answers


@dataclass(frozen=True, slots=True)
class _Slice:
    rules: Rules
    entities: cedarpy.Entities | None
    """Parsed once for calls whose resources need no entities of their own."""
    known: dict[tuple[object, ...], Judged] = field(default_factory=dict)
    """What such calls came to, by all that differs among them: the same question has the same answer."""


def decide(world: RuledWorld, call: Call, facts: Facts, now: datetime) -> Judged:
    """Decide a call under `world` with the facts of its tool session; `now` is aware."""
    found = _slice_of(world, call)
    rules = found.rules
    values = read_values(call, rules.reads, facts, now)
    is_plain = found.entities is not None and not any(is_described(one) for one in call.resources)
    entities = found.entities if is_plain else None
    question = (values, *[(one.uid.type, one.uid.id) if is_plain else _key_of(one) for one in call.resources])
    known = found.known.get(question)
    if known is not None:
        return known
    judged = _judge(world, call, rules, build_request(call, rules.reads, values), entities)
    if judged.decision.reason is not Reason.POLICY_ERRORED and not any(map(_is_long, values)):
        if len(found.known) >= KNOWN_MAX:
            found.known.clear()
        found.known[question] = judged
    return judged


def _key_of(resource: Resource) -> tuple[object, ...]:
    """All that a decision may read of a resource; as text, a bool and a number that are equal differ."""
    return (
        str(resource.uid),
        resource.parents,
        repr(sorted(resource.attributes.items())),
        resource.unknown,
    )


def _is_long(value: Value) -> bool:
    items = (value,) if isinstance(value, str) else value
    return isinstance(items, tuple) and sum(len(str(item)) for item in items) > KNOWN_TEXT_MAX


def _judge(
    world: RuledWorld, call: Call, rules: Rules, request: JsonObject, entities: cedarpy.Entities | None
) -> Judged:
    context = json.dumps(request["context"])
    if rules.reads_arguments:
        connector = world.services.get(call.service)
        request = withhold(request, None if connector is None else connector.tools.get(call.tool))
    decision = rules.decide(request, context, entities or json.dumps(request["entities"]))
    return Judged(decision, tell(call, decision, world.agent_name), rules.reads_facts)


def decide_again(request: JsonObject, policies: Sequence[BindingPolicy]) -> Decision:
    """Decide a recorded request (`Decision.request`) under `policies`, in the versions they had then."""
    action = request["action"]
    kind = str(action["type"]) if isinstance(action, dict) else ""
    rules = Rules(policies, kind.removesuffix("::Action"))
    return rules.decide(request, json.dumps(request["context"]), json.dumps(request["entities"]))


def explain_again(request: JsonObject, policies: Sequence[BindingPolicy]) -> Explanation:
    """Which conditions of `policies`, all of which cover the call, hold for a recorded request."""
    action = request["action"]
    kind = str(action["type"]) if isinstance(action, dict) else ""
    return Rules(policies, kind.removesuffix("::Action")).explain(request)


def explain_call(world: RuledWorld, call: Call, decision: Decision) -> Explanation:
    """Why `call` was decided so under `world`."""
    if decision.request is None:
        return Explanation()
    return _slice_of(world, call).rules.explain(decision.request)


def may_list(
    world: RuledWorld,
    member: BoundMember,
    service: str,
    tool: str,
    tier: Tier,
    selectors: Iterable[str | None],
) -> bool:
    """Whether some call of `tool` by one of `selectors`, all of them of `tier`, may be allowed.

    Time, session and address count as unknown: a permit with conditions may match, a forbid with conditions
    need not. Ask once for each tier where selectors of a tool differ in theirs.
    """
    for selector in selectors:
        subject = Subject(service, tool, selector, tier, member.user_id, member.id)
        covering = [policy.document for policy in find_covering(world, subject)]
        permitted = any(one.effect is PolicyEffect.PERMIT for one in covering)
        forbidden = any(one.effect is PolicyEffect.FORBID and not one.is_conditional for one in covering)
        if permitted and not forbidden:
            return True
    return False


def render_cedar(document: PolicyDocument, namespace: str) -> str:
    """Write a policy as Cedar text for people; raise `Invalid` when Cedar does not take it."""
    compiled = compile_policy(document, namespace)
    try:
        _parsed({"policy": compiled})
        return cedarpy.format_policies(render_text(compiled)).strip() + "\n"
    except CEDAR_FAILURES as failure:
        raise Invalid(f"cedar does not take the policy: {failure}", field="policy") from failure


def validate(document: PolicyDocument, namespace: str, connector: Connector | None) -> None:
    """Raise Invalid, naming the field, for a policy that could fail when it is evaluated, by Cedar's strict rules."""
    trouble = _find_trouble(document, namespace, connector)
    if trouble is None:
        return
    for place, part in parts_of(document).items():
        if _find_trouble(part, namespace, connector) is not None:
            raise Invalid(f"`{place}` could not be evaluated: {trouble}", field=place)
    raise Invalid(f"the policy could not be evaluated: {trouble}", field="policy")


def _find_trouble(document: PolicyDocument, namespace: str, connector: Connector | None) -> str | None:
    if document.service == EVERY:
        namespace = "Every"
    compiled = compile_policy(document, namespace)
    action: Json = {"type": f"{namespace}::Action", "id": ACTION}
    schema = build_schema(namespace, connector, paths_read(compiled))
    text = render_text({**compiled, "action": {"op": "==", "entity": action}})
    try:
        found = cedarpy.validate_policies(text, json.dumps(schema))
    except CEDAR_FAILURES as failure:
        return str(failure)
    return None if found.validation_passed else "; ".join(str(error.error) for error in found.errors)


def _slice_of(world: RuledWorld, call: Call) -> _Slice:
    key = (call.service, call.tool, call.selector, call.tier, call.user_id, call.member_id)
    found = world.slices.get(key)
    if not isinstance(found, _Slice):
        action: Json = build_entities(call)[:1]
        found = _Slice(_rules_of(world, Subject(*key), call.namespace), _find_entities(action))
        remember(world, key, found)
    return found


def _rules_of(world: RuledWorld, subject: Subject, namespace: str) -> Rules:
    # Many tools and members share one set of policies: it is parsed once for all of them.
    policies = find_covering(world, subject)
    key = (namespace, tuple(policy.ref.id for policy in policies))
    rules = world.slices.get(key)
    if not isinstance(rules, Rules):
        rules = Rules(policies, namespace)
        remember(world, key, rules)
    return rules


def _list(node: Json) -> list[Json]:
    return node if isinstance(node, list) else []


def _find_entities(entities: Json) -> cedarpy.Entities | None:
    try:
        return cedarpy.Entities.from_json_str(json.dumps(entities))
    except CEDAR_FAILURES:
        return None


def _parsed(compiled: dict[str, JsonObject]) -> cedarpy.PolicySet:
    document = {"staticPolicies": compiled, "templates": {}, "templateLinks": []}
    return cedarpy.PolicySet.from_json_str(json.dumps(document))


def _is_readable(compiled: JsonObject) -> bool:
    try:
        _parsed({"policy": compiled})
    except CEDAR_FAILURES:
        return False
    return True


def _errored(request: JsonObject, failed: tuple[PolicyRef, ...], detail: str) -> Decision:
    return Decision(Effect.DENY, Reason.POLICY_ERRORED, failed, request, detail[:DETAIL_LENGTH_MAX])
