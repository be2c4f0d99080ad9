#!/bin/sh
# rosbags 0.9.23 and 0.11.9: a ROS 2 bag whose recorder was killed loses what is still in its -wal file, in silence.
# SQLite keeps the newest rows of a database in WAL mode in NAME.db3-wal until it is checkpointed, and any ordinary
# connection reads both. rosbags opens the .db3 as immutable, which tells SQLite to look at the one file alone.
# Seen: sqlite3 counts 60 messages, rosbags' Reader yields 20 and reports nothing.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/env"
cat >"$folder/look.py" <<'PY'
import shutil
import sqlite3
import sys
from importlib.metadata import version
from pathlib import Path

from rosbags.rosbag2 import Reader

here = Path(sys.argv[1])
shutil.rmtree(here, ignore_errors=True)
live, bag = here / "live", here / "bag"
live.mkdir(parents=True)
bag.mkdir()
source = sqlite3.connect(live / "bag_0.db3")
source.execute("PRAGMA journal_mode=WAL")
source.execute("PRAGMA wal_autocheckpoint=0")
source.execute("CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT, offered_qos_profiles TEXT)")
source.execute("CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB)")
source.execute("CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT)")
source.execute("INSERT INTO schema VALUES(3, 'humble')")
source.execute("INSERT INTO topics VALUES(1, '/t', 'std_msgs/msg/Bool', 'cdr', '')")
row = "INSERT INTO messages(topic_id, timestamp, data) VALUES(1, ?, ?)"
source.executemany(row, [(n, b"\0\1\0\0\1") for n in range(20)])
source.commit()
source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
source.executemany(row, [(n, b"\0\1\0\0\1") for n in range(20, 60)])
source.commit()
for file in live.iterdir():  # as it lies there when the recorder is killed
    shutil.copy(file, bag)
(bag / "metadata.yaml").write_text("""\
rosbag2_bagfile_information:
  version: 5
  storage_identifier: sqlite3
  duration: {nanoseconds: 60}
  starting_time: {nanoseconds_since_epoch: 0}
  message_count: 60
  topics_with_message_count:
    - topic_metadata: {name: /t, type: std_msgs/msg/Bool, serialization_format: cdr, offered_qos_profiles: ''}
      message_count: 60
  compression_format: ''
  compression_mode: ''
  relative_file_paths: [bag_0.db3]
""")
with Reader(bag) as reader:
    got = sum(1 for _ in reader.messages())
rows = sqlite3.connect(f"file:{bag / 'bag_0.db3'}?mode=ro", uri=True).execute("SELECT count(*) FROM messages").fetchone()[0]
print("rosbags", version("rosbags"), "yields", got, "of", rows)
sys.exit(not (got == 20 and rows == 60))
PY
for release in 0.9.23 0.11.9; do
    "$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check "rosbags==$release"
    "$folder/env/bin/python" "$folder/look.py" "$folder/data"
done
