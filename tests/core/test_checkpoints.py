import json
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wicket.core.checkpoints import (
    Checkpoint,
    Pruned,
    Signed,
    Signer,
    Statement,
    StatementKind,
    digest_of,
    fingerprint_of,
    is_signed,
    parse_public_key,
    parse_statement,
    render_statement,
)
from wicket.core.keys import ServerKeys

SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
HASH = "ab" * 32
CHECKPOINT = Statement(
    number=7,
    at_us=1_700_000_000_000_000,
    previous="cd" * 32,
    public_key=SIGNER.public_key,
    says=Checkpoint(heads={0: (3, HASH), 12: (900, HASH)}, ended=frozenset({12}), known=12),
)
PRUNED = replace(
    CHECKPOINT, number=1, previous=None, says=Pruned({2: (5, HASH)}, cutoff_us=9, rows=5, is_done=False)
)


@pytest.mark.parametrize("statement", [CHECKPOINT, PRUNED])
def test_a_statement_is_read_as_it_was_written(statement: Statement) -> None:
    assert parse_statement(render_statement(statement)) == statement


def test_kinds_are_what_is_said() -> None:
    assert [CHECKPOINT.kind, PRUNED.kind] == [StatementKind.CHECKPOINT, StatementKind.PRUNED]


def test_the_text_that_is_signed_does_not_change_between_releases() -> None:
    assert render_statement(PRUNED) == (
        '{"at":1700000000000000,"bounds":{"2":[5,"' + HASH + '"]},"cutoff":9,"format":"wicket/checkpoint/1",'
        '"isDone":false,"kind":"pruned","number":1,"previous":null,"publicKey":"'
        + SIGNER.public_key
        + '","rows":5}'
    )


BODY = render_statement(CHECKPOINT)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "{}",
        BODY + " ",
        BODY.replace('"number":7', '"number":7.0'),
        BODY.replace('"number":7', '"number":"7"'),
        BODY.replace('"number":7', '"number":true'),
        BODY.replace('"number":7', '"number":7,"number":7'),
        BODY.replace("checkpoint/1", "checkpoint/2"),
        BODY.replace('"checkpoint"', '"other"'),
        BODY.replace('"ended":[12]', '"ended":[12,12]'),
        BODY.replace('"12":[', '"012":['),
        BODY.replace(SIGNER.public_key, SIGNER.public_key.upper()),
        BODY.replace(SIGNER.public_key, "short"),
        json.dumps(json.loads(BODY)),
        "[" * 100_000,
    ],
)
def test_a_statement_has_one_spelling(body: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - which sentence it has is nobody's business
        parse_statement(body)


def test_a_signature_is_over_every_character() -> None:
    signature = SIGNER.sign(BODY)
    other = Signer(Ed25519PrivateKey.generate())
    assert is_signed(BODY, signature, SIGNER.public_key)
    assert not is_signed(BODY.replace("900", "901"), signature, SIGNER.public_key)
    assert not is_signed(BODY, signature, other.public_key)
    assert not is_signed(BODY, other.sign(BODY), SIGNER.public_key)
    assert not is_signed(BODY, b"", SIGNER.public_key)
    assert not is_signed(BODY, signature, "00")


def test_a_line_outside_carries_text_and_signature() -> None:
    signed = Signed(BODY, SIGNER.sign(BODY))
    assert Signed.parse_line(signed.render_line()) == signed
    assert "\n" not in signed.render_line()


@pytest.mark.parametrize("line", ["", "{}", "[]", "1", '{"body": "x"}', '{"body": "x", "signature": "zz"}'])
def test_another_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        Signed.parse_line(line)


def test_keys_come_from_the_servers_secrets_and_have_names() -> None:
    old, new = b"o" * 32, b"n" * 32
    keys = [Signer(key).public_key for key in ServerKeys([new, old]).checkpoint_keys]
    assert keys == [Signer(ServerKeys([secret]).checkpoint_keys[0]).public_key for secret in (new, old)]
    assert len({fingerprint_of(key) for key in keys}) == 2
    assert parse_public_key(f" {keys[0].upper()}\n") == keys[0]
    with pytest.raises(ValueError, match="64"):
        parse_public_key("abc")


def test_statements_are_named_by_their_digest() -> None:
    assert digest_of(BODY) != digest_of(BODY.replace("900", "901"))
    assert len(digest_of(BODY)) == 64
