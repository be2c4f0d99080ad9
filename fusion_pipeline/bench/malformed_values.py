"""Values that no program expects: of another type, sign, size or depth, not finite, missing, doubled, exchanged."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

DEEP = (2, 60, 3000)
_TOKEN = re.compile(r"[-+\w.]+|\s+|.", re.ASCII)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_TOML_ESCAPES = {'"': '\\"', "\\": "\\\\"}


def number(chance: random.Random) -> Any:
    """A number at the edge of some type, or none."""
    return chance.choice((
        0, -1, 1, 255, 256, 65_535, 65_536, 2**31 - 1, 2**31, -(2**31), 2**32, 2**53 + 1, 2**63 - 1, 2**63, -(2**63),
        2**64, 10**30, 10**400, 10**4_400, 0.0, -0.0, 0.5, -1.5, 1e-320, 1e-30, 1e19, 1e300, -1e308, float("nan"),
        float("inf"), float("-inf"), chance.uniform(-10, 10), chance.randrange(100_000),
    ))  # fmt: skip


def word(chance: random.Random) -> str:
    """A text that is not what was asked for."""
    return chance.choice((
        "", " ", "\0", "x" * chance.choice((200, 70_000)), "ä\u202e\U0001f697", "a\nb\r\nc", "../../up", "/dev/null",
        "/",
        ".", "nan", "-inf", "1e999", "0x10", "1_000", "True", "None", "[]", "{}", "%s%n{0}", "'; --", '"', "\\",
        "camera/front", "1", "-1", "١٢", "\ud800",
    ))  # fmt: skip


def value(chance: random.Random) -> Any:
    """Anything that JSON can hold."""
    made = chance.randrange(6)
    if made < 2:
        return number(chance)
    if made == 2:
        return word(chance)
    if made == 3:
        return chance.choice(
            (True, False, None, [], {}, [[]], {"": {}}, [None], [1, "a", []], [[1, 2], [3]], [0] * 5000)
        )
    if made == 4:
        return [number(chance) for _ in range(chance.choice((1, 2, 3, 4, 9, 12, 100)))]
    deep: Any = number(chance)
    for _ in range(chance.choice(DEEP)):
        deep = [deep] if chance.random() < 0.9 else {"a": deep}
    return deep


def structure(whole: Any, chance: random.Random, changes: int = 0) -> Any:
    """`whole`, tables and lists as of JSON, with some places changed; it is changed itself."""
    for _ in range(changes or chance.choice((1, 1, 1, 2, 4))):
        places = list(_places(whole))
        if not places:
            return value(chance)
        holder, key = chance.choice(places)
        found = holder[key]
        made = chance.randrange(8)
        if made < 4:
            holder[key] = value(chance) if made < 2 or not isinstance(found, (int, float)) else number(chance)
        elif made == 4:
            del holder[key]
        elif made == 5:  # twice
            if isinstance(holder, list):
                holder.insert(key, found)
            else:
                holder[f"{key}_"] = found
        elif made == 6:  # exchanged with one beside it, so that nothing ever holds itself
            name = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
            holder[key], holder[name] = holder[name], found
        elif isinstance(found, (list, dict)) and found:
            found.clear()
        else:
            holder[key] = [found]
    return whole


def _places(whole: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    """Every table or list within `whole` with each of its keys."""
    if depth > 12:
        return
    keys = list(whole) if isinstance(whole, dict) else range(len(whole)) if isinstance(whole, list) else ()
    for key in list(keys)[:400]:
        yield whole, key
        yield from _places(whole[key], depth + 1)


def tokens(text: str, chance: random.Random) -> str:
    """`text` with some of its words and numbers changed, lines lost, doubled or cut."""
    found = _TOKEN.findall(text)
    for _ in range(chance.choice((1, 1, 2, 5))):
        words = [k for k, token in enumerate(found) if token.strip()]
        if not words:
            break
        at = chance.choice(words)
        made = chance.randrange(7)
        if made < 3:
            found[at] = shown(number(chance)) if made else word(chance)
        elif made == 3:
            found[at] = ""
        elif made == 4:
            found[at] *= chance.choice((2, 3, 500))
        elif made == 5:
            other = chance.choice(words)
            found[at], found[other] = found[other], found[at]
        else:
            del found[at : at + chance.choice((1, 5, 10_000))]
    return "".join(found)


def binary(data: bytes, chance: random.Random) -> bytes:
    """`data` with words of 1, 2, 4 or 8 bytes replaced by edges of their types, cut, doubled or flipped."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        made, size = chance.randrange(10), chance.choice((1, 2, 4, 4, 8))
        at = chance.choice((chance.randrange(len(found) + 1), min(len(found), chance.randrange(128))))
        if made < 6:
            at -= at % size
            found[at : at + size] = _word_of(size, chance)
        elif made == 6 and found:
            found[min(at, len(found) - 1)] ^= 1 << chance.randrange(8)
        elif made == 7:
            del found[at:]
        elif made == 8:
            del found[at : at + chance.choice((1, 4, 64))]
        else:
            found[at:at] = found[chance.randrange(len(found) + 1) :][: chance.choice((1, 4, 64, 1 << 16))]
    return bytes(found)


def _word_of(size: int, chance: random.Random) -> bytes:
    top = 1 << 8 * size
    floats = {4: (0x7FC00000, 0x7F800000, 0xFF800000, 0x7F7FFFFF), 8: (0x7FF8 << 48, 0x7FF0 << 48, 0xFFF0 << 48)}
    edges = (0, 1, 2, top - 1, top >> 1, (top >> 1) - 1, top >> 2, 0x20, chance.randrange(top), *floats.get(size, ()))
    return (chance.choice(edges) % top).to_bytes(size, chance.choice(("little", "little", "big")))


def damaged(data: bytes, chance: random.Random) -> bytes:
    """A text file's bytes: its tokens changed, or its bytes."""
    if chance.random() < 0.7:
        return tokens(data.decode("utf-8", "replace"), chance).encode("utf-8", "surrogatepass")
    return binary(data, chance)


def shown(made: Any) -> str:
    """A number as a text file has it."""
    return "1" + "0" * 4_400 if isinstance(made, int) and made > 10**4_000 else repr(made)


def as_json(whole: Any) -> str:
    """JSON as Python reads it, NaN and numbers of any length among it."""
    return _written(whole, json.dumps, ("null", "true", "false"), lambda key: json.dumps(str(key)) + ": ")


def as_toml(table: Any) -> str:
    """TOML with every table of the first two levels under its own head, deeper ones inline."""
    if not isinstance(table, dict):
        return _toml(table)
    lines = [f"{_key(key)} = {_toml(found)}" for key, found in table.items() if not isinstance(found, dict)]
    for key, found in table.items():
        if isinstance(found, dict):
            plain = {name: inner for name, inner in found.items() if not isinstance(inner, dict)}
            lines += [f"[{_key(key)}]", *(f"{_key(name)} = {_toml(inner)}" for name, inner in plain.items())]
            for name, inner in found.items():
                if isinstance(inner, dict):
                    lines += [f"[{_key(key)}.{_key(name)}]", *(f"{_key(k)} = {_toml(v)}" for k, v in inner.items())]
    return "\n".join(lines) + "\n"


def _toml(whole: Any) -> str:
    return _written(whole, _quoted, ("''", "true", "false"), lambda key: f"{_key(key)} = ").replace("Infinity", "inf")


def _written(whole: Any, text: Callable[[str], str], names: tuple[str, str, str], key: Callable[[Any], str]) -> str:
    """Tables and lists of any depth, without recursion."""
    done: list[str] = []
    left: list[Any] = [(whole, False)]
    while left:
        found, raw = left.pop()
        if raw:
            done.append(found)
        elif isinstance(found, bool) or found is None:
            done.append(names[0] if found is None else names[1] if found else names[2])
        elif isinstance(found, str):
            done.append(text(found))
        elif isinstance(found, dict):
            parts: list[Any] = [("{", True)]
            for count, (name, inner) in enumerate(found.items()):
                parts += [((", " if count else "") + key(name), True), (inner, False)]
            left += reversed([*parts, ("}", True)])
        elif isinstance(found, list):
            parts = [("[", True)]
            for count, inner in enumerate(found):
                parts += [(", ", True)] * bool(count) + [(inner, False)]
            left += reversed([*parts, ("]", True)])
        else:
            done.append(shown(found).replace("inf", "Infinity").replace("nan", "NaN" if names[0] == "null" else "nan"))
    return "".join(done)


def _quoted(text: str) -> str:
    return '"' + "".join(_TOML_ESCAPES.get(c, c if c.isprintable() else f"\\u{ord(c) % 65536:04x}") for c in text) + '"'


def _key(name: Any) -> str:
    return str(name) if _BARE.fullmatch(str(name)) else _quoted(str(name))
