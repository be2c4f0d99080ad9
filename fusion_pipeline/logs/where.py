"""Conditions on rows of a table, as people write them: "label = 'pedestrian' and range_m < 10".

The grammar, loosest first; words in any case:

    condition:   condition `or` condition | condition `and` condition | `not` condition | ( condition ) | comparison
    comparison:  value = != < <= > >= value | value [not] in (literal, ...) | value
    value:       a column's name, a number, a string in quotes, true or false

A value that is missing, None or not a number makes its comparison false, as does the order of a text and a number.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, object]
Condition = Callable[[Row], bool]
MAX_LENGTH = 10_000  # characters; more is no condition that somebody wrote
MAX_DEPTH = 100

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    |(?P<name>[^\W\d][\w.]*)
    |(?P<sign><=|>=|!=|<>|==|=|<|>|\(|\)|,))""",
    re.VERBOSE,
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne, "<>": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_WORDS = ("and", "or", "not", "in", "true", "false")


class WhereError(ValueError):
    """A condition that cannot be understood; the message says where in it, and what would be."""


def parse_where(text: str, columns: Collection[str] | None = None) -> Condition:
    """The condition `text` as a function of a row. With `columns`, only these may be named. Raises WhereError."""
    parser = _Parser(text, columns)
    condition = parser.either(0)
    parser.expect_end()
    return condition


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # number, text, name, sign, word or end
    text: str
    at: int


class _Parser:
    def __init__(self, text: str, columns: Collection[str] | None) -> None:
        self._text, self._columns = text, columns
        if len(text) > MAX_LENGTH:
            raise WhereError(f"the condition has {len(text)} characters; at most {MAX_LENGTH} are read")
        self._tokens = _tokens(text)
        self._next = 0

    def either(self, depth: int) -> Condition:
        parts = [self._both(depth)]
        while self._took("or"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else lambda row: any(part(row) for part in parts)

    def expect_end(self) -> None:
        if self._peek.kind != "end":
            raise self._wrong("'and', 'or' or its end")

    def _both(self, depth: int) -> Condition:
        parts = [self._one(depth)]
        while self._took("and"):
            parts.append(self._one(depth))
        return parts[0] if len(parts) == 1 else lambda row: all(part(row) for part in parts)

    def _one(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise WhereError(f"the condition is nested more than {MAX_DEPTH} deep")
        if self._took("not"):
            inner = self._one(depth + 1)
            return lambda row: not inner(row)
        if self._took("("):
            inner = self.either(depth + 1)
            self._expect(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Condition:
        left = self._value()
        sign = self._peek
        if sign.kind == "sign" and sign.text in _COMPARE:
            self._next += 1
            return _compared(_COMPARE[sign.text], left, self._value())
        absent = self._took("not")
        if absent and self._peek.text != "in":
            raise self._wrong("'in'")
        if self._took("in"):
            return _among(left, self._literals(), absent)
        return lambda row: (value := left(row)) is not None and bool(value)

    def _literals(self) -> tuple[object, ...]:
        self._expect("(")
        found = [self._literal()]
        while self._took(","):
            found.append(self._literal())
        self._expect(")")
        return tuple(found)

    def _literal(self) -> object:
        token = self._peek
        if token.kind not in ("number", "text") and token.text not in ("true", "false"):
            raise self._wrong("a number or a string in quotes")
        self._next += 1
        return _literal(token)

    def _value(self) -> Callable[[Row], Any]:
        token = self._peek
        if token.kind == "name":
            if self._columns is not None and token.text not in self._columns:
                close = difflib.get_close_matches(token.text, self._columns, 1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                known = ", ".join(self._columns)
                raise WhereError(f"no column is called {token.text!r}{hint} (known: {known})")
            self._next += 1
            name = token.text
            return lambda row: _present(row.get(name))
        if token.kind in ("number", "text") or token.text in ("true", "false"):
            fixed = self._literal()
            return lambda row: fixed
        raise self._wrong("a column, a number or a string in quotes")

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _took(self, text: str) -> bool:
        if self._peek.kind in ("sign", "word") and self._peek.text == text:
            self._next += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._took(text):
            raise self._wrong(f"{text!r}")

    def _wrong(self, expected: str) -> WhereError:
        token = self._peek
        there = "it ends" if token.kind == "end" else f"there is {self._text[token.at :][:12]!r}"
        return WhereError(f"{expected} is expected after {self._text[: token.at].rstrip()!r}, but {there}")


def _tokens(text: str) -> list[_Token]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            if not text[at:].strip():
                break
            rest = text[at:].lstrip()
            said = "a string without its closing quote" if rest[0] in "'\"" else f"{rest[:12]!r} cannot be understood"
            raise WhereError(
                f"{said} after {text[:at].rstrip()!r}; write for example \"label = 'car' and range_m < 10\""
            )
        kind = str(match.lastgroup)
        word = match.group(kind)
        if kind == "name" and word.lower() in _WORDS:
            kind, word = "word", word.lower()
        found.append(_Token(kind, word, match.start(str(match.lastgroup))))
        at = match.end()
    return [*found, _Token("end", "", len(text))]


def _literal(token: _Token) -> object:
    if token.kind == "number":
        return float(token.text) if any(sign in token.text for sign in ".eE") else int(token.text)
    if token.kind == "text":
        return re.sub(r"\\(.)", r"\1", token.text[1:-1])
    return token.text == "true"


def _present(value: Any) -> Any:
    """The value, or None where it is not a number."""
    return None if isinstance(value, float) and value != value else value


def _compared(
    compare: Callable[[Any, Any], bool], left: Callable[[Row], Any], right: Callable[[Row], Any]
) -> Condition:
    def condition(row: Row) -> bool:
        a, b = left(row), right(row)
        if a is None or b is None:
            return False
        try:
            return bool(compare(a, b))
        except TypeError:  # the order of a text and a number
            return False

    return condition


def _among(left: Callable[[Row], Any], literals: tuple[object, ...], absent: bool) -> Condition:
    return lambda row: (value := left(row)) is not None and (value in literals) is not absent
