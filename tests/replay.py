"""Every entry of a log decided again: from the request that it stores, under the policy versions that it names."""

import json
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from tests.evidence import note
from wicket.connectors.services import catalog
from wicket.core.model import Json, JsonObject, PolicyEffect, PolicyRef
from wicket.core.policy.document import digest_of, parse_policy
from wicket.core.policy.engine import Rules
from wicket.core.world import AgentPolicy
from wicket.store import tables

MARKER = "[redacted len="
ROWS_AT_A_TIME = 2_000


@dataclass
class Replayed:
    """Of how many entries the second decision was the first; `different` should stay empty."""

    same: int = 0
    same_without_policies: int = 0
    """Denied because no policy permits it: there is none to name."""
    refused_before: int = 0
    """Of a dead key, a disabled agent, an unknown tool and the like: nothing was put to Cedar, and none is stored."""
    redacted: int = 0
    """Decided on something that the log holds in redacted form only."""
    different: list[str] = field(default_factory=list)

    @property
    def again(self) -> int:
        return self.same + self.same_without_policies


def note_replayed(found: Replayed) -> None:
    note(
        "replays",
        found.again,
        wrong={"decided otherwise": len(found.different)},
        denied_without_a_policy=found.same_without_policies,
        refused_before_a_decision=found.refused_before,
        redacted=found.redacted,
    )


def replay(tx: sa.Connection) -> Replayed:
    """Decide every entry of the log again."""
    return _Replay(tx).run()


class _Replay:
    def __init__(self, tx: sa.Connection) -> None:
        self._tx = tx
        self._policies: dict[tuple[str, str, int], AgentPolicy | None] = {}
        self._rules: dict[tuple[object, ...], Rules] = {}
        self._found = Replayed()

    def run(self) -> Replayed:
        audit = tables.audit
        after = ""
        page = sa.select(audit).where(audit.c.id > sa.bindparam("after")).order_by(audit.c.id)
        while rows := self._tx.execute(page.limit(ROWS_AT_A_TIME), {"after": after}).all():
            for row in rows:
                self._look_at(row, json.loads(row.body))
            after = rows[-1].id
        return self._found

    def _look_at(self, row: sa.Row[Any], body: JsonObject) -> None:
        request = body.get("request")
        if not isinstance(request, dict):
            self._found.refused_before += 1
        elif MARKER in json.dumps(request):
            self._found.redacted += 1
        elif not self._is_same(row, request, body["matchedPolicies"]):
            self._found.different.append(row.id)
        elif body["matchedPolicies"]:
            self._found.same += 1
        else:
            self._found.same_without_policies += 1

    def _is_same(self, row: sa.Row[Any], request: JsonObject, named: Json) -> bool:
        assert isinstance(named, list)
        cited = [self._policy(row.agent_id, policy) for policy in named if isinstance(policy, dict)]
        policies = [policy for policy in cited if policy is not None]
        if len(policies) != len(named):
            return False
        action = request["action"]
        namespace = str(action["type"]).removesuffix("::Action") if isinstance(action, dict) else ""
        key = (namespace, row.agent_id, *((policy.ref.id, policy.ref.version) for policy in policies))
        if key not in self._rules:
            self._rules[key] = Rules(policies, namespace)
        decision = self._rules[key].decide(
            request, json.dumps(request["context"]), json.dumps(request["entities"])
        )
        return (decision.allowed, decision.reason, decision.matched, decision.deny_message) == (
            not row.denied,
            row.reason_code,
            tuple(policy.ref for policy in policies),
            row.deny_message,
        )

    def _policy(self, agent_id: str, named: JsonObject) -> AgentPolicy | None:
        """The version that an entry names, if it is kept and is what it was."""
        version = int(str(named["version"]))
        key = (agent_id, str(named["id"]), version)
        if key not in self._policies:
            kept = self._tx.execute(
                sa.select(tables.policy_versions.c.document).where(
                    tables.policy_versions.c.agent_id == agent_id,
                    tables.policy_versions.c.policy_id == named["id"],
                    tables.policy_versions.c.version == version,
                )
            ).scalar_one_or_none()
            self._policies[key] = None if kept is None else _read(kept, named, version)
        return self._policies[key]


def _read(kept: str, named: JsonObject, version: int) -> AgentPolicy | None:
    document = parse_policy(json.loads(kept), catalog())
    if digest_of(document, version) != named["digest"]:
        return None
    ref = PolicyRef(
        str(named["id"]),
        str(named["key"]),
        document.name,
        version,
        PolicyEffect(str(named["effect"])),
        document.deny_message,
        str(named["digest"]),
    )
    return AgentPolicy(ref, document)
