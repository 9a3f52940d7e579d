"""That the policies which an entry cites are those it is found by, in the versions that are kept."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
import sqlalchemy as sa

from wicket.connectors.services import catalog
from wicket.core.errors import Invalid
from wicket.core.policy.document import digest_of, parse_policy
from wicket.store import tables
from wicket.store.audit.entry import Table
from wicket.store.audit.flaws import Flawed
from wicket.store.audit.links import ENTRY_AGENT, ENTRY_BODY, ENTRY_ID, Link

CITED_MAX: Final = 10_000
"""Policy versions whose digest has been checked, kept to check each but once."""
INDEX: Final = "audit_policies"
VERSIONS: Final = "policy_versions"
_COUNT: Final = {
    "sqlite": sa.text(
        "SELECT count(*) FROM json_each(:pairs) j CROSS JOIN audit_policies p"
        " ON p.policy_id = j.value ->> 0 AND p.entry_id = j.value ->> 1"
    ),
    "postgresql": sa.text(
        "SELECT count(*) FROM json_array_elements(CAST(:pairs AS json)) j JOIN audit_policies p"
        " ON p.policy_id = j.value ->> 0 AND p.entry_id = j.value ->> 1"
    ),
}


class Citations:
    """Takes the entries a stretch at a time."""

    def __init__(self, tx: sa.Connection) -> None:
        self._tx = tx
        self._checked: set[tuple[str, str, int, str]] = set()
        self.count = 0

    def take(self, writer: int, links: Sequence[Link]) -> None:
        """Check what these entries cite; raises Flawed."""
        pairs: list[tuple[str, str]] = []
        for link in links:
            if link.table is not Table.AUDIT:
                continue
            agent_id, entry_id = str(link.fields[ENTRY_AGENT]), str(link.fields[ENTRY_ID])
            for policy in cited_in(str(link.fields[ENTRY_BODY])):
                version = (agent_id, policy["id"], policy["version"], policy["digest"])
                if version not in self._checked:
                    self._check_version(writer, link.seq, *version)
                pairs.append((policy["id"], entry_id))
        # An entry may cite a policy for several resources; it is found by it once.
        distinct = dict.fromkeys(pairs)
        if self._indexed(list(distinct)) != len(distinct):
            self._name_the_missing(writer, links)
        self.count += len(distinct)

    def count_pruned(self, writer: int, link: Link) -> None:
        """Of an entry that is about to be pruned, only that it is not found by a policy which it does not cite."""
        if link.table is Table.AUDIT:
            try:
                self.count += len({policy["id"] for policy in cited_in(str(link.fields[ENTRY_BODY]))})
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise Flawed(writer, link.seq, link.table, "changed: it cannot be read") from error

    def check_all_are_cited(self) -> None:
        """Once every entry has been taken: that nothing else is in the index."""
        indexed = _count_rows(self._tx, tables.audit_policies)
        if indexed != self.count:
            raise Flawed(0, 0, INDEX, "inserted: entries are said to cite policies that they do not cite")

    def _indexed(self, pairs: Sequence[tuple[str, str]]) -> int:
        if not pairs:
            return 0
        found: int = self._tx.execute(
            _COUNT[self._tx.dialect.name], {"pairs": orjson.dumps(pairs).decode()}
        ).scalar_one()
        return found

    def _name_the_missing(self, writer: int, links: Sequence[Link]) -> None:
        for link in links:
            if link.table is Table.AUDIT:
                cited = {policy["id"] for policy in cited_in(str(link.fields[ENTRY_BODY]))}
                pairs = [(policy_id, str(link.fields[ENTRY_ID])) for policy_id in cited]
                if self._indexed(pairs) != len(pairs):
                    raise Flawed(
                        writer, link.seq, INDEX, "missing: an entry is not found by a policy it cites"
                    )

    def _check_version(
        self, writer: int, seq: int, agent_id: str, policy_id: str, version: int, digest: str
    ) -> None:
        versions = tables.policy_versions.c
        kept = self._tx.execute(
            sa.select(versions.document).where(
                versions.agent_id == agent_id, versions.policy_id == policy_id, versions.version == version
            )
        ).scalar_one_or_none()
        if kept is None:
            raise Flawed(writer, seq, VERSIONS, f"missing: version {version} of policy {policy_id}")
        try:
            is_same = digest_of(parse_policy(json.loads(kept), catalog()), version) == digest
        except (Invalid, ValueError, TypeError):
            is_same = False
        if not is_same:
            raise Flawed(writer, seq, VERSIONS, f"changed: version {version} of policy {policy_id}")
        if len(self._checked) >= CITED_MAX:
            self._checked.clear()
        self._checked.add((agent_id, policy_id, version, digest))


def cited_in(body: str) -> Sequence[Mapping[str, Any]]:
    """The policies that an entry's body names; raises ValueError when it cannot be read."""
    try:
        told = orjson.loads(body)
    except (
        orjson.JSONDecodeError
    ):  # it refuses a few texts that the log may hold, such as half a surrogate pair
        told = json.loads(body)
    cited: Sequence[Mapping[str, Any]] = told.get("matchedPolicies", ())
    return cited


def _count_rows(tx: sa.Connection, table: sa.Table) -> int:
    """How many rows a table has."""
    found: int = tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
    return found
