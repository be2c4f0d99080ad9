"""A stored log through the whole graph gives the stored lines: what a change of the pipeline changes shows here.

golden.mcap holds 0.8 s of a simulated street, thinned out. Where a change is meant:
`fusion replay tests/replay/golden.mcap --model fusion_pipeline/models/lidar_bev.onnx --out tests/replay/golden.jsonl`
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.manifest import SHIPPED

LOG, LINES = (Path(__file__).with_name(f"golden.{suffix}") for suffix in ("mcap", "jsonl"))
REPLAY = ["replay", str(LOG), "--model", str(SHIPPED / "lidar_bev.onnx"), "--quiet", "--check"]


def test_golden_log_gives_golden_lines(capsys: pytest.CaptureFixture[str]) -> None:
    code = run([*REPLAY, str(LINES)])
    said = capsys.readouterr().out
    assert code == 0, said
    assert "8 sets, 52 objects compared" in said
    assert said.endswith("the same\n")


def test_what_changed_is_told_by_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.loads(text) for text in LINES.read_text().splitlines()]
    moved, gone = rows[3]["objects"][0], rows[5]["objects"]
    moved["center_m"][0] += 0.25
    moved["score"] -= 0.1
    gone.append({**gone[0], "label": "unicorn"})
    wrong = tmp_path / "reference.jsonl"
    wrong.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run([*REPLAY, str(wrong), "--tolerance", "score=0.2"]) == 3
    said = capsys.readouterr().out
    assert "center_m: 1 values changed, the most by 0.25" in said
    assert "objects gone: 1 x unicorn" in said
    assert "score:" not in said
    assert f"the first difference is in the set at {rows[3]['stamp_ns']}" in said
