import hmac
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wicket.core import keys
from wicket.core.keys import Binding, SealBroken, ServerKeys

OLD, NEW = b"an old secret of the server, long", b"a new secret of the server, long!"
KEY = keys.make_key(bytes(range(24)))
OTHER_KEY = keys.make_key(bytes(24))
BINDING = Binding("agent", "member", "github", "connection", "key")

names = st.text(max_size=12)
bindings = st.builds(
    Binding,
    names,
    names,
    names,
    names,
    names,
    st.sampled_from(["connection", "connector", "answer", "second-factor"]),
)


@given(st.binary(min_size=24, max_size=24))
def test_a_key_is_32_characters_and_is_recognised(random: bytes) -> None:
    key = keys.make_key(random)
    assert len(key) == 32
    assert key == b64encode(random).decode()
    assert keys.is_key(key)


@pytest.mark.parametrize("length", [0, 23, 25, 32])
def test_a_key_is_made_of_24_bytes_only(length: int) -> None:
    with pytest.raises(ValueError, match="24 bytes"):
        keys.make_key(bytes(length))


@pytest.mark.parametrize(
    "text",
    ["", KEY[:-1], KEY + "A", KEY + "\n", " " + KEY[1:], KEY[:-1] + "=", KEY[:-1] + "-", KEY[:-1] + "_",
     KEY[:-1] + "\u0661", KEY[:-1] + "\uff21", "wkt_" + KEY[4:]],
)  # fmt: skip
def test_what_is_not_spelled_like_a_key_is_none(text: str) -> None:
    assert not keys.is_key(text)
    with pytest.raises(ValueError, match="not a member key"):
        keys.private_key(text)


def test_a_key_gives_the_same_pair_every_time_and_another_key_another_pair() -> None:
    assert keys.key_pair(KEY)[1] == keys.key_pair(KEY)[1]
    assert keys.key_pair(KEY)[1] != keys.key_pair(OTHER_KEY)[1]
    assert len(keys.key_pair(KEY)[1]) == 32


def test_a_digest_is_keyed_by_the_server() -> None:
    server = ServerKeys([NEW])
    assert len(server.digest(KEY)) == 32
    assert server.digest(KEY) == keys.digest(ServerKeys([NEW]), KEY)
    assert server.digest(KEY) != server.digest(OTHER_KEY)
    assert server.digest(KEY) != ServerKeys([OLD]).digest(KEY)
    assert server.digest(KEY) != hmac.digest(NEW, KEY.encode(), "sha256")


def test_after_rotation_the_newest_secret_digests_and_each_one_recognises() -> None:
    both = ServerKeys([NEW, OLD])
    assert both.digest(KEY) == ServerKeys([NEW]).digest(KEY)
    assert both.digests(KEY) == (ServerKeys([NEW]).digest(KEY), ServerKeys([OLD]).digest(KEY))


def test_after_rotation_the_newest_secret_seals_and_each_one_opens() -> None:
    sealed_before = ServerKeys([OLD]).seal(b"token", BINDING)
    both = ServerKeys([NEW, OLD])
    assert both.open_sealed(sealed_before, BINDING) == b"token"
    sealed_after = both.seal(b"token", BINDING)
    assert ServerKeys([NEW]).open_sealed(sealed_after, BINDING) == b"token"
    with pytest.raises(SealBroken):
        ServerKeys([OLD]).open_sealed(sealed_after, BINDING)


@pytest.mark.parametrize("secrets", [[], [b""], [b"x" * 31], [NEW, b"short"]])
def test_a_server_without_a_long_secret_does_not_start(secrets: list[bytes]) -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        ServerKeys(secrets)


def test_the_servers_derived_keys_are_all_different() -> None:
    server = ServerKeys([NEW])
    purposes = (server.round_keys, server.invite_keys, server.request_keys, server.sign_in_keys)
    derived = {
        server.redaction_key,
        server.session_key,
        server.public_key,
        *(newest for newest, *_ in purposes),
    }
    assert len({*derived, NEW, ServerKeys([OLD]).redaction_key}) == 9


def test_after_rotation_there_is_a_key_of_each_secret_for_each_purpose_newest_first() -> None:
    old, new, both = ServerKeys([OLD]), ServerKeys([NEW]), ServerKeys([NEW, OLD])
    assert both.invite_keys == (*new.invite_keys, *old.invite_keys)
    assert both.request_keys == (*new.request_keys, *old.request_keys)
    assert both.sign_in_keys == (*new.sign_in_keys, *old.sign_in_keys)


def test_nothing_secret_shows_when_server_keys_are_printed() -> None:
    server = ServerKeys([NEW])
    assert NEW.decode() not in f"{server!r} {server} {server._derived!r}"
    assert "digest_key" not in repr(server._derived)


@given(st.binary(max_size=300), bindings)
def test_what_is_sealed_opens_with_its_key_and_binding(plaintext: bytes, binding: Binding) -> None:
    private, public = keys.key_pair(KEY)
    sealed = keys.seal(plaintext, public, binding)
    assert keys.open_sealed(sealed, private, binding) == plaintext
    assert sealed != keys.seal(plaintext, public, binding)


@given(bindings, bindings)
def test_no_two_bindings_share_an_encoding(one: Binding, other: Binding) -> None:
    assert (one == other) == (one.encode() == other.encode())


def test_a_binding_is_not_fooled_by_ids_that_run_together() -> None:
    assert Binding("ab", "c", "", "").encode() != Binding("a", "bc", "", "").encode()


@pytest.mark.parametrize(
    "moved",
    [
        Binding("other", "member", "github", "connection", "key"),
        Binding("agent", "other", "github", "connection", "key"),
        Binding("agent", "member", "slack", "connection", "key"),
        Binding("agent", "member", "github", "other", "key"),
        Binding("agent", "member", "github", "connection", "other"),
        Binding("agent", "member", "github", "connection"),
        Binding("agent", "member", "github", "connection", "key", purpose="connector"),
        Binding.of_connector("connection"),
    ],
)
def test_a_sealed_token_that_was_moved_does_not_open(moved: Binding) -> None:
    private, public = keys.key_pair(KEY)
    sealed = keys.seal(b"token", public, BINDING)
    with pytest.raises(SealBroken) as broken:
        keys.open_sealed(sealed, private, moved)
    assert broken.value.code == "seal_broken"


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_sealed_token_with_any_byte_changed_does_not_open(position: int, flip: int) -> None:
    private, public = keys.key_pair(KEY)
    sealed = bytearray(keys.seal(b"token", public, BINDING))
    sealed[position % len(sealed)] ^= flip
    with pytest.raises(SealBroken):
        keys.open_sealed(bytes(sealed), private, BINDING)


@given(st.binary(max_size=80))
def test_bytes_that_were_never_sealed_do_not_open(junk: bytes) -> None:
    with pytest.raises(SealBroken):
        keys.open_sealed(b"\x01" + junk, keys.private_key(KEY), BINDING)
    with pytest.raises(SealBroken):
        keys.open_sealed(b"", keys.private_key(KEY), BINDING)


def test_the_server_cannot_open_what_is_sealed_under_a_member_key() -> None:
    server = ServerKeys([NEW])
    sealed = keys.seal(b"token", keys.key_pair(KEY)[1], BINDING)
    with pytest.raises(SealBroken):
        server.open_sealed(sealed, BINDING)


def test_resealing_moves_a_token_from_the_old_key_to_the_new() -> None:
    old_private, old_public = keys.key_pair(KEY)
    new_private, new_public = keys.key_pair(OTHER_KEY)
    new_binding = Binding("agent", "member", "github", "connection", "new key")
    sealed = keys.seal(b"token", old_public, BINDING)
    moved = keys.reseal(
        sealed, private=old_private, binding=BINDING, public_key=new_public, new_binding=new_binding
    )
    assert keys.open_sealed(moved, new_private, new_binding) == b"token"
    with pytest.raises(SealBroken):
        keys.open_sealed(moved, old_private, new_binding)


def test_resealing_with_the_wrong_key_changes_nothing_and_says_so() -> None:
    sealed = keys.seal(b"token", keys.key_pair(KEY)[1], BINDING)
    with pytest.raises(SealBroken):
        keys.reseal(
            sealed,
            private=keys.private_key(OTHER_KEY),
            binding=BINDING,
            public_key=keys.key_pair(OTHER_KEY)[1],
            new_binding=BINDING,
        )
