"""Calls that take several rounds: what the upstream wants back is sealed on its way out, and opened on its way in.

Every round is a call of its own, decided and recorded anew. The state only ever opens for the call that it was
handed out for (see `core.rounds`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from wicket.connectors.resolve import TOOLS_CALL
from wicket.core.errors import Refused, RpcCode
from wicket.core.jsonrpc import Era, Request
from wicket.core.model import Call, JsonObject, Reason
from wicket.core.rounds import NONCE_BYTES, STATE_CHARS_MAX, Round, StateBroken, open_state, seal_state
from wicket.core.world import World
from wicket.gateway.targets import PROMPT, READ, CallTarget
from wicket.runtime.wire import broken

MULTI_ROUND: Final = frozenset({TOOLS_CALL, PROMPT, READ})
INPUT_REQUIRED: Final = "input_required"
ASKED_BY: Final[Mapping[str, str]] = {
    "sampling/createMessage": "sampling",
    "elicitation/create": "elicitation",
    "roots/list": "roots",
}
"""What an upstream may ask of a client, and the capability that says that the client answers."""


def declared(capabilities: JsonObject) -> JsonObject:
    """Of what a client says that it can do, what is told to upstreams."""
    if not capabilities:
        return {}
    return {name: value for name in ASKED_BY.values() if isinstance(value := capabilities.get(name), dict)}


class Rounds:
    """Seals and opens."""

    def __init__(
        self, keys: Sequence[bytes], *, random: Callable[[int], bytes], now: Callable[[], datetime]
    ) -> None:
        self._keys = keys
        self._random = random
        self._now = now

    def opened(self, target: CallTarget, request: Request, member_id: str, world: World) -> CallTarget:
        """The target with the input that the request brings, or malformed where that is not in order."""
        if (
            request.era is Era.LEGACY
            or target.refused is not None
            or target.method not in MULTI_ROUND
            or not request.params.keys() & {"inputResponses", "requestState"}
        ):
            return target
        try:
            return replace(target, inputs=self._inputs(target, request.params, member_id, world))
        except Refused as refused:
            return replace(target, refused=refused, reason=Reason.ARGUMENTS_REJECTED)

    def _inputs(self, target: CallTarget, params: JsonObject, member_id: str, world: World) -> JsonObject:
        inputs: JsonObject = {}
        responses, state = params.get("inputResponses"), params.get("requestState")
        if responses is not None:
            if not isinstance(responses, dict):
                raise Refused("`inputResponses` must be an object", rpc_code=RpcCode.INVALID_PARAMS)
            inputs["inputResponses"] = responses
        if state is not None:
            tool = target.tool(world)
            call = Round(member_id, target.service, target.method, tool, target.arguments)
            try:
                inputs["requestState"] = open_state(
                    state if isinstance(state, str) else "", call, keys=self._keys, now=self._now()
                )
            except StateBroken as error:
                raise Refused(
                    "`requestState` is not one of this call, or too old: call again without it",
                    rpc_code=RpcCode.INVALID_PARAMS,
                ) from error
        return inputs

    def sealed(self, result: JsonObject, call: Call) -> JsonObject:
        """A result that asks for input, as the client gets it; raises UpstreamFailed where its state is none."""
        state = result.get("requestState")
        if state is None:
            return result
        if not isinstance(state, str) or len(state) > STATE_CHARS_MAX:
            raise broken(
                call.service, f"its `requestState` is no text of at most {STATE_CHARS_MAX} characters"
            )
        sealed = seal_state(
            state,
            Round(call.member_id, call.service, call.method, call.tool, call.arguments),
            key=self._keys[0],
            nonce=self._random(NONCE_BYTES),
            now=self._now(),
        )
        return result | {"requestState": sealed}
