"""Policies: what may be saved, under which key, in which versions.

A save makes an immutable numbered version; a toggle is an event, not a version. Keys are slugs of a policy's
first name: they outlive renames, and even deletion, because audit entries cite them.
"""

from wicket.store.policies.etags import check_policy, etag_of
from wicket.store.policies.history import InForce, list_policies_at, policies_at, policies_under
from wicket.store.policies.reads import (
    PolicyVersion,
    StoredPolicy,
    find_agent_of,
    get_policy,
    get_version,
    get_versions,
    list_all_policies,
    list_policies,
    list_versions,
)
from wicket.store.policies.rules import (
    KEY_CHARS_MAX,
    NOTE_CHARS_MAX,
    POLICIES_MAX,
    AgentRef,
    KnownTools,
    check,
    check_evaluable,
    load_known_tools,
    slug_of,
)
from wicket.store.policies.saves import (
    create_policy,
    delete_policies_of_member,
    delete_policy,
    draft_policy,
    rollback_policy,
    toggle_policy,
    update_policy,
)

__all__ = [
    "KEY_CHARS_MAX",
    "NOTE_CHARS_MAX",
    "POLICIES_MAX",
    "AgentRef",
    "InForce",
    "KnownTools",
    "PolicyVersion",
    "StoredPolicy",
    "check",
    "check_evaluable",
    "check_policy",
    "create_policy",
    "delete_policies_of_member",
    "delete_policy",
    "draft_policy",
    "etag_of",
    "find_agent_of",
    "get_policy",
    "get_version",
    "get_versions",
    "list_all_policies",
    "list_policies",
    "list_policies_at",
    "list_versions",
    "load_known_tools",
    "policies_at",
    "policies_under",
    "rollback_policy",
    "slug_of",
    "toggle_policy",
    "update_policy",
]
