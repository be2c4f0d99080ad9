"""What of a graph other hosts can reach. Until endpoints authenticate their peers, that has to be asked for by name."""

from __future__ import annotations

from fusion_pipeline.graph import Graph, GraphError
from fusion_pipeline.transport.sockets import is_local

OPTION = "--insecure"


def exposures(graph: Graph) -> tuple[str, ...]:
    """One line for each endpoint off loopback: who could read or write what. Empty for a graph of this host alone."""
    bound = tuple(
        f"{process.label} publishes {', '.join(process.topics)} at {process.endpoint}: whoever reaches "
        "that address can read it"
        for process in graph.processes if process.endpoint and not is_local(process.endpoint)
    )  # fmt: skip
    remote = tuple(
        f"{topic} comes from {address}: whoever answers there, or sits between, can write it"
        for topic, address in graph.remote.items() if not is_local(address)
    )  # fmt: skip
    return bound + remote


def refuse_exposure(graph: Graph, insecure: bool = False) -> None:
    """Raise GraphError where an endpoint of the graph lies off loopback, unless it is allowed to be `insecure`."""
    if (found := exposures(graph)) and not insecure:
        raise GraphError(
            f"{'; '.join(found)}: neither side is authenticated and nothing is encrypted; use ipc or 127.0.0.1, or "
            f"type {OPTION} where the network is yours alone"
        )
