"""YAML as far as JSON goes: what can be read in two ways is refused.

Words and numbers are those of YAML 1.2 (`no` is a text, `22:00` too). A key that occurs twice, an alias and a tag
are refused: of two readers of such a file each may see another one.
"""

import math
import re
from pathlib import Path
from typing import Any, Final

import yaml

from wicket.core.errors import Invalid, NotFound
from wicket.core.model import Json

FILE_BYTES_MAX: Final = 8 * 1024 * 1024

_SCALARS: Final = {
    "tag:yaml.org,2002:null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "tag:yaml.org,2002:bool": (r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    "tag:yaml.org,2002:int": (r"[-+]?[0-9]+", [*"-+0123456789"]),
    "tag:yaml.org,2002:float": (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", [*"-+.0123456789"]),
}
"""The scalars of YAML 1.2's core schema (section 10.3.2) that JSON has too, with the characters they begin with."""


class _Loader(yaml.SafeLoader):
    """Only what JSON has."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012 - PyYAML's own name, filled below

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise _refused(self.get_mark(), "an alias: write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _refused(key_node.start_mark, "a name that is no text: put it in quotes")
            if key in seen:
                raise _refused(key_node.start_mark, f"the name `{key}` for the second time")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_yaml_int(self, node: Any) -> int:
        return int(self.construct_scalar(node))

    def construct_yaml_float(self, node: Any) -> float:
        number = float(self.construct_scalar(node))
        if not math.isfinite(number):
            raise _refused(node.start_mark, "a number that is too large")
        return number

    def refuse_tag(self, node: Any) -> Any:
        raise _refused(node.start_mark, f"the tag `{node.tag}`: leave it out")


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads, and so that a reader of YAML 1.1 takes a text for a text as well."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:  # noqa: ARG002 - PyYAML's own
        return super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's own
        return True

    def represent_text(self, text: str) -> Any:
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


for _tag, (_pattern, _first) in _SCALARS.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_tag, re.compile(f"(?:{_pattern})\\Z"), _first)
_Dumper.add_representer(str, _Dumper.represent_text)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_yaml_float)
for _tag in ("timestamp", "binary", "omap", "pairs", "set"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.refuse_tag)
_Loader.add_constructor(None, _Loader.refuse_tag)


def read_yaml(path: Path) -> Json:
    """What a file holds; raises NotFound, or Invalid that says where it cannot be read."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise NotFound(f"`{path}` cannot be read: {error.strerror}") from error
    if len(raw) > FILE_BYTES_MAX:
        raise Invalid(f"`{path}` has more than {FILE_BYTES_MAX} bytes: split it", field="file")
    try:
        return parse_yaml(raw.decode())
    except UnicodeDecodeError as error:
        raise Invalid(f"`{path}` is not UTF-8", field="file") from error
    except Invalid as error:
        raise Invalid(f"`{path}`: {error.sentence}", field="file") from error


def parse_yaml(text: str) -> Json:
    """Read one document; raises Invalid."""
    try:
        loaded: Json = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise Invalid(f"no YAML: {' '.join(str(error).split())}", field="file") from error
    except RecursionError as error:
        raise Invalid("nested too deeply: no policy needs that", field="file") from error
    return loaded


def render_yaml(value: Json) -> str:
    """Write a document, names in the order given."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text


def _refused(mark: Any, what: str) -> Invalid:
    return Invalid(f"line {mark.line + 1} has {what}", field="file")
