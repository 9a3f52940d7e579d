"""Cedar text of what `compile_policy` makes, with no more parentheses than it needs.

Layout is left to Cedar's own formatter.
"""

import json
import re

from wicket.core.errors import WicketError
from wicket.core.model import Json, JsonObject

IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESERVED = frozenset({"true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"})
WHOLE, OR, AND, RELATION, UNARY, MEMBER = range(6)
"""How tightly an expression binds, in rising order."""
OPERATORS = {"||": OR, "&&": AND} | dict.fromkeys(("==", "!=", ">=", ">", "<", "<=", "in"), RELATION)
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"})


def render_text(compiled: JsonObject) -> str:
    """Write a compiled policy as Cedar text."""
    annotations = compiled.get("annotations")
    noted = [f"@{name}({_quoted(str(text))})" for name, text in _items(annotations)]
    scope = ", ".join(_scope(name, compiled[name]) for name in ("principal", "action", "resource"))
    clauses = compiled["conditions"]
    whens = [_when(clause) for clause in clauses] if isinstance(clauses, list) else []
    return " ".join([*noted, f"{compiled['effect']}({scope})", *whens]) + ";"


def _items(node: Json) -> list[tuple[str, Json]]:
    return list(node.items()) if isinstance(node, dict) else []


def _scope(name: str, constraint: Json) -> str:
    match constraint:
        case {"op": "All"}:
            return name
        case {"op": "==", "entity": entity}:
            return f"{name} == {_entity(entity)}"
        case {"op": "in", "entities": list(entities)}:
            return f"{name} in [{', '.join(_entity(entity) for entity in entities)}]"
        case _:
            raise WicketError(f"the scope of `{name}` is of no form that the compiler makes")


def _when(clause: Json) -> str:
    match clause:
        case {"kind": "when", "body": body}:
            return f"when {{ {_expression(body, WHOLE)} }}"
        case _:
            raise WicketError("a condition is of no form that the compiler makes")


def _expression(node: Json, binding: int) -> str:
    """Write a node that stands where only what binds at least as tightly as `binding` goes bare."""
    text, own = _bare(node)
    return text if own >= binding else f"({text})"


def _bare(node: Json) -> tuple[str, int]:
    match node:
        case {"Var": str(name)}:
            return name, MEMBER
        case {"Value": value}:
            return _literal(value), MEMBER
        case {"Set": list(items)}:
            return f"[{', '.join(_expression(item, WHOLE) for item in items)}]", MEMBER
        case {".": {"left": left, "attr": str(attribute)}}:
            return _expression(left, MEMBER) + _attribute(attribute), MEMBER
        case {"has": {"left": left, "attr": str(attribute)}}:
            return f"{_expression(left, UNARY)} has {_quoted(attribute)}", RELATION
        case {"is": {"left": left, "entity_type": str(kind)}}:
            return f"{_expression(left, UNARY)} is {kind}", RELATION
        case {"like": {"left": left, "pattern": list(pattern)}}:
            return f"{_expression(left, UNARY)} like {_pattern(pattern)}", RELATION
        case {"!": {"arg": argument}}:
            return f"!{_expression(argument, MEMBER)}", UNARY
        case {"if-then-else": {"if": test, "then": then, "else": other}}:
            parts = (_expression(part, WHOLE) for part in (test, then, other))
            return "if {} then {} else {}".format(*parts), WHOLE
        case _:
            return _call(node)


def _call(node: Json) -> tuple[str, int]:
    match node:
        case {"contains": {"left": left, "right": right}}:
            return f"{_expression(left, MEMBER)}.contains({_expression(right, WHOLE)})", MEMBER
        case {"isInRange": [left, right]}:
            return f"{_expression(left, MEMBER)}.isInRange({_expression(right, WHOLE)})", MEMBER
        case {"ip": [argument]}:
            return f"ip({_expression(argument, WHOLE)})", MEMBER
        case _:
            return _operation(node)


def _operation(node: Json) -> tuple[str, int]:
    for operator, sides in _items(node):
        match sides:
            case {"left": left, "right": right} if operator in OPERATORS:
                own = OPERATORS[operator]
                # Comparisons do not chain; `&&` and `||` do, so a tree of them is written flat.
                within = UNARY if own == RELATION else own
                return f"{_expression(left, within)} {operator} {_expression(right, within)}", own
    raise WicketError("an expression is of no form that the compiler makes")


def _literal(value: Json) -> str:
    match value:
        case {"__entity": entity}:
            return _entity(entity)
        case str(text):
            return _quoted(text)
        case _:
            return json.dumps(value)


def _entity(entity: Json) -> str:
    match entity:
        case {"type": str(kind), "id": str(name)}:
            return f"{kind}::{_quoted(name)}"
        case _:
            raise WicketError("an entity is of no form that the compiler makes")


def _attribute(name: str) -> str:
    return f".{name}" if IDENTIFIER.fullmatch(name) and name not in RESERVED else f"[{_quoted(name)}]"


def _pattern(parts: list[Json]) -> str:
    """A pattern of `like`: a star stands for any text, unless it is escaped."""
    texts = [
        str(part["Literal"]).translate(ESCAPES).replace("*", "\\*") if isinstance(part, dict) else "*"
        for part in parts
    ]
    return f'"{"".join(texts)}"'


def _quoted(text: str) -> str:
    return f'"{text.translate(ESCAPES)}"'
