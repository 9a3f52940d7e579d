"""Somebody who uses the REST API of the instance that a scene's proxy belongs to."""

import json
from collections.abc import Mapping
from typing import Any

from tests.gateway.scene import Scene


class SignedIn:
    """One person, by a token."""

    def __init__(self, s: Scene, token: str) -> None:
        self._s = s
        self._token = token
        self.headers: Mapping[str, str] = {}
        """Of the last answer."""

    @classmethod
    async def of(cls, s: Scene, email: str) -> "SignedIn":
        return cls(s, await s.wicket.token(email))

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
