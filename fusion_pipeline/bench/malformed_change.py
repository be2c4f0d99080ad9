"""Files changed after their kind: rows of a database, columns of a table, messages of a log, or simply their bytes."""

from __future__ import annotations

import json
import random
import sqlite3
import struct
import tomllib
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

from fusion_pipeline.bench.malformed_values import (
    as_json,
    as_toml,
    binary,
    damaged,
    number,
    shown,
    structure,
    tokens,
    value,
    word,
)  # fmt: skip
from fusion_pipeline.logs.mcap_chunk import Channels, Chunk, Form
from fusion_pipeline.logs.mcap_out import McapOut
from fusion_pipeline.logs.raw import Raw, RawReader

_TEXT = (".txt", ".yaml", ".xml", ".csv", ".jsonl")
SEPARATOR = "\x1e"  # between the assignments in a file
_NESTED = 4  # levels of protobuf messages that are looked into


def change(path: Path, whole: bytes, chance: random.Random) -> None:
    """Write a changed form of `path`, whose sound content is `whole`."""
    special = _BY_SUFFIX.get(path.suffix)
    if special is not None and (path.suffix in _ALWAYS or chance.random() < 0.7):
        special(path, whole, chance)
    elif path.suffix in (".toml", ".json", *_TEXT):
        path.write_bytes(damaged(whole, chance))
    elif chance.random() < 0.02:
        path.unlink()
    else:
        path.write_bytes(binary(whole, chance))


def protobuf(data: bytes, chance: random.Random, depth: int = 0) -> bytes:
    """A protobuf message with one of its fields changed, doubled or left out (encoding as of protobuf.dev)."""
    fields = _fields(data)
    if not fields:
        return binary(data, chance)
    at = chance.randrange(len(fields))
    tag, body = fields[at]
    kind, made = tag & 7, chance.randrange(8)
    if made == 0:
        del fields[at]
    elif made == 1:
        fields.insert(at, (tag, body))
    elif kind == 0:
        fields[at] = tag, _varint(chance.choice((0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, chance.randrange(2**20))))
    elif kind == 2:
        inner = body[_head(body) :]
        inner = protobuf(inner, chance, depth + 1) if depth < _NESTED and made < 6 else binary(inner, chance)
        fields[at] = tag, _varint(len(inner)) + inner
    else:
        size = 8 if kind == 1 else 4
        fields[at] = tag, (binary(body, chance) + bytes(size))[:size]
    return b"".join(_varint(number) + content for number, content in fields)


def _fields(data: bytes) -> list[tuple[int, bytes]]:
    """Tags and contents, lengths with them; none where it is no protobuf."""
    found, at = [], 0
    while at < len(data):
        size = _head(data[at : at + 10])
        tag, at = _number(data[at : at + size]), at + size
        kind, rest = tag & 7, data[at : at + 10]
        length = {0: _head(rest), 1: 8, 2: _head(rest) + _number(rest[: _head(rest)]), 5: 4}.get(kind, 0)
        if not tag >> 3 or not length or at + length > len(data):
            return []
        found.append((tag, data[at : at + length]))
        at += length
    return found


def _head(data: bytes) -> int:
    """How many bytes the varint at the beginning has."""
    return next((k + 1 for k, byte in enumerate(data[:10]) if byte < 128), 0)


def _number(data: bytes) -> int:
    return sum((byte & 127) << 7 * k for k, byte in enumerate(data))


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 127:
        made.append(number & 127 | 128)
        number >>= 7
    return bytes((*made, number))


def _toml(path: Path, whole: bytes, chance: random.Random) -> None:
    made = as_toml(structure(tomllib.loads(whole.decode()), chance))
    path.write_bytes(made.encode("utf-8", "surrogatepass"))


def _json(path: Path, whole: bytes, chance: random.Random) -> None:
    path.write_bytes(as_json(structure(json.loads(whole), chance)).encode("utf-8", "surrogatepass"))


def _lines(path: Path, whole: bytes, chance: random.Random) -> None:
    lines = whole.decode().splitlines()
    at = chance.randrange(len(lines))
    lines[at] = as_json(structure(json.loads(lines[at]), chance))
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))


def _database(path: Path, whole: bytes, chance: random.Random) -> None:
    path.write_bytes(whole)
    with closing(sqlite3.connect(path)) as base:
        tables = [row[0] for row in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        table = chance.choice((*tables, "messages", "topics"))
        columns = [row[1] for row in base.execute(f"PRAGMA table_info({table})")]
        column, made = chance.choice(columns), chance.randrange(10)
        rows = list(base.execute(f"SELECT rowid, {column} FROM {table}"))
        number, found = chance.choice(rows)
        try:
            if made == 0:
                base.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO other")
            elif made == 1:
                base.execute(f"DROP TABLE {table}")
            elif made == 2:
                base.execute(f"DELETE FROM {table} WHERE rowid = ?", (number,))
            else:
                new = binary(found, chance) if isinstance(found, bytes) and made < 9 else _cell(chance)
                base.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, number))
            base.commit()
        except (sqlite3.Error, OverflowError, UnicodeEncodeError):
            path.write_bytes(binary(whole, chance))


def _cell(chance: random.Random) -> Any:
    made = value(chance)
    return chance.choice((word(chance), b"", chance.randbytes(20))) if isinstance(made, (list, dict)) else made


def _table(path: Path, whole: bytes, chance: random.Random) -> None:
    import pyarrow
    from pyarrow import feather

    path.write_bytes(whole)
    table = feather.read_table(path, memory_map=False)
    at = chance.randrange(table.num_columns)
    name, made = table.column_names[at], chance.randrange(6)
    column = table.column(at).to_pylist()
    try:
        if made == 0:
            table = table.drop_columns([name])
        elif made == 1:
            table = table.slice(0, chance.choice((0, 1)))
        elif made == 2:
            table = table.append_column(name, table.column(at))
        else:
            new = value(chance)
            column = [new] * len(column) if made == 3 else [*column[:-1], new]
            table = table.set_column(at, name, pyarrow.array(column))
    except (pyarrow.ArrowException, OverflowError, UnicodeEncodeError, RecursionError, TypeError):
        table = table.set_column(at, name, pyarrow.array([None] * len(column), pyarrow.float64()))
    feather.write_feather(table, path, compression="uncompressed")


def _payloads(path: Path, whole: bytes, chance: random.Random) -> None:
    """Bytes all over a capture or a bag, so that single packets are wrong and the rest is whole."""
    found = bytearray(whole)
    for _ in range(chance.choice((1, 10, 100))):
        at = chance.randrange(24, len(found))
        found[at : at + 2] = struct.pack("<H", chance.choice((0, 65535, chance.randrange(65536))))
    path.write_bytes(found)


def _messages(path: Path, whole: bytes, chance: random.Random) -> None:
    """An MCAP file with a right checksum around messages, schemas and channels that are wrong."""
    raws = list(_stored(path, whole))
    at = chance.randrange(len(raws))
    for place in (at, *(k for k in range(len(raws)) if chance.random() < 0.1)):
        raws[place] = _changed(raws[place], chance)
    out, channels, chunk = McapOut(path), Channels(), Chunk(1 << 18)
    try:
        for raw in raws:
            form = Form(raw.schema, *raw.form, raw.encoding, tuple(raw.facts.items()))
            logged, published = (min(max(0, time), 2**64 - 1) for time in (raw.log_ns, raw.publish_ns))
            channel = channels.of(raw.topic, form)
            chunk.room(channel, logged, published, raw.sequence, len(raw.data))[:] = _bytes(raw.data)
        out.add_chunk(chunk.sealed("none"))
    finally:
        out.close()


def _changed(raw: Raw, chance: random.Random) -> Raw:
    topic, schema, encoding, data, form, times = (
        raw.topic,
        raw.schema,
        raw.encoding,
        raw.data,
        raw.form,
        [raw.log_ns] * 2,
    )
    made = chance.randrange(12)
    if made == 0:
        topic = chance.choice(("", "/", "a" * 300, "camera", "camera/", "lidar/top", "/tf", "tracks", "\u202e"))
    elif made == 1:
        schema = chance.choice(
            ("", "foxglove.PointCloud", "foxglove.Log", "sensor_msgs/msg/Image", "x/y/z", "std_msgs/String")
        )
    elif made == 2:
        encoding = chance.choice(("", "json", "cdr", "ros1", "protobuf", "cbor"))
    elif made == 3:
        form = (chance.choice((form[0], "", "ros2idl", "jsonschema")), damaged(form[1], chance))
    elif made == 4:
        times = [chance.choice((0, 1, 2**62, 2**63, 2**64 - 1, raw.log_ns - 10**15)) for _ in times]
    elif encoding == "json" and data[:1] == b"{":
        data = as_json(structure(json.loads(data), chance)).encode("utf-8", "surrogatepass")
    elif encoding == "protobuf" and made < 10:
        data = protobuf(data, chance)
    else:
        data = binary(data, chance)
    return Raw(topic, schema, encoding, times[0], times[1], raw.sequence, data, form, raw.facts)


def _bytes(data: bytes) -> Any:
    import numpy as np

    return np.frombuffer(data, np.uint8)


@lru_cache(maxsize=16)
def _stored(path: Path, whole: bytes) -> tuple[Raw, ...]:
    path.write_bytes(whole)
    return tuple(RawReader(path))


def _assignments(path: Path, whole: bytes, chance: random.Random) -> None:
    """Some of the lines PROCESS.KEY=VALUE, with values that do not fit, as one argument each."""
    made = []
    for text in chance.choices(whole.decode().splitlines(), k=chance.choice((1, 1, 1, 3))):
        key, _, old = text.partition("=")
        new = chance.choice((shown(number(chance)), word(chance), f"{old},{word(chance)}", tokens(old, chance)))
        made.append(tokens(text, chance) if chance.random() < 0.1 else f"{key}={new}")
    path.write_bytes(SEPARATOR.join(made).encode("utf-8", "replace"))


def _seed(path: Path, whole: bytes, chance: random.Random) -> None:
    path.write_bytes(chance.randbytes(8))


def _onnx(path: Path, whole: bytes, chance: random.Random) -> None:
    path.write_bytes(protobuf(whole, chance))


_ALWAYS = (".set", ".seed")
_BY_SUFFIX: dict[str, Callable[[Path, bytes, random.Random], None]] = {
    ".toml": _toml, ".json": _json, ".jsonl": _lines, ".db3": _database, ".feather": _table, ".pcap": _payloads,
    ".bag": _payloads, ".mcap": _messages, ".set": _assignments, ".seed": _seed, ".onnx": _onnx,
}  # fmt: skip
