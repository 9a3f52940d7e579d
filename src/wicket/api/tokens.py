"""Personal API tokens."""

from collections.abc import Sequence
from datetime import datetime

from fastapi import APIRouter
from pydantic import AwareDatetime, Field

from wicket.api.guards import Guard, by
from wicket.api.http import Caller, Parts, TokenId, guarded_router
from wicket.api.models import In, ListOut, Out, whole
from wicket.store import accounts, second_factor
from wicket.store.accounts import ApiToken, Scope


class TokenOut(Out):
    id: str
    name: str
    scopes: Sequence[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None

    @classmethod
    def of(cls, token: ApiToken) -> "TokenOut":
        return cls(
            id=token.id,
            name=token.name,
            scopes=sorted(token.scopes),
            created_at=token.created_at,
            expires_at=token.expires_at,
            last_used_at=token.last_used_at,
        )


class NewTokenOut(TokenOut):
    token: str = Field(repr=False)
    """Shown this once."""


class TokenIn(In):
    name: str
    scopes: list[Scope] = Field([Scope.READ], min_length=1, max_length=len(Scope))
    expires_at: AwareDatetime | None = None


def routes() -> APIRouter:
    """`/api/users/me/tokens`."""
    router = guarded_router("me")
    router.get("/api/users/me/tokens", **by(Guard.ACCOUNT))(list_tokens)
    router.post(
        "/api/users/me/tokens", status_code=201, **by(Guard.ACCOUNT, "session_required", "too_many_tokens")
    )(create_token)
    router.delete("/api/users/me/tokens/{tokenId}", status_code=204, **by(Guard.ACCOUNT))(revoke_token)
    return router


async def list_tokens(caller: Caller, parts: Parts) -> ListOut[TokenOut]:
    """The caller's tokens that are not revoked, newest first."""
    tokens = await parts.db.read(accounts.list_tokens, account_id=caller.account_id)
    return whole([TokenOut.of(token) for token in tokens])


async def create_token(body: TokenIn, caller: Caller, parts: Parts) -> NewTokenOut:
    """Make a token; the answer shows it, and nothing ever does again."""
    await parts.db.read(
        second_factor.check_maker_of_tokens,
        account_id=caller.account_id,
        is_session=caller.session_id is not None,
        terms=parts.sign_in.rules.terms,
    )
    made = await parts.db.change(
        accounts.create_token,
        account_id=caller.account_id,
        name=body.name,
        scopes=frozenset(body.scopes),
        expires_at=body.expires_at,
        now=parts.now(),
        agents=(),
    )
    return NewTokenOut(token=made.token, **dict(TokenOut.of(made.record)))


async def revoke_token(token_id: TokenId, caller: Caller, parts: Parts) -> None:
    """End a token at once."""
    await parts.db.change(
        accounts.revoke_token,
        account_id=caller.account_id,
        token_id=token_id,
        now=parts.now(),
        agents=(),
    )
