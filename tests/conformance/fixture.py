"""A server for the conformance suite, built on the official SDK: both eras, and everything that is tested.

    python -m tests.conformance.fixture PORT

It passes the suite directly; what the suite misses behind Wicket, Wicket has lost.
"""

import base64
import json
import re
import sys
from typing import Any, Final

import mcp_types as types
import uvicorn
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.lowlevel import Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError

from tests.conformance.fixture_tools import EXTRA_TOOL, PNG, Context, build_tools, form

NAME: Final = "conformance-fixture"
CACHED: Final[tuple[CacheableMethod, ...]] = (
    "tools/list",
    "prompts/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "server/discover",
)
TEMPLATED: Final = re.compile(r"test://template/([^/]+)/data")
TEXTS: Final = {
    "test://static-text": "This is the content of the static text resource.",
    "test://watched-resource": "This resource can be watched.",
}
BINARY: Final = "test://static-binary"


class Fixture:
    """What the handlers share."""

    def __init__(self) -> None:
        self.bus = InMemorySubscriptionBus()
        self.extra: set[str] = set()
        self.tools = build_tools(self.bus, self.extra)

    async def list_tools(self, _: Context, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        extra = [EXTRA_TOOL] if "tool" in self.extra else []
        return types.ListToolsResult(tools=[offered.tool for offered in (*self.tools.values(), *extra)])

    async def call_tool(
        self, ctx: Context, params: types.CallToolRequestParams
    ) -> types.CallToolResult | types.InputRequiredResult:
        if params.name not in self.tools:
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
        return await self.tools[params.name].handle(ctx, params)

    async def list_prompts(
        self, _: Context, __: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        extra = [_prompt("test_extra_prompt")] if "prompt" in self.extra else []
        return types.ListPromptsResult(
            prompts=[
                _prompt("test_simple_prompt"),
                _prompt("test_prompt_with_arguments", "arg1", "arg2"),
                _prompt("test_prompt_with_embedded_resource", "resourceUri"),
                _prompt("test_prompt_with_image"),
                _prompt("test_input_required_result_prompt"),
                *extra,
            ]
        )


def _prompt(name: str, *arguments: str) -> types.Prompt:
    return types.Prompt(
        name=name,
        description=f"A prompt for the suite: {name}",
        arguments=[types.PromptArgument(name=one, description=one, required=True) for one in arguments],
    )


async def get_prompt(
    _: Context, params: types.GetPromptRequestParams
) -> types.GetPromptResult | types.InputRequiredResult:
    given = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            return _said(types.TextContent(text="This is a simple prompt for testing."))
        case "test_prompt_with_arguments":
            words = f"Prompt with arguments: arg1='{given.get('arg1')}', arg2='{given.get('arg2')}'"
            return _said(types.TextContent(text=words))
        case "test_prompt_with_embedded_resource":
            inside = types.TextResourceContents(
                uri=given.get("resourceUri", ""),
                mime_type="text/plain",
                text="Embedded resource content for testing.",
            )
            return _said(
                types.EmbeddedResource(resource=inside),
                types.TextContent(text="Please process the embedded resource above."),
            )
        case "test_prompt_with_image":
            return _said(
                types.ImageContent(data=PNG, mime_type="image/png"),
                types.TextContent(text="Please analyze the image above."),
            )
        case "test_input_required_result_prompt":
            if "user_context" in (params.input_responses or {}):
                return _said(types.TextContent(text="The prompt uses the context that was given."))
            asked: types.InputRequests = {
                "user_context": form("What context should the prompt use?", context="string")
            }
            return types.InputRequiredResult(input_requests=asked)
        case _:
            raise MCPError(types.INVALID_PARAMS, f"Unknown prompt: {params.name}")


def _said(*content: types.ContentBlock) -> types.GetPromptResult:
    return types.GetPromptResult(
        messages=[types.PromptMessage(role="user", content=block) for block in content]
    )


async def list_resources(_: Context, __: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
    texts = [
        types.Resource(uri=uri, name=uri.removeprefix("test://"), description=words, mime_type="text/plain")
        for uri, words in TEXTS.items()
    ]
    binary = types.Resource(uri=BINARY, name="static-binary", description="A picture", mime_type="image/png")
    return types.ListResourcesResult(resources=[*texts, binary])


async def list_templates(
    _: Context, __: types.PaginatedRequestParams | None
) -> types.ListResourceTemplatesResult:
    template = types.ResourceTemplate(
        uri_template="test://template/{id}/data", name="template", mime_type="application/json"
    )
    return types.ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(_: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
    uri = str(params.uri)
    if uri in TEXTS:
        return _read(types.TextResourceContents(uri=uri, mime_type="text/plain", text=TEXTS[uri]))
    if uri == BINARY:
        blob = base64.b64encode(base64.b64decode(PNG)).decode()
        return _read(types.BlobResourceContents(uri=uri, mime_type="image/png", blob=blob))
    if (found := TEMPLATED.fullmatch(uri)) is not None:
        told = json.dumps({"id": found[1], "templateTest": True, "data": f"Data for ID: {found[1]}"})
        return _read(types.TextResourceContents(uri=uri, mime_type="application/json", text=told))
    raise MCPError(types.INVALID_PARAMS, "Resource not found", {"uri": uri})


def _read(contents: types.TextResourceContents | types.BlobResourceContents) -> types.ReadResourceResult:
    return types.ReadResourceResult(contents=[contents])


async def complete(_: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
    values = [
        word for word in ("paris", "park", "party", "test") if word.startswith(params.argument.value[:1])
    ]
    return types.CompleteResult(completion=types.Completion(values=values, total=len(values), has_more=False))


async def acknowledge(_: Context, __: Any) -> types.EmptyResult:
    """Subscriptions and the log level of the legacy era: taken note of, and nothing more."""
    return types.EmptyResult()


def build_server() -> Server[Any]:
    fixture = Fixture()
    server: Server[Any] = Server(
        NAME,
        version="1.0.0",
        cache_hints={method: CacheHint(ttl_ms=1_000, scope="private") for method in CACHED},
        on_list_tools=fixture.list_tools,
        on_call_tool=fixture.call_tool,
        on_list_prompts=fixture.list_prompts,
        on_get_prompt=get_prompt,
        on_list_resources=list_resources,
        on_list_resource_templates=list_templates,
        on_read_resource=read_resource,
        on_subscribe_resource=acknowledge,
        on_unsubscribe_resource=acknowledge,
        on_subscriptions_listen=ListenHandler(fixture.bus),
        on_completion=complete,
    )
    server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, acknowledge)
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=NAME))
    return server


def main() -> None:
    port = int(sys.argv[1])
    config = uvicorn.Config(
        build_server().streamable_http_app(), host="127.0.0.1", port=port, log_level="error"
    )
    uvicorn.Server(config).run()


if __name__ == "__main__":
    main()
