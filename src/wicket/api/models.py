"""Shapes on the wire: camelCase there, snake_case here, translated in this one place."""

from collections.abc import Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

T = TypeVar("T")
SHAPE: Final = "x-shape"
"""In the JSON schema of a raw object: which shape of `api.shapes` it has."""
RawObject: TypeAlias = dict[str, Any]
"""A JSON object whose fields somebody else checks or makes."""


class In(BaseModel):
    """What is sent to us: exactly the fields named, none beside."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="forbid", frozen=True, hide_input_in_errors=True
    )


class Out(BaseModel):
    """What we answer."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, frozen=True
    )


class ListOut(Out, Generic[T]):
    """Some of a list; `nextCursor` leads on where there is more."""

    items: Sequence[T]
    next_cursor: str | None = None
    total: int | None = None

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """`ListOfAgentOut`: how the description calls it, where a raw object goes by the name of its shape."""
        (item,) = params
        named = next(iter(getattr(item, "__metadata__", ())), None)
        shape = getattr(named, "json_schema", None) or {}
        return f"ListOf{shape.get(SHAPE) or getattr(item, '__name__', 'Object')}"


def whole(items: Sequence[T]) -> ListOut[T]:
    """A list that is never long enough for pages."""
    return ListOut(items=items, total=len(items))


class Problem(Out):
    """An error, `application/problem+json` (RFC 9457); `code` is stable, `field` says which input."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    field: str | None = None
