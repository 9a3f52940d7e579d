import hmac
import re
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wicket.core.model import Json, JsonObject
from wicket.core.redaction import Redactor, is_marker, is_secret_name, is_secret_text

REDACTOR = Redactor(b"digest key of the tests, 32 bytes")
MARKER = re.compile(r"\[redacted len=(\d+) digest=[0-9a-f]{16}\]")

json_leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20)
)
json_values = st.recursive(
    json_leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


def redacted(value: Json, *, name: str = "body") -> Json:
    return REDACTOR.redact({name: value})[name]


@pytest.mark.parametrize(
    "name",
    [
        "token", "TOKEN", "accessToken", "access_token", "github-token", "token2", "oauth2token", "IDToken", "tokens",
        "password", "userPassword", "DB_PASSWORD", "password.confirm", "secret", "clientSecret", "webhookSecret",
        "Authorization", "proxy-authorization", "credential", "credentials", "cookie", "Set-Cookie", "api key",
        "apiKey", "api_key", "x-api-key", "APIKey", "API_KEY_2", "apikey", "API KEYS", "privateKey", "private_key",
        "PRIVATE-KEY", "ssh.private.key", "PassWord", "x_ApI_kEy", "\uff54\uff4f\uff4b\uff45\uff4e", "to\u212aen",
    ],
)  # fmt: skip
def test_a_name_with_a_secrets_word_is_secret(name: str) -> None:
    assert is_secret_name(name)
    assert is_marker(redacted("hunter2", name=name))


@pytest.mark.parametrize(
    "name",
    [
        "", "projectKey", "keyword", "key", "keyId", "issueIdOrKey", "tokenizer", "tokenize", "secretary",
        "cookiecutter", "monkey", "apiVersion", "private", "is_private", "passwordless", "author", "authorize",
        "keyApi", "owner", "path",
    ],
)  # fmt: skip
def test_a_name_that_only_resembles_a_secrets_word_is_not_secret(name: str) -> None:
    assert not is_secret_name(name)
    assert redacted("hunter2", name=name) == "hunter2"


TOKENS = [
    "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "gho_16C7e42F292c6912E7710c838347Ae178B4a",
    "ghs_16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
    "xoxb-123456789012-abcdefABCDEF",
    "xoxp-123456789012-abcdefABCDEF",
    "xapp-1-A0123-456-abcdef",
    "sk_live_abcdefgh12345678",
    "rk_live_abcdefgh12345678",
    "sk_test_abcdefgh12345678",
    "whsec_abcdefgh12345678",
    "lin_api_abcdefgh12345678",
    "lin_oauth_abcdefgh12345678",
    "wkt_abcdefgh12345678",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "AKIAIOSFODNN7EXAMPLE",
    "ASIAIOSFODNN7EXAMPLE",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv",
    "ya29.a0AfH6SMBexample",
    "hf_abcdefghijklmnopqrstuvwxyz",
    "ntn_1234567890abcdefghijklmnop",
    "secret_1234567890abcdefghijklmnopqrst",
    "patAbCdEfGhIjKlMn.0123456789abcdef0123456789abcdef",
    "pat-na1-01234567-89ab",
    "sbp_0123456789abcdef0123456789abcdef",
    "pscale_tkn_abcdefgh12345678",
    "sntrys_abcdefgh12345678",
    "sntryu_abcdefgh12345678",
    "ATATT3xFfGF0abcdefgh",
    "sk-proj-abcdefghijklmnopqrstuv",
    "glpat-abcdefghij1234567890",
    "npm_abcdefghijklmnopqrstuvwxyz",
    "Bearer c2VjcmV0IHRva2Vu",
    "bearer abc123",
    "BEARER abc123",
    "Authorization: Basic dXNlcjpwYXNzd29yZA==",
    "BASIC dXNlcjpwYXNzd29yZA==",
    "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----",
]


@pytest.mark.parametrize("token", TOKENS)
def test_a_text_that_holds_a_token_is_redacted_whole_however_long_it_is(token: str) -> None:
    for text in (token, f"use {token} please", f"{'lorem ipsum ' * 30}{token}{' dolor sit' * 30}"):
        assert is_marker(redacted(text))
        assert is_marker(redacted([{"deep": text}])[0]["deep"])  # type: ignore[index,call-overload]


@pytest.mark.parametrize(
    "text",
    [
        "", "ghp_", "the bearer of good news", "Basic knowledge of the language", "task_list", "skeleton", "xoxo",
        "src/wicket/core/redaction.py", "0192f0c0-0000-7000-8000-000000000000", "d41d8cd98f00b204e9800998ecf8427e",
        "-----BEGIN CERTIFICATE-----", "eyJust a word", "https://example.com/path?query=token", "x" * 1_024,
    ],
)  # fmt: skip
def test_ordinary_texts_stay_readable(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    ("text", "kept"),
    [("x" * 1_024, True), ("x" * 1_025, False), ("\u00e9" * 512, True), ("\u00e9" * 513, False),
     ("\U0001f600" * 256, True), ("\U0001f600" * 257, False)],
)  # fmt: skip
def test_a_text_over_1024_bytes_is_redacted(text: str, *, kept: bool) -> None:
    assert (redacted(text) == text) is kept


def test_a_marker_tells_the_length_in_bytes() -> None:
    text = "\u00e9" * 1_000
    match = MARKER.fullmatch(str(redacted(text)))
    assert match is not None
    assert match[1] == "2000"


def test_equal_values_have_equal_markers_and_others_have_not() -> None:
    assert redacted("hunter2", name="password") == redacted("hunter2", name="token")
    assert redacted("hunter2", name="password") != redacted("hunter3", name="password")
    assert redacted("1", name="password") != redacted(1, name="password")


def test_markers_are_keyed_so_they_cannot_be_guessed_without_the_server() -> None:
    guess = hmac.digest(b"", b"shunter2", "sha256").hex()[:16]
    assert guess not in str(redacted("hunter2", name="password"))
    assert Redactor(b"another key").marker("hunter2") != REDACTOR.marker("hunter2")


def test_a_marker_can_be_made_again_for_a_value_that_is_searched_for() -> None:
    assert redacted("hunter2", name="password") == REDACTOR.marker("hunter2")


def test_a_text_that_pretends_to_be_a_marker_is_redacted_itself() -> None:
    forged = str(redacted("hunter2", name="password"))
    assert redacted(forged) not in {forged, REDACTOR.marker("hunter2")}


def test_everything_below_a_secret_name_is_redacted_and_its_shape_is_kept() -> None:
    yes: Json = True
    arguments: JsonObject = {"credentials": {"user": "me", "keys": ["a", 2, yes, None], "more": {"pin": 1.5}}}
    kept = REDACTOR.redact(arguments)
    mark = REDACTOR.marker
    assert kept == {
        "credentials": {
            "user": mark("me"),
            "keys": [mark("a"), mark(2), mark(yes), None],
            "more": {"pin": mark(1.5)},
        }
    }


def test_a_secret_name_counts_at_any_depth() -> None:
    kept = REDACTOR.redact({"servers": [{"env": {"API_KEY": "abc", "PORT": "80"}}]})
    assert kept == {"servers": [{"env": {"API_KEY": REDACTOR.marker("abc"), "PORT": "80"}}]}


def test_a_value_beside_a_secret_name_is_redacted() -> None:
    kept = REDACTOR.redact(
        {"headers": [{"name": "Authorization", "value": "abc"}, {"key": "Accept", "value": "all"}]}
    )
    assert kept == {
        "headers": [
            {"name": "Authorization", "value": REDACTOR.marker("abc")},
            {"key": "Accept", "value": "all"},
        ]
    }


def test_an_argument_that_names_the_resource_is_kept_whatever_its_name() -> None:
    arguments: JsonObject = {"token": "design-tokens", "password": "hunter2"}
    kept = REDACTOR.redact(arguments, keep=frozenset({"token"}))
    assert kept == {"token": "design-tokens", "password": REDACTOR.marker("hunter2")}


def test_an_argument_that_names_the_resource_does_not_shelter_what_is_below_it() -> None:
    kept = REDACTOR.redact({"token": {"token": "abc"}}, keep=frozenset({"token"}))
    assert kept == {"token": {"token": REDACTOR.marker("abc")}}


def test_a_token_is_redacted_even_where_a_resource_is_named() -> None:
    kept = REDACTOR.redact({"path": TOKENS[0]}, keep=frozenset({"path"}))
    assert kept == {"path": REDACTOR.marker(TOKENS[0])}


def test_an_argument_that_the_catalog_calls_secret_is_redacted_at_any_depth() -> None:
    arguments: JsonObject = {
        "headers": [["X-Team", "abc"]],
        "arguments": {"headers": {"X-Team": "abc"}},
        "url": "u",
    }
    kept = REDACTOR.redact(arguments, hide=frozenset({"headers"}))
    abc = REDACTOR.marker("abc")
    assert kept == {
        "headers": [[REDACTOR.marker("X-Team"), abc]],
        "arguments": {"headers": {"X-Team": abc}},
        "url": "u",
    }


def test_a_token_used_as_a_name_is_redacted_too() -> None:
    kept = REDACTOR.redact({TOKENS[0]: 1, "map": {TOKENS[1]: 2}})
    assert kept == {REDACTOR.marker(TOKENS[0]): 1, "map": {REDACTOR.marker(TOKENS[1]): 2}}


def test_the_arguments_themselves_are_left_alone() -> None:
    arguments: JsonObject = {"password": "hunter2", "list": [{"token": "abc"}]}
    REDACTOR.redact(arguments)
    assert arguments == {"password": "hunter2", "list": [{"token": "abc"}]}


@given(st.dictionaries(st.sampled_from(["owner", "repo", "body", "list"]), json_values, max_size=4))
def test_what_holds_no_secret_comes_out_as_it_went_in(arguments: JsonObject) -> None:
    secret_free = not any(is_secret_name(name) or is_secret_text(name) for name in _names(arguments))
    if secret_free:
        assert REDACTOR.redact(arguments) == arguments


@given(json_values, st.text(alphabet="CANARY", min_size=8, max_size=40))
def test_no_canary_below_a_secret_name_survives(around: Json, canary: str) -> None:
    kept = REDACTOR.redact({"a": around, "secret": [canary, {"x": canary, "y": [around, canary]}]})
    assert canary not in repr(kept["secret"])


@given(
    st.lists(st.text(max_size=40), max_size=3),
    st.sampled_from(TOKENS),
    st.text(alphabet=" .,;\n", max_size=80),
)
def test_no_token_survives_in_any_text(others: list[str], token: str, around: str) -> None:
    kept = REDACTOR.redact({"texts": [*others, around + token + around]})
    assert token not in repr(kept)


def _names(value: Json) -> list[str]:
    if isinstance(value, dict):
        return [*value, *(name for item in value.values() for name in _names(item))]
    if isinstance(value, list):
        return [name for item in value for name in _names(item)]
    return []


def test_of_long_names_none_is_remembered() -> None:
    long = "x" * 1_000_000
    tracemalloc.start()
    try:
        secret = [is_secret_name(f"{long}{number}_token") for number in range(20)]
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all(secret)
    assert held_bytes < 2 * len(long)
