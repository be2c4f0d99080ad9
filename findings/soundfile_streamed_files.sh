#!/bin/sh
# soundfile 0.14.0 (libsndfile 1.2.2): files that were written to a pipe, where nobody could go back and fill in a length.
# A WAV whose data size was left at 0 has samples behind its header, and is opened as an empty file without an error; the
# same file with 0xFFFFFFFF there is read to its end. A FLAC of unknown length (total samples 0, valid by its
# specification) reports 2**63 - 1 frames, and the read of its last, shorter block raises instead of returning it.
# Seen: size 0: 0 frames; 0xFFFFFFFF: 1600 frames; FLAC: 9223372036854775807 frames, error on the last block.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check soundfile==0.14.0 numpy
cat >"$folder/look.py" <<'PY'
import io
import struct
import sys

import numpy as np
import soundfile

sound = (1000 * np.sin(np.arange(1600) * 0.05)).astype(np.int16)


def wav(size):
    body = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16) + struct.pack("<4sI", b"data", size)
    return io.BytesIO(b"RIFF" + struct.pack("<I", min(size + 36, 2**32 - 1)) + b"WAVE" + body + sound.tobytes())


empty = len(soundfile.SoundFile(wav(0)).read())
whole = len(soundfile.SoundFile(wav(2**32 - 1)).read())

file = io.BytesIO()
soundfile.write(file, sound, 16000, format="FLAC")
flac = bytearray(file.getvalue())
flac[21] &= 0xF0  # STREAMINFO's 36 bits of total samples: unknown
flac[22:26] = bytes(4)
flac[26:42] = bytes(16)  # and no MD5
reader = soundfile.SoundFile(io.BytesIO(bytes(flac)))
got = 0
try:
    while len(block := reader.read(300)):
        got += len(block)
    end = "no error"
except soundfile.LibsndfileError as error:
    end = str(error)
print("size 0:", empty, "0xFFFFFFFF:", whole, "FLAC frames:", reader.frames, "read:", got, "then:", end)
sys.exit(not (empty == 0 and whole == 1600 and reader.frames == 2**63 - 1 and got < 1600 and end != "no error"))
PY
"$folder/env/bin/python" "$folder/look.py"
