"""The log as it grows, over the real server: each call once, for whoever may see it and as long as they may."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from tests.events import bearer, listening
from tests.instance import AgentUnderTest, Instance, now
from tests.upstreams.recording import RecordingUpstream
from wicket.api import Served
from wicket.runtime.reading import VIEWS_OF_ACCOUNT_MAX, LogReaders
from wicket.store import accounts, dashboard_sessions, members
from wicket.store.accounts import Scope
from wicket.store.audit.filters import AuditFilter
from wicket.store.dashboard_sessions import Terms, Visit


@dataclass
class Scene:
    """An agent with an owner and a member, each with a key and a token; the member may call what is forbidden."""

    wicket: Instance
    agent: AgentUnderTest
    owners_key: str
    members_key: str
    owners_token: accounts.NewToken
    members_token: accounts.NewToken

    @property
    def readers(self) -> LogReaders:
        api = self.wicket.parts.front.api
        assert isinstance(api, Served)
        return api.parts.readers

    async def call(self, key: str, tool: str = "fake__echo") -> None:
        await self.wicket.call(key, tool, {"text": "hello"})

    async def entry(self, entry_id: str) -> dict[str, object]:
        headers = bearer(self.owners_token.token)
        async with self.wicket.http.get(f"{self.wicket.url}/api/audit/{entry_id}", headers=headers) as answer:
            found: dict[str, object] = await answer.json()
            return found


async def token_of(wicket: Instance, email: str) -> accounts.NewToken:
    account = await wicket.change(accounts.get_or_create_account, email=email, now=now(), agents=())
    return await wicket.change(
        accounts.create_token,
        account_id=account.id,
        name="tests",
        scopes=frozenset({Scope.READ}),
        expires_at=None,
        now=now(),
        agents=(),
    )


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with RecordingUpstream() as upstream, Instance.started(tmp_path) as wicket:
        agent = await wicket.agent(services={"fake": upstream.url})
        await agent.policy(name="Everybody", service="fake", tools=["echo"])
        await agent.policy(
            name="Never", service="fake", effect="forbid", tools=["tier:destructive"], denyMessage="Not here."
        )
        yield Scene(
            wicket,
            agent,
            await agent.key(),
            await agent.key("member@example.com"),
            await token_of(wicket, "owner@example.com"),
            await token_of(wicket, "member@example.com"),
        )


async def test_a_call_is_told_when_it_is_decided_and_when_it_has_ended(scene: Scene) -> None:
    async with listening(scene.wicket.http, scene.wicket.url, bearer(scene.owners_token.token)) as source:
        await scene.call(scene.owners_key)
        entry, outcome = await source.take(2)
    assert (entry.name, outcome.name) == ("entry", "outcome")
    assert (entry.data["tool"], entry.data["outcome"], outcome.data["outcome"]) == ("echo", "pending", "ok")
    assert outcome.data["id"] == entry.data["id"]
    ended = {name: outcome.data[name] for name in ("durationMs", "upstreamStatus", "outcome", "recordMs")}
    whole = await scene.entry(entry.data["id"])
    assert list(entry.data) == list(whole)
    assert {name: whole[name] for name in ended} == ended
    unended = {"outcome", "durationMs", "upstreamStatus", "recordMs", "upstreamMs", "responseBytes"}
    assert {name: value for name, value in entry.data.items() if name not in unended} == {
        name: value for name, value in whole.items() if name not in unended
    }


async def test_who_comes_back_hears_what_was_missed_and_nothing_twice(scene: Scene) -> None:
    http, url, who = scene.wicket.http, scene.wicket.url, bearer(scene.owners_token.token)
    async with listening(http, url, who, params={"result": "DENY"}) as source:
        await scene.call(scene.owners_key, "fake__first")
        heard = [event.data["tool"] for event in await source.take(1)]
        place = source.last_id
    await scene.call(scene.owners_key, "fake__second")
    await scene.call(scene.owners_key, "fake__echo")
    async with listening(http, url, who, after=place, params={"result": "DENY"}) as source:
        await scene.call(scene.owners_key, "fake__third")
        heard += [event.data["tool"] for event in await source.take(2)]
    assert heard == ["first", "second", "third"]


async def test_with_an_outcome_asked_for_an_entry_comes_when_it_has_ended_so(scene: Scene) -> None:
    async with listening(
        scene.wicket.http, scene.wicket.url, bearer(scene.owners_token.token), params={"outcome": "ok"}
    ) as source:
        await scene.call(scene.owners_key, "fake__nothing")
        await scene.call(scene.owners_key)
        (ended,) = await source.take(1)
    assert (ended.name, ended.data["tool"], ended.data["outcome"]) == ("entry", "echo", "ok")


async def test_a_member_hears_own_calls_without_the_policies(scene: Scene) -> None:
    http, url = scene.wicket.http, scene.wicket.url
    async with (
        listening(http, url, bearer(scene.members_token.token)) as source,
        listening(http, url, bearer(scene.members_token.token), params={"policy": "everybody"}) as by_policy,
    ):
        await scene.call(scene.owners_key)
        await scene.call(scene.members_key)
        entry, _ = await source.take(2)
        assert (entry.data["memberName"], entry.data["matchedPolicies"]) == ("member@example.com", [])
        assert "Everybody" not in str(entry)
        scene.wicket.parts.front.drain()
        async with asyncio.timeout(10):
            assert await by_policy.next() is None


async def test_a_view_ends_soon_after_its_token_was_revoked(scene: Scene) -> None:
    token = scene.owners_token
    async with listening(scene.wicket.http, scene.wicket.url, bearer(token.token)) as source:
        await scene.wicket.change(
            accounts.revoke_token,
            account_id=token.record.account_id,
            token_id=token.record.id,
            now=now(),
            agents=(),
        )
        async with asyncio.timeout(10):
            assert await source.next() is None


async def test_a_view_ends_soon_after_its_session_was_ended(scene: Scene) -> None:
    account = await scene.wicket.database.read(
        accounts.get_account, account_id=scene.owners_token.record.account_id
    )
    terms = Terms(idle=timedelta(hours=1), requires_mfa=False)
    opened = await scene.wicket.change(
        dashboard_sessions.begin,
        account=account,
        by="code",
        visit=Visit("127.0.0.1", "tests"),
        terms=terms,
        now=now(),
        agents=(),
    )
    cookie = {"cookie": f"wicket_session={opened.cookie}"}
    async with listening(scene.wicket.http, scene.wicket.url, cookie) as source:
        await scene.call(scene.owners_key)
        assert len(await source.take(2)) == 2
        await scene.wicket.change(dashboard_sessions.end, session_id=opened.session.id, now=now(), agents=())
        async with asyncio.timeout(10):
            assert await source.next() is None


async def test_what_one_may_see_since_a_moment_ago_is_not_missed(scene: Scene) -> None:
    async with listening(scene.wicket.http, scene.wicket.url, bearer(scene.owners_token.token)) as source:
        second = await scene.wicket.agent("second")
        await scene.call(await second.key())
        (entry,) = await source.take(1)
    assert (entry.data["agentName"], entry.data["decision"]) == ("second", "DENY")


async def test_a_view_ends_when_its_reader_is_no_member_any_more(scene: Scene) -> None:
    async with listening(scene.wicket.http, scene.wicket.url, bearer(scene.members_token.token)) as source:
        await scene.call(scene.members_key)
        assert len(await source.take(2)) == 2
        await scene.wicket.change(
            members.remove,
            agent_id=scene.agent.id,
            member_id=scene.agent.member_ids["member@example.com"],
            actor_id=None,
            now=now(),
            agents=[scene.agent.id],
        )
        async with asyncio.timeout(10):
            assert await source.next() is None


async def test_an_account_has_only_so_many_views_at_a_time(scene: Scene) -> None:
    taken = [
        await scene.readers.view(
            account_id=scene.owners_token.record.account_id, wanted=AuditFilter(), position=None
        )
        for _ in range(VIEWS_OF_ACCOUNT_MAX)
    ]
    headers = bearer(scene.owners_token.token)
    url = f"{scene.wicket.url}/api/audit/stream"
    async with scene.wicket.http.get(url, headers=headers) as refused:
        assert (refused.status, (await refused.json())["code"]) == (429, "too_many_readers")
        assert refused.headers["retry-after"].isdecimal()
    taken[0].close()
    async with listening(scene.wicket.http, scene.wicket.url, bearer(scene.owners_token.token)) as source:
        assert source.last_id


async def test_a_place_that_is_none_of_ours_is_refused(scene: Scene) -> None:
    who = bearer(scene.owners_token.token)
    for place in ("x", "W10", "WzEsMSwxXQ", "WzEsW1s5OTk5OTk5OTk5OTksMV1dXQ", "W1tbW1tb" * 500):
        headers = {**who, "last-event-id": place}
        async with scene.wicket.http.get(f"{scene.wicket.url}/api/audit/stream", headers=headers) as refused:
            assert (refused.status, (await refused.json())["field"]) == (400, "Last-Event-ID"), place


async def test_views_end_when_the_process_is_about_to_stop(scene: Scene) -> None:
    async with listening(scene.wicket.http, scene.wicket.url, bearer(scene.owners_token.token)) as source:
        scene.wicket.parts.front.drain()
        async with asyncio.timeout(10):
            assert await source.next() is None


async def test_a_client_that_leaves_leaves_nothing_behind(scene: Scene) -> None:
    account = scene.owners_token.record.account_id
    async with listening(scene.wicket.http, scene.wicket.url, bearer(scene.owners_token.token)) as source:
        assert source.last_id
    async with asyncio.timeout(10):
        while scene.readers.views.taken_by(account):
            await asyncio.sleep(0)
