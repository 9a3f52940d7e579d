"""Whether a member may call a tool: the real engine over the world as it is stored now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from pathlib import Path

from wicket.app import local_connectors
from wicket.cli.output import print_fields, print_json
from wicket.cli.work.agents import get_agent
from wicket.cli.work.host import Host, now, on_host
from wicket.connectors import hypothetical
from wicket.connectors.hypothetical import Answer
from wicket.connectors.resolve import known_tools
from wicket.core.errors import Conflict, Invalid, NotFound, Refused
from wicket.core.jsonrpc.strict import parse_json
from wicket.core.model import JsonObject
from wicket.core.naming import find_shortened, split_name
from wicket.core.policy.explanation import render_explanation
from wicket.core.session import FRESH, Facts
from wicket.core.world import Member, World
from wicket.store import accounts, agents, worlds
from wicket.store.lookups import informed
from wicket.store.page import PAGE_MAX


@dataclass(frozen=True, slots=True)
class Question:
    """A hypothetical call as it is asked about on the command line."""

    member: str
    tool: str
    agent: str | None
    arguments: Sequence[str]
    at: datetime | None
    ip: str


def answer(question: Question, *, data_dir: Path | None, as_json: bool) -> bool:
    """Print what would be decided, and say whether the call would be allowed."""
    arguments = parse_arguments(question.arguments)
    parse_ip(question.ip)
    at = now() if question.at is None else _aware(question.at)

    async def work(host: Host) -> Answer:
        world, member = await _find(host, question)
        asked = partial(decide, world, member, question.tool, arguments, ip=question.ip, at=at)
        return await host.database.read(informed, world, asked)

    found = on_host(work, data_dir=data_dir)
    if as_json:
        print_json(_render(found))
    else:
        _print(found)
    return found.decision.allowed


def decide(
    world: World,
    member: Member,
    tool: str,
    arguments: JsonObject,
    *,
    ip: str,
    at: datetime,
    facts: Facts = FRESH,
) -> Answer:
    """Decide a call by its name as clients see it; raises Invalid for one without a service."""
    parts = split_name(tool)
    if parts is None:
        raise Invalid(f"`{tool}` has no service prefix: write `service__tool`", field="tool")
    service, name = parts
    tools = known_tools(world, service)
    own_name = name if name in tools else find_shortened(tool, service, tools) or name
    return hypothetical.answer(
        world, member, hypothetical.Question(service, own_name, arguments, at=at, caller_ip=ip, facts=facts)
    )


def parse_arguments(texts: Sequence[str]) -> JsonObject:
    """`name=text` or `name:=json` each; raises Invalid naming the one."""
    arguments: JsonObject = {}
    for text in texts:
        name, separator, value = text.partition("=")
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        if not separator or not name or name in arguments:
            raise Invalid(f"`{text}`: write each argument once, as `name=text` or `name:=json`", field="arg")
        try:
            arguments[name] = parse_json(value.encode()) if is_json else value
        except Refused as error:
            raise Invalid(f"`{text}`: behind `:=` stands JSON", field="arg") from error
    return arguments


def parse_ip(text: str) -> None:
    """Raise Invalid for what is no address."""
    try:
        ip_address(text)
    except ValueError as error:
        raise Invalid(f"`{text}` is no IP address", field="ip") from error


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


async def _find(host: Host, question: Question) -> tuple[World, Member]:
    """The one membership that is meant; raises NotFound, or Conflict `ambiguous`."""
    found: list[tuple[World, Member]] = []
    for agent_id in await _candidates(host, question):
        world = await host.database.read(worlds.load, agent_id, local=local_connectors(host.settings))
        if world is not None:
            members = world.members.values()
            found += [(world, member) for member in members if _is_meant(member, question.member)]
    if not found:
        raise NotFound(
            f"`{question.member}` is no member here: `wicket agents show NAME` lists an agent's members"
        )
    if len(found) > 1:
        names = ", ".join(f"`{world.agent_name}`" for world, _ in found)
        raise Conflict(
            f"`{question.member}` is a member of several agents ({names}): name one with --agent",
            code="ambiguous",
        )
    return found[0]


async def _candidates(host: Host, question: Question) -> list[str]:
    """Ids of the agents that the member may belong to."""
    if question.agent is not None:
        return [(await get_agent(host, question.agent)).agent.id]
    if "@" not in question.member:
        return [agent.id for agent in await host.database.read(agents.list_all_agents)]
    account = await host.database.read(accounts.find_account, email=question.member)
    if account is None:
        return []
    page = await host.database.read(agents.list_agents, account_id=account.id, limit=PAGE_MAX)
    return [seen.agent.id for seen in page.items]


def find_member(world: World, name: str) -> Member:
    """The member of an agent that is meant by an address or an id; raises NotFound."""
    for member in world.members.values():
        if _is_meant(member, name):
            return member
    raise NotFound(f"`{name}` is no member of agent `{world.agent_name}`")


def _is_meant(member: Member, name: str) -> bool:
    return name in (member.id, member.user_id) or member.email == name.strip().lower()


def _print(found: Answer) -> None:
    decision = found.decision
    print_fields(
        [
            ("decision", decision.effect),
            ("reason", f"{decision.reason}: {found.sentence}"),
            ("agent", found.world.agent_name),
            ("member", found.member.email),
            *(("policy", f"{ref.key} v{ref.version} ({ref.effect}) {ref.name}") for ref in decision.matched),
            *([("deny message", decision.deny_message)] if decision.deny_message else []),
            *(
                (f"{policy.ref.key} {'held' if one.holds else 'missed'}", one.text)
                for policy in found.explanation.policies
                for one in policy.conditions
            ),
            *([("but", "the member has not connected the service yet")] if found.lacks_credentials else []),
        ]
    )


def _render(found: Answer) -> JsonObject:
    decision = found.decision
    return {
        "decision": decision.effect.value,
        "reason": found.sentence,
        "reasonCode": decision.reason.value,
        "matchedPolicies": [
            {
                "id": ref.id,
                "key": ref.key,
                "name": ref.name,
                "version": ref.version,
                "effect": ref.effect.value,
            }
            for ref in decision.matched
        ],
        "denyMessage": decision.deny_message,
        "connected": not found.lacks_credentials,
        "agentId": found.world.agent_id,
        "memberId": found.member.id,
        "request": decision.request,
        "explanation": render_explanation(found.explanation),
    }
