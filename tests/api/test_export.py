"""The log written out over the API: the same entries, for the same eyes, in a form that cannot lie."""

import csv
import json
from io import StringIO
from typing import Any

from tests.api.logged import Scene, scene
from tests.api.people import Instance, Person
from wicket.runtime.reading import EXPORTS_OF_ACCOUNT_MAX
from wicket.store.audit.fields import FIELDS

__all__ = ["scene"]


async def exported(person: Person, **params: str | int) -> list[dict[str, str]]:
    response = await person.http.get("/api/audit/export", params=params)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(StringIO(response.text, newline=""), strict=True))


def cell_of(value: Any) -> str:
    """What a cell says of a value, where nothing needs an escape."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


async def listed(person: Person, **params: str | int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await person.query("/api/audit", params))["items"]
    return items


async def test_csv_says_what_the_list_says(scene: Scene) -> None:
    rows, items = await exported(scene.owner), await listed(scene.owner)
    assert [list(row) for row in rows] == [list(FIELDS)] * len(scene.entries)
    assert rows == [{name: cell_of(value) for name, value in item.items()} for item in items]
    denied = next(row for row in rows if row["id"] == scene.entries["delete"])
    assert json.loads(denied["toolArgs"]) == {"owner": "a", "repo": "b"}
    assert json.loads(denied["matchedPolicyIds"]) == ["no-deletions"]


async def test_jsonl_is_the_entries_themselves(scene: Scene) -> None:
    response = await scene.owner.http.get("/api/audit/export?format=jsonl")
    assert response.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line) for line in response.text.splitlines()] == await listed(scene.owner)


async def test_a_file_is_offered_and_kept_by_nobody_on_the_way(scene: Scene) -> None:
    for form in ("csv", "jsonl"):
        response = await scene.owner.http.get("/api/audit/export", params={"format": form})
        name = f"wicket-audit-20261123T120000Z.{form}"
        assert response.headers["content-disposition"] == f'attachment; filename="{name}"'
        assert response.headers["cache-control"] == "no-store"


async def test_pages_and_filters_are_those_of_the_list(scene: Scene) -> None:
    for params in (
        {"result": "DENY"},
        {"limit": 2},
        {"limit": 2, "offset": 1},
        {"offset": 4},
        {"offset": 9},
        {"service": "github", "result": "DENY", "limit": 1, "offset": 1},
        {"q": "for people", "limit": 1, "offset": 1},
        {"tool": "none"},
        {"to": "2026-11-22"},
    ):
        expected = [item["id"] for item in await listed(scene.owner, **params)]
        assert [row["id"] for row in await exported(scene.owner, **params)] == expected, params


async def test_what_may_not_be_asked_is_named(wicket: Instance) -> None:
    ada = await wicket.person("ada")
    for params in ({"format": "xml"}, {"limit": 0}, {"limit": 501}, {"offset": -1}, {"cursor": "x"}):
        problem = await ada.get("/api/audit/export", expect=400, **params)
        assert problem["field"] == next(iter(params))
    assert await exported(ada) == []


async def test_a_member_exports_own_calls_without_the_policies(scene: Scene) -> None:
    response = await scene.member.http.get("/api/audit/export")
    assert response.text.count("\r\n") == 3
    assert "No deletions" not in response.text
    assert "for people" not in response.text
    assert await exported(scene.member, policy="no-deletions") == []


async def test_an_account_has_only_so_many_exports_at_a_time(wicket: Instance, scene: Scene) -> None:
    exports = wicket.parts.readers.exports
    leave, *_ = [exports.take(scene.owner.account_id) for _ in range(EXPORTS_OF_ACCOUNT_MAX)]
    refused = await scene.owner.http.get("/api/audit/export")
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_readers")
    assert len(await exported(scene.member)) == 2
    leave()
    leave()
    assert len(await exported(scene.owner)) == len(scene.entries)
    assert exports.taken_by(scene.owner.account_id) == EXPORTS_OF_ACCOUNT_MAX - 1
