"""What the REST API is built from."""

import os
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

from wicket import __version__
from wicket.api import ApiParts
from wicket.app.local import known_zones, utc_now
from wicket.core.keys import ServerKeys
from wicket.core.model import Connector, JsonObject
from wicket.gateway.mock_calls import MockCalls
from wicket.runtime.mail import ConsoleMailer, Mailer, MailServer, SmtpMailer
from wicket.runtime.reading import LogReaders
from wicket.runtime.recorder import Recorder
from wicket.runtime.sign_in import SignIn, SignInRules
from wicket.runtime.tail import Tail
from wicket.runtime.upstream import Credential, Target, Upstream
from wicket.runtime.wire import AddressPolicy, check_url
from wicket.settings import Settings
from wicket.store.dashboard_sessions import Terms
from wicket.store.db import Database
from wicket.store.sign_in import Signup


def api_parts(
    settings: Settings,
    stack: AsyncExitStack,
    keys: ServerKeys,
    database: Database,
    recorder: Recorder,
    upstream: Upstream,
    local: dict[str, Connector],
    mock_calls: MockCalls,
    tail: Tail,
) -> ApiParts:
    """Everything that the endpoints are handed; what has to be stopped is left to the stack."""
    policy = AddressPolicy(settings.upstream_allow_private)

    async def fetch_tools(connector: Connector, credential: Credential | None) -> list[JsonObject]:
        owner = f"api:{os.urandom(8).hex()}"
        await upstream.start(connector)
        try:
            return await upstream.list_tools(Target(connector, credential, owner))
        finally:
            upstream.forget(owner=owner)

    async def status() -> JsonObject:
        return {"database": database.kind.value, "recorder": "ok", "backlog": recorder.backlog}

    return ApiParts(
        db=database,
        keys=keys,
        sign_in=_sign_in(settings, stack, keys, database),
        fetch_tools=fetch_tools,
        stdio=local,
        tiers_from_annotations=frozenset(
            key for key, server in settings.stdio.items() if server.tier_from_annotations
        ),
        version=__version__,
        public_url=settings.base_url,
        metrics_token=settings.metrics_token,
        status=status,
        known_zones=known_zones(),
        now=utc_now,
        mock_call=mock_calls.make,
        vet_url=partial(check_url, policy=policy),
        readers=LogReaders(database, tail),
        tool_session_idle=timedelta(seconds=settings.session_idle_s),
        forget_tools=lambda _agent_id, service: upstream.forget(service=service),
    )


def _sign_in(settings: Settings, stack: AsyncExitStack, keys: ServerKeys, database: Database) -> SignIn:
    mailer = _mailer(settings)
    stack.push_async_callback(mailer.stop)
    rules = SignInRules(
        signup=Signup.parse(settings.signup),
        terms=Terms(
            idle=timedelta(seconds=settings.dashboard_session_idle_s), requires_mfa=settings.require_mfa
        ),
        base_url=settings.base_url,
    )
    return SignIn(db=database, keys=keys, mailer=mailer, rules=rules, now=utc_now)


def _mailer(settings: Settings) -> Mailer:
    if settings.smtp_url is None or settings.mail_from is None:
        return ConsoleMailer()
    return SmtpMailer(MailServer.parse(settings.smtp_url), sender=settings.mail_from)
