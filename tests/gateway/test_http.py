"""Requests as values: which of repeated headers counts."""

import pytest

from wicket.gateway.http import Headers, Inbound, accepts_stream, find_bearer, prefers_stream

REPEATED: Headers = (
    ("x-a", "1"),
    ("accept", "application/json"),
    ("x-a", "2"),
    ("accept", "text/event-stream"),
)


def inbound(*headers: tuple[str, str]) -> Inbound:
    return Inbound("POST", None, headers, b"", "198.51.100.1")


def test_the_first_of_repeated_headers_counts_and_none_is_lost() -> None:
    repeated = inbound(*REPEATED)
    assert (repeated.header("x-a"), repeated.header("x-b")) == ("1", None)
    assert (repeated.values("x-a"), repeated.values("x-b")) == (["1", "2"], [])
    assert inbound(("x-a", "1")).values("x-a") == ["1"]
    assert repeated.headers == REPEATED


@pytest.mark.parametrize(
    ("headers", "bearer"),
    [
        ((), None),
        ((("authorization", "Bearer a"),), "a"),
        ((("authorization", "bearer  a "),), "a"),
        ((("authorization", "Basic a"),), None),
        ((("authorization", "Bearer"),), None),
        ((("authorization", "Bearer a"), ("authorization", "Bearer a")), None),
        ((("authorization", "Basic a"), ("authorization", "Bearer b")), None),
    ],
)
def test_there_is_one_bearer_or_none(headers: Headers, bearer: str | None) -> None:
    assert find_bearer(inbound(*headers)) == bearer


@pytest.mark.parametrize(
    ("accept", "accepts", "prefers"),
    [
        ((), False, False),
        (("application/json",), False, False),
        (("application/json, text/event-stream",), True, False),
        (("text/event-stream;q=1, application/json",), True, True),
        (("application/json", "text/event-stream"), True, False),
        (("text/event-stream", "application/json"), True, True),
    ],
)
def test_a_client_says_how_it_wants_its_answer(
    accept: tuple[str, ...], *, accepts: bool, prefers: bool
) -> None:
    asked = inbound(*(("accept", one) for one in accept))
    assert (accepts_stream(asked), prefers_stream(asked)) == (accepts, prefers)
