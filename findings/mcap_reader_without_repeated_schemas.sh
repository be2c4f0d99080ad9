#!/bin/sh
# mcap 1.6.0 (the Python library of the MCAP format): its seeking reader fails on a valid file of its own writer.
# The specification makes every part of the summary optional. A file whose summary has chunk indexes but does not repeat
# its schemas and channels is valid, and one would expect that a reader takes them from the chunks. make_reader() picks
# the seeking reader, which looks channels and schemas up in the summary alone; the sequential reader reads the file.
# Seen: make_reader: KeyError (or no message); NonSeekingReader: 3 messages.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check mcap==1.6.0
cat >"$folder/look.py" <<'PY'
import io
import sys

from mcap.reader import NonSeekingReader, make_reader
from mcap.writer import CompressionType, IndexType, Writer

data = io.BytesIO()
writer = Writer(data, index_types=IndexType.ALL, repeat_schemas=False, repeat_channels=False, compression=CompressionType.NONE)
writer.start()
schema = writer.register_schema("s", "jsonschema", b"{}")
channel = writer.register_channel("t", "json", schema)
for number in range(3):
    writer.add_message(channel, number, b"{}", number)
writer.finish()


def count(make):
    try:
        return len(list(make(io.BytesIO(data.getvalue())).iter_messages()))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


seeking, sequential = count(make_reader), count(NonSeekingReader)
print("seeking:", seeking, "sequential:", sequential)
sys.exit(not (sequential == 3 and seeking != 3))
PY
"$folder/env/bin/python" "$folder/look.py"
