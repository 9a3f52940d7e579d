from typing import Any

import pytest

from wicket.core.errors import Refused, RpcCode
from wicket.core.jsonrpc import tool_call

NAMES = {
    "letters": ("github__get_file", True),
    "all kinds": ("aZ09_.-", True),
    "128 long": ("n" * 128, True),
    "129 long": ("n" * 129, False),
    "empty": ("", False),
    "space before": (" git__log", False),
    "space behind": ("git__log ", False),
    "space within": ("git __log", False),
    "newline behind": ("git__log\n", False),
    "tab": ("git__log\t", False),
    "zero width": ("git__\u200blog", False),
    "soft hyphen": ("git__l\u00adog", False),
    "direction mark": ("\u202egol__tig", False),
    "look-alike": ("g\u0456t__log", False),
    "full width": ("\uff47it__log", False),
    "fold of s": ("git__\u017ftatus", False),
    "fold of k": ("git__\u212aeep", False),
    "composed": ("git__caf\u00e9", False),
    "decomposed": ("git__cafe\u0301", False),
    "slash": ("git/log", False),
    "backslash": ("git\\log", False),
    "colon": ("git::log", False),
    "percent": ("git%5f%5flog", False),
    "null character": ("git__log\x00", False),
    "number": (5, False),
    "list": (["git__log"], False),
    "null": (None, False),
}


@pytest.mark.parametrize(("name", "is_name"), NAMES.values(), ids=NAMES.keys())
def test_the_names_that_a_tool_may_have(name: Any, is_name: bool) -> None:  # noqa: FBT001
    if is_name:
        assert tool_call({"name": name}) == (name, {})
        return
    with pytest.raises(Refused) as caught:
        tool_call({"name": name})
    assert (caught.value.rpc_code, caught.value.status) == (RpcCode.INVALID_PARAMS, 400)
    assert caught.value.facts == {"field": "name"}


def test_a_call_without_name_is_refused() -> None:
    with pytest.raises(Refused):
        tool_call({})


@pytest.mark.parametrize("arguments", [None, [], "x", 1, False])
def test_arguments_are_an_object_or_absent(arguments: Any) -> None:
    assert tool_call({"name": "t", "arguments": {"a": None}}) == ("t", {"a": None})
    with pytest.raises(Refused) as caught:
        tool_call({"name": "t", "arguments": arguments})
    assert caught.value.rpc_code is RpcCode.INVALID_PARAMS
    assert caught.value.facts == {"field": "arguments"}
