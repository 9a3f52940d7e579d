"""The account that asks, and its dashboard sessions."""

from datetime import datetime
from typing import Self

from fastapi import APIRouter, Response

from wicket.api.guards import Guard, by
from wicket.api.http import Caller, Parts, SessionId, guarded_router
from wicket.api.models import ListOut, Out, whole
from wicket.store import accounts
from wicket.store.accounts import Account
from wicket.store.dashboard_sessions import Session, Terms


class AccountOut(Out):
    id: str
    email: str
    created_at: datetime
    mfa_enrolled: bool

    @classmethod
    def of(cls, account: Account) -> Self:
        return cls(
            id=account.id,
            email=account.email,
            created_at=account.created_at,
            mfa_enrolled=account.is_enrolled,
        )


class SessionOut(Out):
    id: str
    created_at: datetime
    last_seen_at: datetime
    """To the minute."""
    expires_at: datetime
    """Unless it is used until then."""
    caller_ip: str
    user_agent: str
    mfa_at: datetime | None
    """When the second factor was shown."""
    current: bool
    """Whether it is the one that asks."""

    @classmethod
    def of(cls, session: Session, terms: Terms, *, current: bool) -> Self:
        return cls(
            id=session.id,
            created_at=session.created_at,
            last_seen_at=session.last_seen_at,
            expires_at=session.expires_at(terms),
            caller_ip=session.caller_ip,
            user_agent=session.user_agent,
            mfa_at=session.mfa_at,
            current=current,
        )


def routes() -> APIRouter:
    """`/api/users/me` and its sessions."""
    router = guarded_router("me")
    router.get("/api/users/me", **by(Guard.ACCOUNT))(read_me)
    router.get("/api/users/me/sessions", **by(Guard.ACCOUNT))(list_sessions)
    router.delete("/api/users/me/sessions/{sessionId}", status_code=204, **by(Guard.ACCOUNT))(revoke_session)
    return router


async def read_me(caller: Caller, parts: Parts) -> AccountOut:
    """The account that the session or token belongs to."""
    return AccountOut.of(await parts.db.read(accounts.get_account, account_id=caller.account_id))


async def list_sessions(caller: Caller, parts: Parts) -> ListOut[SessionOut]:
    """The caller's live dashboard sessions, the one seen last first."""
    terms = parts.sign_in.rules.terms
    sessions = await parts.sign_in.list_sessions(caller.account_id)
    return whole([SessionOut.of(one, terms, current=one.id == caller.session_id) for one in sessions])


async def revoke_session(session_id: SessionId, response: Response, caller: Caller, parts: Parts) -> None:
    """End a session of the caller's at once."""
    await parts.sign_in.revoke(caller.account_id, session_id)
    if session_id == caller.session_id:
        parts.jar.drop(response)
