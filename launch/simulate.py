"""The simulated vehicle as a launch file: `fusion launch launch/simulate.py --set detector.min_score=0.4`.

`fusion demo` starts the same graph, with a picture and a line of JSON for each set where they are asked for.
"""

from __future__ import annotations

from fusion_pipeline.graph import LAUNCH_FILES, load_graph

graph = load_graph(LAUNCH_FILES / "demo.py")
