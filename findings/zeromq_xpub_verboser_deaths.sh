#!/bin/sh
# pyzmq 27.1.0 (libzmq 4.3): counting readers on an XPUB socket with XPUB_VERBOSER = 1 drifts when readers die.
# VERBOSER passes every subscription on, so one would guess that each has its withdrawal. A reader that subscribes to
# one topic twice sends two events; when its connection ends, XPUB makes up one withdrawal for
# each topic of that connection, however often it was subscribed, and that frame alone carries no SRCFD, so it cannot be
# told which connection has ended. A count of +1 and -1 is one too high for ever. The socket monitor's DISCONNECTED
# event carries the same number as SRCFD did, and is what a count can be kept by.
# Seen: events + + (both with SRCFD), then after the reader's close one - without SRCFD, and DISCONNECTED with that fd.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check pyzmq==27.1.0
cat >"$folder/look.py" <<'PY'
import sys
import time

import zmq
from zmq.utils.monitor import recv_monitor_message

context = zmq.Context()
writer = context.socket(zmq.XPUB)
writer.setsockopt(zmq.XPUB_VERBOSER, 1)
monitor = writer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
port = writer.bind_to_random_port("tcp://127.0.0.1")
reader = context.socket(zmq.XSUB)
reader.setsockopt(zmq.LINGER, 0)
reader.connect(f"tcp://127.0.0.1:{port}")
reader.send(b"\1topic")
reader.send(b"\1topic")


def events(seconds):
    until = time.monotonic() + seconds
    found = []
    while time.monotonic() < until:
        if writer.poll(50):
            frame = writer.recv(copy=False)
            try:
                fd = frame.get(zmq.SRCFD)
            except zmq.ZMQError:
                fd = None
            found.append(("-+"[bytes(frame.buffer)[0]], fd))
    return found


came = events(1.0)
reader.close(0)
went = events(1.0)
died = recv_monitor_message(monitor)["value"] if monitor.poll(2000) else None
print("pyzmq", zmq.__version__, "libzmq", zmq.zmq_version(), "subscribed:", came, "died:", went, "monitor:", died)
fd = came[0][1] if came else None
sys.exit(not (came == [("+", fd), ("+", fd)] and fd is not None and went == [("-", None)] and died == fd))
PY
"$folder/env/bin/python" "$folder/look.py"
