"""What a recorded request keeps of the arguments that were read: everything but secrets and long texts.

They are held to the rule of the arguments themselves (`core.redaction`). Cedar is asked with the true values; a request
that lost some says so where they were, and cannot be decided again.
"""

from typing import Final

from wicket.core.model import Json, JsonObject, ToolFacts
from wicket.core.policy.arguments import segments_of
from wicket.core.policy.compile_arguments import ARGUMENTS, Record
from wicket.core.redaction import is_secret_name, is_secret_text

VALUES: Final = (Record.TEXTS, Record.NUMBERS, Record.FLAGS, Record.TEXT_LISTS, Record.NUMBER_LISTS)


def withhold(request: JsonObject, facts: ToolFacts | None) -> JsonObject:
    """The request as it is recorded; `facts` are what the catalog knows of the tool."""
    context = request["context"]
    arguments = context.get(ARGUMENTS) if isinstance(context, dict) else None
    if not isinstance(context, dict) or not isinstance(arguments, dict):
        return request
    kept = {
        record: _kept(values, facts) if record in VALUES and isinstance(values, dict) else values
        for record, values in arguments.items()
    }
    return {**request, "context": {**context, ARGUMENTS: kept}}


def _kept(values: JsonObject, facts: ToolFacts | None) -> JsonObject:
    return {key: _clean(value, secret=_is_secret(key, facts)) for key, value in values.items()}


def _is_secret(key: str, facts: ToolFacts | None) -> bool:
    names = [name for name, _ in segments_of(key.removeprefix("."))]
    hidden = () if facts is None else facts.secret_args
    kept = () if facts is None else facts.resource_args
    return any(name in hidden or (is_secret_name(name) and name not in kept) for name in names)


def _clean(value: Json, *, secret: bool) -> Json:
    if isinstance(value, list):
        return [_clean(item, secret=secret) for item in value]
    if secret or (isinstance(value, str) and is_secret_text(value)):
        return f"[redacted len={len(str(value).encode('utf-8', 'surrogatepass'))}]"
    return value
