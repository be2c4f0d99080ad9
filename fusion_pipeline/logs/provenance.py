"""Where a log comes from: rig, configuration, model and versions, as metadata and attachments of the file itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fusion_pipeline.jsontext import parse_json
from fusion_pipeline.logs.mcap_out import McapOut
from fusion_pipeline.rig import Rig, to_toml

RIG, FACTS, VERSIONS, MODEL, RECORDED = (
    "fusion.rig", "fusion.facts", "fusion.versions", "fusion.model", "fusion.recorded",
)  # fmt: skip
LIBRARIES = ("fusion-pipeline", "foxglove-sdk", "mcap", "numpy", "opencv-python", "onnxruntime", "onnxruntime-gpu",
             "pyzmq", "av")  # fmt: skip


@dataclass(frozen=True)
class Model:
    """A model of the graph, by its files."""

    process: str  # that runs it
    path: str
    sha256: str  # of the network's file
    manifest: str = ""  # text of the manifest beside it


@dataclass(frozen=True)
class Provenance:
    """What a file says of itself before its first message."""

    rig: Rig | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    configuration: str = ""  # the effective configuration as JSON
    models: tuple[Model, ...] = ()

    @classmethod
    def of_graph(cls, rig: Rig | None, configuration: str, facts: Mapping[str, str] | None = None) -> Provenance:
        """With the models that a graph's effective configuration names."""
        return cls(rig, facts or {}, configuration, tuple(_models(configuration)))

    def write_to(self, file: McapOut) -> None:
        """Raises OSError where there is no room."""
        if self.rig is not None and self.rig.topics:  # one without a sensor could not be read again
            text = to_toml(self.rig)
            file.add_metadata(RIG, {"toml": text})
            file.add_attachment("rig.toml", "application/toml", text.encode())
        if self.facts:
            file.add_metadata(FACTS, self.facts)
        file.add_metadata(VERSIONS, _versions())
        if self.configuration:
            file.add_attachment("configuration.json", "application/json", self.configuration.encode())
        for model in self.models:
            file.add_metadata(MODEL, {"process": model.process, "path": model.path, "sha256": model.sha256})
            if model.manifest:
                name = f"{model.process}.model.toml"
                file.add_attachment(name, "application/toml", model.manifest.encode())


@cache
def _versions() -> dict[str, str]:
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _models(configuration: str) -> Iterator[Model]:
    """The files behind every `model` of a configuration; what is not there is left out."""
    try:
        processes = parse_json(configuration)["processes"] if configuration else []
        named = [(str(one["name"]), one["config"].get("model")) for one in processes]
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    for process, value in named:
        path = Path(value) if isinstance(value, str) and value else None
        if path is None or not path.is_file():
            continue
        manifest = path.with_suffix(".toml")
        network = _network(manifest) if path == manifest else path
        text = manifest.read_text(encoding="utf-8") if manifest.is_file() else ""
        yield Model(process, str(network), _sha256(network), text)


def _network(manifest: Path) -> Path:
    """The network's file that a manifest names, or the manifest itself."""
    import tomllib

    try:
        table: Any = tomllib.loads(manifest.read_text(encoding="utf-8"))
        found = manifest.parent / str(table["files"]["network"]["path"])
    except (OSError, ValueError, KeyError, TypeError):
        return manifest
    return found if found.is_file() else manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
