"""Somebody who uses the REST API of the instance that a scene's proxy belongs to."""

import json
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from tests.gateway.scene import Scene
from tests.instance import now
from wicket.store import accounts
from wicket.store.accounts import Scope


def _token(tx: sa.Connection, *, email: str) -> str:
    account = accounts.get_or_create_account(tx, email=email, now=now())
    made = accounts.create_token(
        tx, account_id=account.id, name="tests", scopes=frozenset(Scope), expires_at=None, now=now()
    )
    return made.token


async def made_token(s: Scene, email: str) -> str:
    """A token of an account, which is made on first use."""
    return await s.wicket.change(_token, email=email, agents=())


class SignedIn:
    """One person, by a token."""

    def __init__(self, s: Scene, token: str) -> None:
        self._s = s
        self._token = token
        self.headers: Mapping[str, str] = {}
        """Of the last answer."""

    @classmethod
    async def of(cls, s: Scene, email: str) -> "SignedIn":
        return cls(s, await made_token(s, email))

    async def send(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and document."""
        sent = {"authorization": f"Bearer {self._token}"} | dict(headers or {})
        url = self._s.wicket.url + path
        async with self._s.wicket.http.request(method, url, json=body, headers=sent) as answer:
            self.headers = answer.headers
            content = await answer.read()
            return answer.status, json.loads(content) if content else None

    async def done(self, method: str, path: str, body: object = None) -> Any:
        """The document of an answer that is a good one."""
        status, document = await self.send(method, path, body)
        assert status < 300, (method, path, status, document)
        return document
