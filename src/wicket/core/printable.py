"""Text for lines that people read: what is recorded or logged may have been made up by anybody."""

import unicodedata
from typing import Final

LINE_ENDS: Final = frozenset({"Zl", "Zp"})


def printable(text: str) -> str:
    """Text that steers no terminal and breaks no line, with escapes in place of what would."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category[0] != "C" and category not in LINE_ENDS:
        return character
    return character.encode("unicode_escape").decode()
