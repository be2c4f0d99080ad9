"""Every part of an MCAP file's index is optional: files with and without each are read whole, and called whole."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from foxglove_schemas_protobuf.RawAudio_pb2 import RawAudio
from mcap.reader import NonSeekingReader
from mcap.writer import CompressionType, IndexType, Writer

from fusion_pipeline.clock import LAST_NS
from fusion_pipeline.logs.mcap_messages import in_order
from fusion_pipeline.logs.mcap_places import McapFile
from fusion_pipeline.logs.mcap_summary import Summary, summary
from fusion_pipeline.logs.raw import RawReader
from fusion_pipeline.logs.reader import open_log

START = 1_700_000_000_000_000_000
INDEXES = (IndexType.NONE, IndexType.CHUNK, IndexType.MESSAGE, IndexType.CHUNK | IndexType.MESSAGE,
           IndexType.METADATA | IndexType.ATTACHMENT, IndexType.ALL)  # fmt: skip
OPTIONS = ("use_chunking", "use_statistics", "repeat_channels", "repeat_schemas", "use_summary_offsets", "enable_crcs")


def write(path: Path, **options: Any) -> None:
    """Two topics of sound, a topic without a schema, one that nobody wrote to, metadata and an attachment."""
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=600, **options)
        writer.start()
        writer.add_metadata("drive", {"place": "yard"})
        schema = writer.register_schema("foxglove.RawAudio", "protobuf", b"the definition")
        bare = writer.register_channel("notes", "text", 0)
        writer.register_channel("nobody", "text", 0)
        sounds = [writer.register_channel(topic, "protobuf", schema) for topic in ("/roof", "/bumper")]
        for n in range(40):
            at = START + n * 50_000_000
            made = RawAudio(format="pcm-s16", sample_rate=16_000, number_of_channels=1, data=bytes([n, 0]) * 50)
            made.timestamp.FromNanoseconds(at)
            # The second topic begins late, so that the first chunks do not have its channel.
            channel = sounds[1] if n > 25 and n % 2 else sounds[0]
            writer.add_message(channel, at, made.SerializeToString(), at, n)
        writer.add_message(bare, START + 7, b"hello", START + 7, 0)
        writer.add_attachment(START, START, "photo.txt", "text/plain", b"content")
        writer.finish()


@pytest.mark.parametrize("compression", CompressionType)
@pytest.mark.parametrize("indexes", INDEXES, ids=str)
def test_files_of_every_option_of_the_writer_are_read_as_the_librarys_reader_reads_them(
    tmp_path: Path, compression: CompressionType, indexes: IndexType
) -> None:
    path = tmp_path / "log.mcap"
    for values in itertools.product((True, False), repeat=len(OPTIONS)):
        options = dict(zip(OPTIONS, values, strict=True))
        write(path, compression=compression, index_types=indexes, **options)
        with path.open("rb") as file:
            wanted = [
                (channel.topic, schema.name if schema else "", message.sequence, message.log_time, message.data)
                for schema, channel, message in NonSeekingReader(file).iter_messages()
            ]
        with McapFile(path) as opened:
            found = summary(opened)
            stored = list(in_order(opened, found, found.channels.keys(), 0, LAST_NS, Counter()))
        got = [
            (found.channels[m.channel].topic, found.channels[m.channel].schema, m.sequence, m.log_ns, bytes(m.data))
            for m in stored
        ]  # fmt: skip
        assert sorted(got) == sorted(wanted), options
        assert (found.complete, found.lost) == (True, Counter()), options
        assert found.counts == Counter(m.channel for m in stored), options
        assert (found.start_ns, found.end_ns) == (START, START + 39 * 50_000_000), options
        assert (found.metadata, found.attachments) == ([("drive", {"place": "yard"})], ["photo.txt"]), options
        log = open_log(path)
        heard = Counter(message.header.source for message in log.messages())
        assert heard == {"audio/roof": 33, "audio/bumper": 7}, options
        assert not log.refused, options


def test_a_file_without_its_footer_alone_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "log.mcap"
    write(path)
    data = path.read_bytes()
    for missing in (1, 8, 30):
        path.write_bytes(data[:-missing])
        with McapFile(path) as opened:
            found = summary(opened)
        assert not found.complete
        assert found.lost["cut off"] == 1
        assert found.counts.total() == 41  # the data are there


def test_a_damaged_index_costs_no_message(tmp_path: Path) -> None:
    path = tmp_path / "log.mcap"
    write(path)
    data = bytearray(path.read_bytes())
    data[-60] ^= 0xFF  # the summary's checksum says so
    path.write_bytes(data)
    with McapFile(path) as opened:
        found = summary(opened)
    assert found.lost == {"damaged index": 1}
    assert found.counts.total() == 41


def test_the_conformance_files_of_the_format_are_read_whole(data_root: Path) -> None:
    root = data_root / "mcap_conformance"
    if not root.is_dir():
        pytest.skip("no mcap_conformance/ among the recordings")
    paths = sorted((root / "built").glob("*.mcap"))
    assert len(paths) == 416
    for path in paths:
        described = json.loads(next(root.glob(f"expected/*/{path.stem}.json")).read_text())["records"]
        assert seen(path) == expected(described), path.name


def expected(records: list[dict[str, Any]]) -> dict[str, Any]:
    """What a description's records say, up to the end of the data section."""
    data = list(itertools.takewhile(lambda record: record["type"] != "DataEnd", records))
    fields = [(record["type"], dict(record["fields"])) for record in data]
    schemas = {int(f["id"]): (f["name"], f["encoding"], _bytes(f["data"])) for kind, f in fields if kind == "Schema"}
    channels = {
        int(f["id"]): (f["topic"], f["message_encoding"], *schemas.get(int(f["schema_id"]), ("", "", b"")))
        for kind, f in fields if kind == "Channel"
    }  # fmt: skip
    messages = [
        (int(f["channel_id"]), int(f["sequence"]), int(f["log_time"]), _bytes(f["data"]))
        for kind, f in fields if kind == "Message"
    ]  # fmt: skip
    times = [log_ns for _, _, log_ns, _ in messages]
    return {
        "channels": channels,
        "messages": sorted(messages, key=lambda message: message[2]),
        "metadata": [(f["name"], f["metadata"]) for kind, f in fields if kind == "Metadata"],
        "attachments": [(f["name"], _bytes(f["data"])) for kind, f in fields if kind == "Attachment"],
        "counts": Counter(channel for channel, *_ in messages),
        "times": (min(times, default=0), max(times, default=0)),
        "whole": (True, Counter(), Counter()),
    }


def seen(path: Path) -> dict[str, Any]:
    """The same of a file, by both readers."""
    with McapFile(path) as file:
        found: Summary = summary(file)
        messages = [
            (m.channel, m.sequence, m.log_ns, bytes(m.data))
            for m in in_order(file, found, found.channels.keys(), 0, LAST_NS, found.lost)
        ]  # fmt: skip
    reader = RawReader(path)
    assert sorted(raw.data for raw in reader) == sorted(data for *_, data in messages)
    assert (reader.metadata, [item.name for item in reader.attachments]) == (found.metadata, found.attachments)
    return {
        "channels": {
            number: (c.topic, c.encoding, c.schema, c.schema_encoding, c.schema_text)
            for number, c in found.channels.items()
        },
        "messages": messages,
        "metadata": found.metadata,
        "attachments": [(item.name, item.data) for item in reader.attachments],
        "counts": found.counts,
        "times": (found.start_ns, found.end_ns),
        "whole": (found.complete, found.lost, reader.lost),
    }  # fmt: skip


def _bytes(values: list[str]) -> bytes:
    return bytes(map(int, values))
