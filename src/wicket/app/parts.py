"""The parts, built, joined, started and stopped."""

import os
import platform
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias
from urllib.parse import urlsplit

from wicket import __version__
from wicket.api import BODY_BYTES_MAX, build_api
from wicket.app.control import api_parts
from wicket.app.local import local_connectors, utc_now
from wicket.app.upkeep import look_after_the_log
from wicket.connectors.services import catalog
from wicket.core.keys import ServerKeys
from wicket.core.model import Connector
from wicket.core.redaction import Redactor
from wicket.core.world import Member, World
from wicket.front import Door, Front
from wicket.front import Limits as FrontLimits
from wicket.gateway.attempts import Attempts
from wicket.gateway.client_sessions import McpSessions
from wicket.gateway.exchange import Exchange
from wicket.gateway.flights import Flights
from wicket.gateway.gateway import Bucket, Gateway
from wicket.gateway.legacy_sessions import LegacySessions
from wicket.gateway.listening import Listening
from wicket.gateway.listing import Listing
from wicket.gateway.mock_calls import MockCalls
from wicket.gateway.offers import Offers
from wicket.gateway.others import Others
from wicket.gateway.rounds import Rounds
from wicket.gateway.second_looks import SecondLooks
from wicket.runtime.chance import Chance
from wicket.runtime.credentials import Credentials
from wicket.runtime.key_uses import KeyUses
from wicket.runtime.limiter import open_limiter
from wicket.runtime.recorder import Limits, Recorder
from wicket.runtime.retention import make_months
from wicket.runtime.snapshot import Snapshot
from wicket.runtime.stdio import StdioCommand, StdioLimits, StdioPool
from wicket.runtime.tail import Tail
from wicket.runtime.turns import Turns
from wicket.runtime.upstream import Upstream, UpstreamLimits
from wicket.runtime.wire import AddressPolicy, HttpWire, WireLimits
from wicket.settings import Settings, make_data_dir, read_secrets
from wicket.store import connections, pins, worlds
from wicket.store.audit.ledger import Ledger
from wicket.store.audit.postgres_ledger import PostgresLedger
from wicket.store.audit.sqlite_ledger import SqliteLedger
from wicket.store.db import Database, check_sqlite, open_database, upgrade
from wicket.store.lookups import looking_up


@dataclass(frozen=True, slots=True)
class Running:
    """The parts that the front and the two doors behind it are made of."""

    settings: Settings
    keys: ServerKeys
    database: Database
    snapshot: Snapshot
    recorder: Recorder
    upstream: Upstream
    front: Front


def ledger_of(settings: Settings, local: Mapping[str, Connector]) -> Ledger:
    """A writer of the log, not yet opened, of the database that the settings name."""
    load_world = partial(worlds.load, local=local)
    host, idle_s = platform.node(), settings.session_idle_s
    if settings.database_url is not None:
        return PostgresLedger(settings.database_url, load_world=load_world, host=host, session_idle_s=idle_s)
    return SqliteLedger(settings.sqlite_path, load_world=load_world, host=host, session_idle_s=idle_s)


MakeLedger: TypeAlias = Callable[[Settings, Mapping[str, Connector]], Ledger]


@asynccontextmanager
async def running(
    settings: Settings, *, make_ledger: MakeLedger = ledger_of, limits: Limits | None = None
) -> AsyncIterator[Running]:
    """Every part built, started, and stopped in turn; raises WicketError when one cannot start.

    `limits` are the recorder's, but for what settings say.
    """
    async with AsyncExitStack() as stack:
        make_data_dir(settings)
        keys = ServerKeys(read_secrets(settings))
        local = local_connectors(settings)
        database = await _database(settings, stack)
        snapshot = Snapshot(
            load=partial(_load_world, database, local),
            find_agent=partial(_find_agent, database),
            read_revision=database.revision,
        )
        recorder = Recorder(
            open_ledger=partial(make_ledger, settings, local),
            reload_world=snapshot.reload,
            read_revision=database.revision,
            look_up=looking_up(database),
            limits=limits,
        )
        await look_after_the_log(settings, stack, keys, database, recorder)
        await recorder.start()
        stack.push_async_callback(recorder.stop)
        upstream = await _upstream(settings, stack)
        tail = Tail(database)
        await tail.start()
        stack.push_async_callback(tail.stop)
        gateway = await _gateway(settings, stack, keys, database, snapshot, recorder, upstream, tail)
        mock_calls = MockCalls(gateway=gateway, snapshot=snapshot, keys=keys, version=__version__)
        front = Front(
            handler=gateway,
            api=build_api(
                api_parts(settings, stack, keys, database, recorder, upstream, local, mock_calls, tail)
            ),
            door=_door(settings),
            limits=_front_limits(settings),
            drain_api=tail.drain,
        )
        front.start()
        stack.callback(front.stop)
        yield Running(settings, keys, database, snapshot, recorder, upstream, front)


async def _database(settings: Settings, stack: AsyncExitStack) -> Database:
    if settings.database_url is None:
        check_sqlite(workers=settings.workers)
    database = await open_database(sqlite_path=settings.sqlite_path, url=settings.database_url)
    stack.push_async_callback(database.close)
    await upgrade(database)
    await make_months(database, now=utc_now())
    return database


async def _load_world(database: Database, local: dict[str, Connector], agent_id: str) -> World | None:
    return await database.read(worlds.load, agent_id, local=local)


async def _find_agent(database: Database, digest: bytes) -> str | None:
    return await database.read(worlds.agent_of_digest, digest)


async def _upstream(settings: Settings, stack: AsyncExitStack) -> Upstream:
    wire = HttpWire(addresses=AddressPolicy(settings.upstream_allow_private), limits=WireLimits())
    stack.push_async_callback(wire.close)
    commands = [
        StdioCommand(key=key, command=server.command, args=server.args, env=server.env, cwd=server.cwd)
        for key, server in settings.stdio.items()
    ]
    stdio = StdioPool(
        commands,
        environment=os.environ,
        client_version=__version__,
        limits=StdioLimits(line_bytes_max=settings.response_bytes_max),
    )
    stack.push_async_callback(stdio.stop)
    limits = UpstreamLimits(
        timeout_s=settings.upstream_timeout_s,
        body_bytes_max=settings.response_bytes_max,
        event_bytes_max=settings.response_bytes_max,
    )
    upstream = Upstream(wire=wire, stdio=stdio, limits=limits, client_version=__version__)
    stack.push_async_callback(upstream.stop)
    return upstream


def _door(settings: Settings) -> Door:
    return Door(
        public_host=urlsplit(settings.base_url).netloc,
        is_loopback=settings.is_loopback,
        trusted_proxies=settings.trusted_proxies,
    )


def _front_limits(settings: Settings) -> FrontLimits:
    return FrontLimits(
        body_bytes_max=settings.body_bytes_max,
        api_body_bytes_max=BODY_BYTES_MAX,
        connections_max=settings.connections_max,
        keep_alive_s=settings.keep_alive_s,
        body_s=settings.request_timeout_s,
    )


async def _gateway(
    settings: Settings,
    stack: AsyncExitStack,
    keys: ServerKeys,
    database: Database,
    snapshot: Snapshot,
    recorder: Recorder,
    upstream: Upstream,
    tail: Tail,
) -> Gateway:
    """The proxy and the parts behind it."""
    limiter = open_limiter(settings.data_dir if settings.workers > 1 else None)
    stack.callback(limiter.close)
    credentials = Credentials(
        keys=keys, find_sealed=partial(_find_sealed, database), monotonic_ns=time.monotonic_ns
    )
    listing = Listing(
        upstream=upstream, credentials=credentials, observe=partial(_observe, database, snapshot)
    )
    looks = SecondLooks(listing, monotonic_ns=time.monotonic_ns)
    stack.push_async_callback(looks.stop)
    rounds = Rounds(keys.round_keys, random=os.urandom, now=utc_now)
    mcp_sessions = McpSessions(keys.session_key, random=os.urandom)
    legacy = LegacySessions(is_alone=settings.workers == 1)
    key_uses = KeyUses(database)
    await key_uses.start()
    stack.push_async_callback(key_uses.stop)
    return Gateway(
        keys=keys,
        snapshot=snapshot,
        limiter=limiter,
        recorder=recorder,
        attempts=Attempts(
            redactor=Redactor(keys.redaction_key),
            connectors={**catalog(), **local_connectors(settings)},
            now=utc_now,
            random=Chance(),
        ),
        exchange=Exchange(
            recorder=recorder,
            credentials=credentials,
            upstream=upstream,
            rounds=rounds,
            after_call=looks.after_call,
        ),
        listing=listing,
        others=Others(
            listing=listing,
            offers=Offers(upstream=upstream, credentials=credentials),
            mcp_sessions=mcp_sessions,
            legacy=legacy,
            upstream=upstream,
            credentials=credentials,
        ),
        listening=Listening(upstream=upstream, credentials=credentials, recorder=recorder),
        rounds=rounds,
        legacy=legacy,
        flights=_flights(stack, tail, snapshot),
        mcp_sessions=mcp_sessions,
        key_uses=key_uses,
        bucket=Bucket(settings.rate_burst, settings.rate_per_second),
        turns=Turns(),
        monotonic_ns=time.monotonic_ns,
    )


def _flights(stack: AsyncExitStack, tail: Tail, snapshot: Snapshot) -> Flights:
    """Calls in the air, and what tells when their callers lose the right."""
    flights = Flights(watch=tail.watch, current=snapshot.current_of)
    stack.push_async_callback(flights.stop)
    return flights


async def _find_sealed(
    database: Database, agent_id: str, member_id: str, service: str
) -> connections.SealedConnection | None:
    return await database.read(
        connections.find_sealed, agent_id=agent_id, member_id=member_id, service=service
    )


async def _observe(
    database: Database,
    snapshot: Snapshot,
    world: World,
    member: Member,
    service: str,
    seen: Sequence[pins.SeenTool],
) -> World | None:
    await database.change(
        pins.observe,
        agent_id=world.agent_id,
        service=service,
        member_id=member.id,
        seen=seen,
        now=utc_now(),
        agents=[world.agent_id],
    )
    return await snapshot.current(world)
