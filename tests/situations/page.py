"""All situations, and docs/situations.md, which is made of them."""

from __future__ import annotations

import cameras
import clocks
import clouds
import commands
import containers
import datasets
import files
import places_
from situation import Situation

GROUPS: dict[str, list[Situation]] = {
    "Clocks and the times of points": clocks.SITUATIONS,
    "Point clouds": clouds.SITUATIONS,
    "Cameras": cameras.SITUATIONS,
    "Places and names": places_.SITUATIONS,
    "Containers": containers.SITUATIONS,
    "Sound, captures, pictures": files.SITUATIONS,
    "Data sets": datasets.SITUATIONS,
    "Command line": commands.SITUATIONS,
}
ALL = [row for rows in GROUPS.values() for row in rows]
REPOSITORIES = """
0xShug0/audio.cpp adamstark/AudioFile AlexGeControl/Sensor-Fusion astuff/avt_vimba_camera basler/pylon-ros-camera
bastibe/python-soundfile daavoo/pyntcloud epan-utbm/utbm_robocar_dataset foxglove/foxglove-sdk foxglove/mcap
HesaiTechnology/HesaiLidar_General_ROS Hilti-Research/hilti-slam-challenge-2021 jsk-ros-pkg/jsk_recognition
jstrait/wavefile koide3/glim l1997i/DurLAR libjpeg-turbo/libjpeg-turbo Livox-SDK/livox_ros_driver MapsHD/HDMapping
maudzung/SFA3D nutonomy/nuscenes-devkit ouster-lidar/ouster-ros ouster-lidar/ouster-sdk Pana1v/polka
PcapDotNet/Pcap.Net PointCloudLibrary/pcl PRBonn/kiss-icp PRBonn/rangenet_lib
princeton-computational-imaging/SeeingThroughFog realsenseai/librealsense realsenseai/realsense-ros rerun-io/rerun
RoboSense-LiDAR/rslidar_sdk ros-drivers/camera1394 ros-drivers/libuvc_ros ros-perception/image_pipeline
ros-perception/vision_opencv ros-sports/ipm ros-visualization/rqt_graph ros/robot_state_publisher ros/ros_comm
ros2/rosbag2 rvp-group/vbr-devkit scipy/scipy SJTU-ViSYS/M2DGR ternaris/marv-robotics tomas789/kitti2bag
"""  # on GitHub, of the public reports
OWNERS = {name.partition("/")[2]: name for name in REPOSITORIES.split()}
HEAD = """# Situations

What people bring, and what `fusion log check` (or the verb named) makes of it. Every row is a test,
`tests/situations`, that makes its own input; this page is made of the same
table: `PYTHONPATH=tests/logs:tests/sensors python tests/situations/page.py`.
The source is the public report after which a situation was made, or "own". Exit code 0: read as it should be, with a
warning where one is named; 3: an error is found, under the names given, which [findings](findings.md) explain; 2:
refused in a line.
"""


def page() -> str:
    """The text of docs/situations.md."""
    text = HEAD
    for title, rows in GROUPS.items():
        text += f"\n## {title}\n\n| situation | source | what happens | exit | findings |\n|---|---|---|---|---|\n"
        for row in rows:
            names = ", ".join(f"`{name}`" for name in row.has)
            what = " ".join(row.what.replace("|", "\\|").split())
            text += f"| {what} | {_source(row.source)} | {row.now} | {row.code} | {names} |\n"
    return text


def _source(name: str) -> str:
    if name == "own":
        return name
    project, _, number = name.partition("#")
    return f"[{name}](https://github.com/{OWNERS[project]}/issues/{number})"


if __name__ == "__main__":
    from pathlib import Path

    (Path(__file__).resolve().parents[2] / "docs" / "situations.md").write_text(page())
