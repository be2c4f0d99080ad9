"""Compiles the fast loops before they are needed, so that the first start of a graph is as quick as any other.

Numba keeps what it compiles beside the source files; `make setup` calls this once.
"""

from __future__ import annotations

import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fusion_pipeline.graph import LAUNCH_FILES, load_graph
from fusion_pipeline.messages import Message
from fusion_pipeline.node import Source, Stage


def compile_loops() -> int:
    """Run the demo's nodes in this process until tracks have come out; the number of messages it took."""
    with TemporaryDirectory() as folder:
        graph = load_graph(LAUNCH_FILES / "demo.py", picture=Path(folder) / "demo.png")
        nodes = [process.node(process.config, process.label) for process in graph.processes]
        for node in nodes:
            node.open()
        try:
            return _run(nodes)
        finally:
            for node in nodes:
                node.close()


def _run(nodes: list[Any]) -> int:
    """One set of messages, then what is made of them."""
    stop, stages = threading.Event(), [node for node in nodes if isinstance(node, Stage)]
    waiting: list[Message] = []
    for node in nodes:
        if isinstance(node, Source):
            messages = node.messages(stop)
            waiting += [next(messages) for _ in range(2)]
    seen = 0
    while waiting:
        message = waiting.pop(0)
        seen += 1
        for stage in stages:
            if type(message) in stage.reads:
                waiting.extend(stage.step(message))
        if not waiting:
            waiting = [late for stage in stages for late in stage.finish()]
    return seen


if __name__ == "__main__":
    compile_loops()
