"""What leaves no entry is counted in metrics, by its kind and without any key."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.gateway.requests import UNKNOWN_KEY
from tests.gateway.scene import Scene, scene

NAME = "wicket_proxy_unentered_requests_total"


async def counted(s: Scene) -> dict[str, float]:
    async with s.wicket.http.get(s.wicket.url + "/metrics") as response:
        families = text_string_to_metric_families(await response.text())
    samples = [sample for family in families for sample in family.samples if sample.name == NAME]
    return {sample.labels["kind"]: sample.value for sample in samples}


async def test_what_leaves_no_entry_is_counted_by_its_kind(tmp_path: Path) -> None:
    notification = b'{"jsonrpc": "2.0", "method": "notifications/initialized"}'
    async with scene(tmp_path) as s:
        before = await counted(s)
        await s.wicket.post(b"{", key=s.key)
        await s.wicket.post(notification, key=s.key)
        await s.wicket.post(b'{"jsonrpc": "2.0", "id": 1, "result": {}}', key=s.key)
        await s.call(key=UNKNOWN_KEY)
        await s.call(key="another that is none")
        await s.wicket.rpc(s.key, "tools/list")
        await s.wicket.rpc(s.key, "invented/by-the-client")
        await s.wicket.rpc(s.key, "invented/too")
        await s.call()
        after = await counted(s)

    grown = {kind: value - before.get(kind, 0) for kind, value in after.items()}
    assert {kind: value for kind, value in grown.items() if value} == {
        "malformed": 1,
        "notification": 1,
        "response": 1,
        "unknown_key": 2,
        "tools/list": 1,
        "other": 2,
    }
