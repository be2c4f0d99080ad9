"""THE table of verbs: where each is, what it does in a line, and how people call it. Importing it loads nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb of `fusion`."""

    target: str  # "module:function" or "module:typer app", imported when the verb is called
    summary: str  # one line
    examples: tuple[str, ...]  # whole command lines


_CLI = "fusion_pipeline.cli"
VERBS: dict[str, Verb] = {
    "demo": Verb(
        f"{_CLI}.demo:demo",
        "Drive a simulated vehicle through the whole pipeline; needs no data and no GPU.",
        ("fusion demo", "fusion demo --for 30"),
    ),
    "launch": Verb(
        f"{_CLI}.launch:launch",
        "Start the graph of a launch file and watch it run.",
        ("fusion launch launch/vehicle.py", "fusion launch launch/vehicle.py --set detector.min_score=0.4 --for 60"),
    ),
    "replay": Verb(
        f"{_CLI}.replay:replay",
        "Play a recorded log through the same graph and write what it finds.",
        (
            "fusion replay drives/2011_09_26_drive_0052_sync --rate 1 --out sets.jsonl",
            "fusion replay log.mcap --rate max",
            "fusion replay log.mcap --check reference.jsonl --tolerance center_m=0.05",
            "fusion replay log.mcap --start 20 --end 30 --loops 0 --rate 0.5",
            "fusion replay log.mcap --from detections --set tracker.min_hits=3",
        ),
    ),
    "player": Verb(
        f"{_CLI}.player:player",
        "Pause, step, seek or change the rate of a replay that runs.",
        ("fusion player pause", "fusion player step 10", "fusion player seek 12.5", "fusion player rate 0.5"),
    ),
    "record": Verb(
        f"{_CLI}.record:record",
        "Record the topics of a running graph to MCAP logs.",
        (
            "fusion record launch/vehicle.py --out drive.mcap --split-mb 2000",
            "fusion record --keep 60 --save-on \"label = 'pedestrian' and range_m < 10\"",
            "fusion record --trigger",
        ),
    ),
    "fleet": Verb(
        f"{_CLI}.fleet:fleet",
        "Replay, evaluate, mine or convert many logs, on this machine or on Ray.",
        (
            "fusion fleet run replay --logs 'drives/*.mcap' --out runs/july",
            "fusion fleet run convert --logs 'kitti/*_sync' --engine ray --address auto",
            "fusion fleet mine runs/july --where \"label = 'pedestrian' and range_m < 10\"",
            "fusion fleet show runs/july",
        ),
    ),
    "bench": Verb(
        f"{_CLI}.bench:bench",
        "Measure a part of the pipeline beside its baseline.",
        (
            "fusion bench transport",
            "fusion bench align --json",
            "fusion bench malformed --count 2000 --seed 5",
            "fusion bench all --markdown --out BENCHMARKS.md",
        ),
    ),
    "topic": Verb(
        f"{_CLI}.topic:topic",
        "Look at the topics of a running graph: list, hz, echo.",
        ("fusion topic list", "fusion topic hz lidar/top", "fusion topic echo tracks"),
    ),
    "doctor": Verb(
        f"{_CLI}.doctor:doctor",
        "Check this machine: libraries, GPU providers, clock, shared memory, devices.",
        ("fusion doctor", "fusion doctor --json"),
    ),
    "sim": Verb(
        f"{_CLI}.sim:sim",
        "Simulate camera, LiDAR and sound of a scenario, with the exact truth beside them.",
        (
            "fusion sim city_street --seconds 20 -o street.mcap",
            "fusion sim city_street --fault camera/front.offset_ms=20 --fault lidar/top.yaw_deg=0.5",
            "fusion sim robot_yard --rig two_lidars --sound dog.wav@8,-3",
        ),
    ),
    "eval": Verb(
        f"{_CLI}.eval:evaluate",
        "Score models on labelled KITTI frames, or on held-out simulated moments.",
        (
            "fusion eval kitti/",
            "fusion eval kitti/ --pictures worst/ --plots plots/",
            "fusion eval kitti/ --frame 000001",
            "fusion eval simulated --frames 100",
            "fusion eval kitti/ --model my_network.onnx --json",
            "fusion eval kitti/ simulated --robust 40 --out figures.json --card MODELS.md",
        ),
    ),
    "train": Verb(
        f"{_CLI}.train:train",
        "Train the fusion network on simulated moments, export and judge it.",
        ("fusion train runs/mine --hours 2", "fusion train runs/look --hours 0.02 --rides 200"),
    ),
    "export": Verb(
        f"{_CLI}.train:export",
        "Write a trained network as ONNX with its manifest.",
        ("fusion export runs/mine/last.pt mine.onnx --calibrate runs/calibration",),
    ),
    "adapt": Verb(
        f"{_CLI}.train:adapt",
        "Make the fusion network at home with your sensors, from a log without labels.",
        ("fusion adapt drive.mcap mine.onnx", "fusion replay drive.mcap --model mine.onnx"),
    ),
    "log": Verb(
        f"{_CLI}.log:log",
        "Look into logs, cut, merge, convert and recover them.",
        (
            "fusion log info drive.mcap",
            "fusion log check drive.mcap",
            "fusion log recover cut_off.mcap whole.mcap",
            "fusion log cut drive.mcap part.mcap --start 10 --end 20",
            "fusion log diff a.mcap b.mcap",
            "fusion log export sets.jsonl results/ --as kitti --log training/",
            "fusion log video drive.mcap drive.mp4 --boxes tracks",
        ),
    ),
}
