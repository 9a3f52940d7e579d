"""`ETag` and `If-Match` (RFC 9110, sections 8.8.3 and 13.1.1): honoured where sent, never demanded."""

import re
from typing import Annotated, Final

from fastapi import Depends, Header, Response

from wicket.core.errors import Invalid

TAGS_MAX: Final = 20
# A proxy that compresses answers makes tags weak on the way, and sends them back so.
_TAG: Final = re.compile(r'(?:W/)?"([A-Za-z0-9]{1,64})"', re.ASCII)


def _parse_if_match(
    if_match: Annotated[
        str | None, Header(alias="If-Match", description="The `ETag` of what was read")
    ] = None,
) -> frozenset[str] | None:
    """The tags of which one must still be there; None where anything will do."""
    if if_match is None or if_match.strip() == "*":
        return None
    named = [_TAG.fullmatch(text.strip()) for text in if_match.split(",", TAGS_MAX)]
    tags = frozenset(tag[1] for tag in named if tag is not None)
    if len(named) > TAGS_MAX or None in named:
        raise Invalid('`If-Match` is the `ETag` of an earlier answer, such as `"3fa8c1"`', field="If-Match")
    return tags


IfMatch = Annotated[frozenset[str] | None, Depends(_parse_if_match)]


def put_etag(response: Response, etag: str) -> None:
    """Say which version is answered."""
    response.headers["ETag"] = f'"{etag}"'
