"""What Wicket promises in public, and what checks it: `tests/test_promises.py` holds the two against each other.

A test says which promise it checks by `@pytest.mark.promise("P1")`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Promise:
    sentence: str
    oracle: str
    """What would show that it is broken."""
    script: str | None = None
    """What checks it beside the tests, or instead of them."""
    missing: str | None = None
    """What of it is not built yet."""


PROMISES = {
    "P1": Promise(
        "Complete mediation: each request that reaches an upstream equals a call that was decided ALLOW.",
        "a recording upstream, joined with the log by method, tool, arguments and owner of the credential",
    ),
    "P2": Promise(
        "Fails closed: an exception, a timeout, an evaluation error, a missing entity or an unknown method forwards "
        "nothing.",
        "every way out of the path of a call, and failures planted in it: 0 forwards",
    ),
    "P3": Promise(
        "No decision is lost: its entry is durable before the first byte goes upstream, and a call in flight at a "
        "crash ends as `interrupted`.",
        "what was acknowledged, and what the upstream saw, is in the log after kill -9 and after failing disks",
    ),
    "P4": Promise(
        "The log shows tampering: a row that was changed, deleted, inserted or moved is found and named.",
        "`audit verify` on databases that were tampered with at random; what was cut off the end, against a checkpoint "
        "that is kept outside",
    ),
    "P5": Promise(
        "Decisions can be replayed: what an entry stores gives the same decision under the versions that it names.",
        "every entry decided again",
    ),
    "P6": Promise(
        "Changes bind at once: a call that starts after the API has answered is decided under what it set, on every "
        "worker and replica, and no entry under old rules follows the change in the log.",
        "windows between changes, under load, on several processes",
    ),
    "P7": Promise(
        "The kill switch always works: dashboard, API and command line, with the server down or the disk full; open "
        "streams are cut within a second.",
        "every scope in every state of a call; the agent's own page in a browser",
    ),
    "P8": Promise(
        "A member's call carries that member's token and no other; a denied call opens nothing.",
        "a canary token for each member and service; seals that do not open, on calls that are denied",
    ),
    "P9": Promise(
        "No secret leaks: not into the database, logs, exports, error bodies or metrics.",
        "canaries of every kind of secret",
    ),
    "P10": Promise(
        "Bounded resources: memory, descriptors, queues and caches stay within their limits under abuse.",
        "what is held after many calls, and after misuse",
    ),
    "P11": Promise(
        "At most once: a call that may have been sent is not sent again.",
        "connections cut at every byte; the upstream counts",
    ),
    "P12": Promise(
        "Bulkheads: an upstream that hangs, drips or fails costs the others nothing.",
        "calls of healthy upstreams while hundreds wait on a sick one",
    ),
    "P13": Promise(
        "Policy saves are atomic and validated: nobody ever decides under half a change.",
        "saves at once, saves that fail midway, documents that mean nothing",
    ),
    "P14": Promise(
        "Tool definitions are pinned: one that changed is held before anybody is shown the changed text.",
        "upstreams whose lists change",
    ),
    "P15": Promise(
        "Every route has a stated guard.",
        "every route of the application against every kind of caller",
    ),
    "P16": Promise(
        "Both databases answer alike.",
        "one suite of the store, run on SQLite and on PostgreSQL",
    ),
    "P17": Promise(
        "The protocol survives us: what passes the official conformance suite in front of an upstream passes behind "
        "Wicket.",
        "the suite's checks, one by one, in front and behind",
        script="make conformance",
    ),
}
