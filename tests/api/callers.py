"""Every kind of caller, one agent as each of them sees it, and every operation of the API's own description."""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto
from typing import Any, Final
from uuid import uuid4

import httpx2
import pyotp

from tests.api.calls import recording
from tests.api.people import NOW, PERMIT, RULES, SERVER, Instance, Person
from tests.databases import Location
from wicket.api.cookies import CSRF_HEADER, csrf_token
from wicket.api.description import operations
from wicket.api.guards import GUARD, Guard
from wicket.store import accounts, dashboard_sessions, second_factor
from wicket.store.accounts import Scope

URL: Final = "https://tools.example.com/mcp"
WORDS: Final = {"service": "github", "tool": "get_me", "version": "1"}
"""What stands in a path and is nobody's."""


class Caller(StrEnum):
    """Who asks, and with what. Where no role is named, the account owns the agent."""

    NOBODY = auto()
    BAD_TOKEN = auto()
    TWO_TOKENS = auto()
    MEMBER_KEY = auto()
    READ_TOKEN = auto()
    SESSION_WITHOUT_CSRF = auto()
    SESSION_OF_FOREIGN_PAGE = auto()
    SESSION_OWING = auto()
    STRANGER = auto()
    PENDING = auto()
    MEMBER = auto()
    SESSION = auto()
    OWNER = auto()


UNKNOWN: Final = frozenset({Caller.BAD_TOKEN, Caller.TWO_TOKENS, Caller.MEMBER_KEY})
"""They send an `Authorization` that means nobody."""
OWN_SESSIONS: Final = (Caller.SESSION, Caller.SESSION_OWING)
SESSIONS: Final = (
    Caller.SESSION,
    Caller.SESSION_WITHOUT_CSRF,
    Caller.SESSION_OF_FOREIGN_PAGE,
    Caller.SESSION_OWING,
)


@dataclass(frozen=True)
class Operation:
    """One operation of the description."""

    path: str
    method: str
    described: Mapping[str, Any]

    @property
    def id(self) -> str:
        return str(self.described["operationId"])

    @property
    def guard(self) -> Guard:
        return Guard(self.described[GUARD])

    @property
    def reads(self) -> bool:
        return self.method == "get"

    @property
    def streams(self) -> bool:
        """Whether an answer has no end."""
        return "text/event-stream" in self.described["responses"].get("200", {}).get("content", {})

    @property
    def names(self) -> list[str]:
        """The parameters of its path."""
        return re.findall(r"{(\w+)}", self.path)

    @property
    def asked(self) -> set[str]:
        """The parameters of its query."""
        return {one["name"] for one in self.described.get("parameters", ()) if one["in"] == "query"}

    @property
    def body(self) -> dict[str, Any] | None:
        """The body that the description shows; None where it takes none."""
        if "requestBody" not in self.described:
            return None
        content = self.described["requestBody"]["content"]["application/json"]
        assert "example" in content, f"show a body of `{self.id}` in api/examples.py"
        example: dict[str, Any] = copy.deepcopy(content["example"])
        return example

    def url(self, ids: Mapping[str, str]) -> str:
        return re.sub(r"{(\w+)}", lambda match: ids[match[1]], self.path)


def every_operation(wicket: Instance) -> list[Operation]:
    """What ends things for others comes last, the agent's own end at the very end."""
    found = [Operation(*one) for one in operations(wicket.api.openapi())]
    return sorted(found, key=lambda one: (one.method == "delete", -one.path.count("/")))


@dataclass
class Scene:
    """One trusted agent, and who may try to come at it."""

    wicket: Instance
    people: dict[Caller, Person]
    agent_id: str
    own_members: dict[Caller, str]
    """Each caller's own membership of the agent; a stranger's is of another agent."""
    other_member: str
    strangers_agent: str
    ids: dict[str, str]
    """An object of the owner's for each parameter of a path."""
    headers: dict[Caller, list[tuple[str, str]]] = field(default_factory=dict)

    def ids_for(self, operation: Operation, caller: Caller) -> dict[str, str]:
        """What a caller names: where an own membership is meant, that one."""
        is_own = operation.guard in {Guard.SELF, Guard.SELF_OR_OWNER}
        own = self.own_members.get(caller, self.own_members[Caller.OWNER])
        return self.ids | {"memberId": own if is_own and caller is not Caller.STRANGER else self.other_member}

    async def ask(
        self,
        operation: Operation,
        caller: Caller,
        ids: Mapping[str, str],
        *,
        body: dict[str, Any] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """Send an operation's own example; a change by session has one of its own, which it may end."""
        sent = operation.body if body is None else body
        if sent is not None and "agentId" in sent:
            sent["agentId"] = ids["agentId"]
        is_own = caller in OWN_SESSIONS and not operation.reads
        opened = await open_session(self.wicket, self.people[caller]) if is_own else None
        async with self.wicket.client() as client:
            answer = await client.request(
                operation.method.upper(),
                operation.url({**WORDS, **ids}),
                json=sent,
                headers=self.headers[caller] if opened is None else self._with_cookie(caller, opened.cookie),
                params=dict(query or {}) or None,
            )
        if opened is not None:
            await self.wicket.database.change(
                dashboard_sessions.end, session_id=opened.session.id, now=NOW, agents=()
            )
        return answer

    def _with_cookie(self, caller: Caller, cookie: str) -> list[tuple[str, str]]:
        sent = [("Cookie", f"{self.wicket.parts.jar.name}={cookie}")]
        if caller is not Caller.SESSION_WITHOUT_CSRF:
            sent.append((CSRF_HEADER, csrf_token(cookie)))
        if caller is Caller.SESSION_OF_FOREIGN_PAGE:
            sent.append(("Origin", "https://elsewhere.example"))
        return sent

    async def equip(self) -> None:
        """Give every caller what it sends along."""
        owner = self.people[Caller.OWNER]
        cookies = {name: (await open_session(self.wicket, self.people[name])).cookie for name in SESSIONS}
        made = await owner.put(f"/api/agents/{self.agent_id}/members/{self.own_members[Caller.OWNER]}/key")
        self.headers = {
            **{caller: [bearer(person.token)] for caller, person in self.people.items()},
            **{caller: self._with_cookie(caller, cookie) for caller, cookie in cookies.items()},
            Caller.NOBODY: [],
            Caller.BAD_TOKEN: [bearer("wkt_" + "a" * 43)],
            Caller.TWO_TOKENS: [bearer(owner.token), bearer(owner.token)],
            Caller.MEMBER_KEY: [bearer(made["key"])],
        }


def bearer(token: str) -> tuple[str, str]:
    return "Authorization", f"Bearer {token}"


async def open_session(wicket: Instance, person: Person) -> dashboard_sessions.OpenedSession:
    account = await wicket.database.read(accounts.get_account, account_id=person.account_id)
    return await wicket.database.change(
        dashboard_sessions.begin,
        account=account,
        by="tests",
        visit=dashboard_sessions.Visit("127.0.0.1", "tests"),
        terms=RULES.terms,
        now=NOW,
        agents=(),
    )


async def set_scene(wicket: Instance, location: Location) -> Scene:
    """Everybody and everything that a path may name."""
    wicket.servers.tools[URL] = [{"name": "look", "inputSchema": {"type": "object"}}]
    wicket.servers.tools["https://wiki.example.com/mcp"] = wicket.servers.tools[URL]
    owner = await wicket.person("owner")
    people = {
        Caller.OWNER: owner,
        **dict.fromkeys(SESSIONS, owner),
        Caller.READ_TOKEN: await wicket.person("owner", {Scope.READ}),
        **{
            caller: await wicket.person(caller)
            for caller in (Caller.STRANGER, Caller.PENDING, Caller.MEMBER, Caller.SESSION_OWING)
        },
    }
    await enrol(wicket, people[Caller.SESSION_OWING])
    agent_id = await owner.make_agent("agent of the scene")
    stranger = people[Caller.STRANGER]
    strangers_agent = await stranger.make_agent("another agent")
    own = {
        Caller.OWNER: await owner.membership(agent_id),
        Caller.MEMBER: await wicket.admit(people[Caller.MEMBER], agent_id),
        Caller.PENDING: await wicket.join(people[Caller.PENDING], agent_id),
        Caller.STRANGER: await stranger.membership(strangers_agent),
    }
    other = await wicket.admit(await wicket.person("other"), agent_id)
    ids = await make_objects(wicket, location, owner, agent_id, own[Caller.OWNER])
    scene = Scene(wicket, people, agent_id, own, other, strangers_agent, ids)
    await scene.equip()
    return scene


async def make_objects(
    wicket: Instance, location: Location, owner: Person, agent_id: str, member_id: str
) -> dict[str, str]:
    agent = f"/api/agents/{agent_id}"
    await owner.put(f"{agent}/services", {"services": ["github"]})
    policy = await owner.post(f"{agent}/policies", {**PERMIT}, expect=201)
    invite = await owner.post(f"{agent}/invite", {"email": "somebody@example.com"}, expect=201)
    token = await owner.post("/api/users/me/tokens", {"name": "spare"}, expect=201)
    server = {"key": "mine", "name": "Mine", "url": URL, "auth": {"type": "none"}}
    await owner.post("/api/connectors/custom", server, expect=201)
    session = await open_session(wicket, owner)
    async with recording(wicket.database, location) as calls:
        entry_id = await calls.make(agent_id, member_id, "github__get_me")
    return {
        **WORDS,
        "agentId": agent_id,
        "memberId": member_id,
        "policyId": policy["id"],
        "inviteId": invite["id"],
        "tokenId": token["id"],
        "sessionId": session.session.id,
        "entryId": entry_id,
        "toolSessionId": (await owner.get(f"/api/audit/{entry_id}"))["sessionId"],
        "key": "mine",
    }


async def enrol(wicket: Instance, person: Person) -> None:
    """Have somebody owe a second factor from now on."""
    session = (await open_session(wicket, person)).session
    begun = await wicket.database.change(
        second_factor.begin_enrolment, session=session, keys=SERVER, now=NOW, agents=()
    )
    await wicket.database.change(
        second_factor.confirm_enrolment,
        session=session,
        code=second_factor.TotpCode(pyotp.TOTP(begun.secret).at(NOW)),
        backup_digests={"one": "digest"},
        keys=SERVER,
        terms=RULES.terms,
        now=NOW,
        agents=(),
    )


def made_up(name: str) -> str:
    """What nothing has as its id."""
    made: dict[str, str] = {"key": "nobodys", "toolSessionId": f"ts_{uuid4().hex[:24]}"}
    return made.get(name, str(uuid4()))
