"""`Idempotency-Key` on creations: honoured where it is sent, never demanded.

What is answered may hold a secret that is shown once, so it is kept sealed. A request is known by a keyed digest of
its method, its address and its body.
"""

import hmac
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

from fastapi import Request, Response

from wicket.core.errors import Conflict, Invalid, Unavailable
from wicket.core.keys import Binding, SealBroken, ServerKeys
from wicket.store import idempotency
from wicket.store.db import ChangedAgents, Database
from wicket.store.idempotency import Answered, Claim

HEADER: Final = "Idempotency-Key"
CODES: Final = ("idempotency_key_in_use", "idempotency_answer_lost", "idempotency_key_reused")
CREATED: Final = 201
"""A route that answers so creates something."""
ANSWER_BYTES_MAX: Final = 1024 * 1024
KEPT_HEADERS: Final = ("content-type", "etag", "location")

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
R = TypeVar("R")


class OnceDatabase:
    """A database whose first change also notes that a claim was carried out; raises Conflict where it was lost."""

    def __init__(self, database: Database, claim: Claim) -> None:
        self._database = database
        self._claim = claim
        self._is_noted = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    async def change(
        self, fn: Callable[..., R], /, *args: object, agents: ChangedAgents, **kwargs: object
    ) -> R:
        if self._is_noted:
            return await self._database.change(fn, *args, agents=agents, **kwargs)
        noting = partial(idempotency.carry_out, self._claim, CREATED)
        result: R = await self._database.change(noting, fn, *args, agents=agents, **kwargs)
        self._is_noted = True
        return result


def once(handle: Handler) -> Handler:
    """Serve a creation that may be asked for twice; who asks is known by now."""

    async def repeatable(request: Request) -> Response:
        key = _key_of(request)
        if key is None:
            return await handle(request)
        parts, account_id = request.state.parts, request.state.asker.account_id
        binding = Binding.of_answer(account_id, key)
        found = await parts.db.change(
            idempotency.claim,
            account_id=account_id,
            key=key,
            digests=_digests(request, await request.body(), parts.keys),
            now=parts.now(),
            agents=(),
        )
        if isinstance(found, Answered):
            return _replayed(found, binding, parts.keys)
        request.state.parts = replace(parts, db=OnceDatabase(parts.db, found))
        response: Response | None = None
        try:
            response = await handle(request)
        finally:
            with suppress(Unavailable):  # then the claim runs out, or the answer is lost
                await _settle(parts.db, found, response, binding, parts.keys)
        return response

    return repeatable


async def _settle(
    database: Database, claim: Claim, response: Response | None, binding: Binding, keys: ServerKeys
) -> None:
    if response is None:
        await database.change(idempotency.release, claim=claim, agents=())
        return
    kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    body = bytes(response.body)
    if len(body) <= ANSWER_BYTES_MAX:
        plain = json.dumps({"headers": kept, "body": b64encode(body).decode()})
        await database.change(
            idempotency.keep_answer,
            claim=claim,
            status=response.status_code,
            sealed=keys.seal(plain.encode(), binding),
            agents=(),
        )


def _replayed(answered: Answered, binding: Binding, keys: ServerKeys) -> Response:
    try:
        plain = json.loads(keys.open_sealed(answered.sealed, binding))
    except SealBroken as broken:
        raise Conflict(
            "the request with this key was carried out, and its answer does not open any more",
            code="idempotency_answer_lost",
        ) from broken
    return Response(b64decode(plain["body"]), answered.status, plain["headers"])


def _key_of(request: Request) -> str | None:
    said = request.headers.getlist(HEADER)
    if not said:
        return None
    if len(said) > 1 or not _KEY.fullmatch(said[0]):
        raise Invalid(f"`{HEADER}` is one text of 1 to 255 printable characters without blanks", field=HEADER)
    return said[0]


def _digests(request: Request, body: bytes, keys: ServerKeys) -> tuple[bytes, ...]:
    address = f"{request.method} {request.url.path}?{request.url.query}".encode()
    said = len(address).to_bytes(4, "big") + address + body
    return tuple(hmac.digest(key, said, "sha256") for key in keys.request_keys)
