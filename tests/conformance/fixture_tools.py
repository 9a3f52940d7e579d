"""The tools that the conformance suite calls, each as its scenario describes it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, PromptsListChanged, ToolsListChanged
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata

Context: TypeAlias = ServerRequestContext[Any, Any]
Result: TypeAlias = types.CallToolResult | types.InputRequiredResult
Params: TypeAlias = types.CallToolRequestParams
Handler: TypeAlias = Callable[[Context, Params], Awaitable[Result]]
Schema: TypeAlias = dict[str, Any]

STEP_S: Final = 0.05
NO_ARGUMENTS: Final[Schema] = {"type": "object", "properties": {}}
PNG: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
WAV: Final = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="

DEFAULTS: Final[Schema] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
}


def _titled(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"const": value, "title": title} for value, title in pairs]


_OPTIONS: Final = ["option1", "option2", "option3"]
_FIRST: Final = _titled(("value1", "First Option"), ("value2", "Second Option"), ("value3", "Third Option"))
_CHOICES: Final = _titled(("value1", "First Choice"), ("value2", "Second Choice"), ("value3", "Third Choice"))
ENUMS: Final[Schema] = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": _OPTIONS},
        "titledSingle": {"type": "string", "oneOf": _FIRST},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": _OPTIONS}},
        "titledMulti": {"type": "array", "items": {"anyOf": _CHOICES}},
    },
}
DIALECT: Final[Schema] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Offered:
    """A tool with what it does."""

    tool: types.Tool
    handle: Handler


def text(words: str) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=words)])


def form(message: str, **properties: str) -> types.ElicitRequest:
    """A question for the user: field -> its JSON type, all required."""
    schema: Schema = {
        "type": "object",
        "properties": {name: {"type": kind} for name, kind in properties.items()},
        "required": list(properties),
    }
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def question(prompt: str, max_tokens: int = 100) -> types.CreateMessageRequest:
    """A question for the client's model."""
    message = types.SamplingMessage(role="user", content=types.TextContent(text=prompt))
    return types.CreateMessageRequest(
        params=types.CreateMessageRequestParams(messages=[message], max_tokens=max_tokens)
    )


def always(*content: types.ContentBlock, is_error: bool = False) -> Handler:
    """A tool that answers the same whatever it is asked."""

    async def handle(_: Context, __: Params) -> Result:
        return types.CallToolResult(content=list(content), is_error=is_error)

    return handle


def asks_once(state: str | None = None, words: str = "done", **wanted: types.InputRequest) -> Handler:
    """A tool that answers once every question has an answer of the client; with `state`, that too comes back."""

    async def handle(_: Context, params: Params) -> Result:
        given = params.input_responses or {}
        if not given.keys() >= wanted.keys():
            return types.InputRequiredResult(input_requests=wanted, request_state=state)
        if params.request_state != state and state is not None:
            raise MCPError(types.INVALID_PARAMS, "the state is not the one that was handed out")
        return text(words)

    return handle


async def _log(ctx: Context, words: str) -> None:
    """On the stream of the request itself; the modern era sends it only to those who asked for a level."""
    if ctx.protocol_version == "2026-07-28" and "io.modelcontextprotocol/logLevel" not in (ctx.meta or {}):
        return
    said = types.LoggingMessageNotificationParams(level="info", data=words)
    await ctx.session.send_notification(types.LoggingMessageNotification(params=said), ctx.request_id)


async def _logging(ctx: Context, _: Params) -> Result:
    await _log(ctx, "Tool execution started")
    await asyncio.sleep(STEP_S)
    await _log(ctx, "Tool processing data")
    await asyncio.sleep(STEP_S)
    await _log(ctx, "Tool execution completed")
    return text("Logged three messages")


async def _progress(ctx: Context, _: Params) -> Result:
    for done in (0, 50, 100):
        await ctx.session.report_progress(done, 100)
        await asyncio.sleep(STEP_S)
    return text("Reported progress three times")


async def _ask(ctx: Context, message: str, schema: Schema) -> types.ElicitResult:
    return await ctx.session.elicit_form(message, schema, ctx.request_id)


async def _sampling(ctx: Context, params: Params) -> Result:
    prompt = str((params.arguments or {}).get("prompt", ""))
    related = ServerMessageMetadata(related_request_id=ctx.request_id)
    answer = await ctx.session.send_request(question(prompt), types.CreateMessageResult, metadata=related)
    words = answer.content.text if isinstance(answer.content, types.TextContent) else "(not a text)"
    return text(f"LLM response: {words}")


async def _elicitation(ctx: Context, params: Params) -> Result:
    schema: Schema = {
        "type": "object",
        "properties": {
            "username": {"type": "string", "description": "User's response"},
            "email": {"type": "string", "description": "User's email address"},
        },
        "required": ["username", "email"],
    }
    answer = await _ask(ctx, str((params.arguments or {}).get("message", "")), schema)
    return text(f"User response: action: {answer.action}, content: {json.dumps(answer.content)}")


def _elicits(schema: Schema) -> Handler:
    async def handle(ctx: Context, _: Params) -> Result:
        answer = await _ask(ctx, "Please fill in the form", schema)
        content = json.dumps(answer.content)
        return text(f"Elicitation completed: action={answer.action}, content={content}")

    return handle


async def _missing_capability(ctx: Context, _: Params) -> Result:
    needed = types.ClientCapabilities(sampling=types.SamplingCapability())
    if not ctx.session.check_client_capability(needed):
        raise MCPError(
            types.MISSING_REQUIRED_CLIENT_CAPABILITY,
            "this tool needs a client that samples",
            {"requiredCapabilities": {"sampling": {}}},
        )
    return text("the client samples")


async def _multi_round(_: Context, params: Params) -> Result:
    given = params.input_responses or {}
    if params.request_state == "second" and "step2" in given:
        return text("three rounds made")
    if params.request_state == "first" and "step1" in given:
        step: types.InputRequests = {"step2": form("Step 2: What is your favorite color?", color="string")}
        return types.InputRequiredResult(input_requests=step, request_state="second")
    step = {"step1": form("Step 1: What is your name?", name="string")}
    return types.InputRequiredResult(input_requests=step, request_state="first")


async def _capabilities(ctx: Context, params: Params) -> Result:
    if params.input_responses:
        return text("answered")
    declared = ctx.session.client_capabilities
    wanted: types.InputRequests = {}
    if declared is not None and declared.sampling is not None:
        wanted["question"] = question("What is the capital of France?")
    if declared is not None and declared.elicitation is not None:
        wanted["form"] = form("What is your name?", name="string")
    return types.InputRequiredResult(input_requests=wanted) if wanted else text("nothing can be asked")


def _changing(bus: InMemorySubscriptionBus, extra: set[str]) -> list[Offered]:
    """Tools that add a tool or a prompt to the lists, or take it away again, and say so."""

    async def change_tools(_: Context, __: Params) -> Result:
        extra.symmetric_difference_update({"tool"})
        await bus.publish(ToolsListChanged())
        return text("the list of tools has changed")

    async def change_prompts(_: Context, __: Params) -> Result:
        extra.symmetric_difference_update({"prompt"})
        await bus.publish(PromptsListChanged())
        return text("the list of prompts has changed")

    return [
        _offer("test_trigger_tool_change", "Changes the list of tools", change_tools),
        _offer("test_trigger_prompt_change", "Changes the list of prompts", change_prompts),
    ]


def _offer(name: str, description: str, handle: Handler, schema: Schema = NO_ARGUMENTS) -> Offered:
    return Offered(types.Tool(name=name, description=description, input_schema=schema), handle)


def _strings(*names: str) -> Schema:
    return {
        "type": "object",
        "properties": {name: {"type": "string"} for name in names},
        "required": list(names),
    }


def _resource(uri: str, mime_type: str, words: str) -> types.EmbeddedResource:
    return types.EmbeddedResource(
        resource=types.TextResourceContents(uri=uri, mime_type=mime_type, text=words)
    )


def _plain_tools() -> list[Offered]:
    said, image = types.TextContent, types.ImageContent(data=PNG, mime_type="image/png")
    failure = "This tool intentionally returns an error for testing"
    inside = _resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    mixed = _resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    wanted = {"type": "string", "x-mcp-header": "Region"}
    header: Schema = {"type": "object", "properties": {"region": wanted}, "required": ["region"]}
    return [
        _offer("test_simple_text", "Text", always(said(text="This is a simple text response for testing."))),
        _offer("test_image_content", "An image", always(image)),
        _offer("test_audio_content", "A sound", always(types.AudioContent(data=WAV, mime_type="audio/wav"))),
        _offer("test_embedded_resource", "A resource", always(inside)),
        _offer(
            "test_multiple_content_types",
            "All kinds of content",
            always(said(text="Multiple content types test:"), image, mixed),
        ),
        _offer("test_error_handling", "Fails", always(said(text=failure), is_error=True)),
        _offer("test_header_param", "Mirrors an argument into a header", always(said(text="seen")), header),
        _offer("json_schema_2020_12_tool", "Tool with JSON Schema 2020-12 features", always(), DIALECT),
        _offer("test_tool_with_logging", "Logs", _logging),
        _offer("test_logging_tool", "Logs", _logging),
        _offer("test_tool_with_progress", "Reports progress", _progress),
        _offer("test_sampling", "Asks the client's model", _sampling, _strings("prompt")),
        _offer("test_elicitation", "Asks the user", _elicitation, _strings("message")),
        _offer("test_elicitation_sep1034_defaults", "Asks with defaults", _elicits(DEFAULTS)),
        _offer("test_elicitation_sep1330_enums", "Asks with choices", _elicits(ENUMS)),
        _offer("test_missing_capability", "Needs a client that samples", _missing_capability),
    ]


def _asking_tools() -> list[Offered]:
    name, confirm = form("What is your name?", name="string"), form("Please confirm", ok="boolean")
    roots = types.ListRootsRequest(params=types.RequestParams())
    prefix = "test_input_required_result"
    asked = {
        "elicitation": asks_once(words="Hello!", user_name=name),
        "sampling": asks_once(capital_question=question("What is the capital of France?")),
        "list_roots": asks_once(client_roots=roots),
        "request_state": asks_once("handed out", "state-ok", confirm=confirm),
        "multiple_inputs": asks_once(
            "handed out", user_name=name, greeting=question("Generate a greeting", 50), client_roots=roots
        ),
        "multi_round": _multi_round,
        "tampered_state": asks_once("handed out", confirm=confirm),
        "capabilities": _capabilities,
    }
    return [
        *(_offer(f"{prefix}_{kind}", f"Asks first: {kind}", handle) for kind, handle in asked.items()),
        _offer("test_streaming_elicitation", "Asks first", asks_once(user_name=name)),
    ]


def build_tools(bus: InMemorySubscriptionBus, extra: set[str]) -> dict[str, Offered]:
    """Every tool by name; `extra` names the lists that hold one entry more."""
    offered = [*_plain_tools(), *_asking_tools(), *_changing(bus, extra)]
    return {one.tool.name: one for one in offered}


EXTRA_TOOL: Final = _offer("test_extra_tool", "Comes and goes", always(types.TextContent(text="here")))
