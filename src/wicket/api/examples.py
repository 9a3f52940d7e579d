"""A body that is accepted, for each operation that takes one; by operation id.

They are what readers of the description see first, and what tests send: each of them works as it stands.
"""

from collections.abc import Mapping
from typing import Final

from wicket.core.model import JsonObject

AGENT_ID: Final = "0f5ad4a1-7be5-4a8a-8d32-a8a2c4cfae4e"
CODE: Final[JsonObject] = {"code": "492039"}
POLICY: Final[JsonObject] = {
    "name": "No merges at night",
    "service": "github",
    "effect": "forbid",
    "tools": ["merge_pull_request"],
    "principal": {"type": "all_members"},
    "enabled": True,
    "denyMessage": "Merges wait for the morning.",
    "time": {"hoursFrom": 18, "hoursTo": 7, "timeZone": "Europe/Berlin"},
}
SERVER: Final[JsonObject] = {
    "name": "Wiki",
    "url": "https://wiki.example.com/mcp",
    "auth": {"type": "header", "header": "Authorization", "value": "Bearer <its token>"},
    "perMember": False,
    "tierFromAnnotations": True,
}

BODIES: Final[Mapping[str, JsonObject]] = {
    "ask_code": {"email": "ada@example.com"},
    "verify_sign_in": {"email": "ada@example.com", "code": "K7M2QX"},
    "confirm_factor": CODE,
    "show_factor": CODE,
    "disable_factor": CODE,
    "renew_backup_codes": CODE,
    "create_token": {"name": "laptop", "scopes": ["read", "write"]},
    "create_agent": {"name": "assistant", "trustMode": "trusted", "tags": ["engineering"]},
    "update_agent": {"tags": ["engineering", "on-call"]},
    "put_status": {"status": "disabled", "reason": "it deletes what it should not"},
    "put_services": {"services": ["github"]},
    "put_settings": {"rateBurst": 120, "ratePerSecond": 2, "timeZone": "Europe/Berlin"},
    "create_invite": {"email": "grace@example.com"},
    "join_agent": {"token": "<what follows `token=` in the link>"},
    "put_member_status": {"status": "approved"},
    "put_key": {},
    "put_connection": {"token": "<a token of your account there>"},
    "create_custom": {"key": "wiki", **SERVER},
    "update_custom": SERVER,
    "review_tool": {"tier": "read"},
    "import_entities": {
        "service": "github",
        "entities": [
            {
                "type": "Repository",
                "id": "my-org/site",
                "name": "site",
                "attributes": {"visibility": "private", "archived": False, "topics": ["web"]},
            }
        ],
    },
    "create_policy": POLICY,
    "preview_policy": POLICY,
    "lint_policy": POLICY,
    "simulate_policies": {"draft": POLICY, "from": "2026-11-22", "to": "2026-11-23T18:00:00Z"},
    "update_policy": {**POLICY, "note": "until seven, not six"},
    "toggle_policy": {"enabled": False},
    "toggle_by_id": {"enabled": False},
    "rollback_policy": {"version": 1, "note": "as it was"},
    "make_mock_call": {"agentId": AGENT_ID, "service": "github", "tool": "get_me", "arguments": {}},
}
