"""What a model says of itself: the TOML file beside it names its files, classes and the stages around the network.

    schema = 1
    name = "lidar-bev"
    license = "Apache-2.0"
    classes = ["car", "truck", "pedestrian", "two-wheeler", "other"]

    [files.network]
    path = "lidar_bev.onnx"
    sha256 = "..."

    [files.weights]  # where the network keeps its weights in a file beside it
    path = "lidar_bev.onnx.data"
    sha256 = "..."

    [[stages]]
    op = "bev_raster"

    [[stages]]
    op = "onnx"

    [[stages]]
    op = "decode_center"

    [[stages]]
    op = "nms_bev"
    iou = 0.2

The operations and their options are in `operations.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from fusion_pipeline.checks import nearest, shown
from fusion_pipeline.onnxfile import OnnxFileError, read_onnx
from fusion_pipeline.operations import Operation, OperationError, RunOnnx, parse_operation
from fusion_pipeline.tables import TableError, build
from fusion_pipeline.tomlfile import TomlError, read_toml

SCHEMA = 1
PROVIDERS = ("cpu", "cuda", "tensorrt")
SHIPPED = Path(__file__).resolve().parent / "models"
DEFAULT_MODEL = SHIPPED / "fusion_base.onnx"  # on any provider
WHOLE = "_int8"  # ends the name of a file that computes in whole numbers what the file without it does
CPU_MODEL = DEFAULT_MODEL.with_stem(DEFAULT_MODEL.stem + WHOLE)
_KEYS = ("schema", "name", "license", "description", "source", "classes", "files", "requires", "stages")


class ManifestError(ValueError):
    """A manifest or a model file that cannot be used; the message names the file, the key and what to do."""


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One ONNX file; `path` is as written in the manifest until it is loaded, then absolute."""

    path: str
    sha256: str
    url: str = ""  # where to get it, for models that are not shipped


@dataclass(frozen=True, slots=True)
class Requires:
    """What a model needs: it may be asked to run on these providers."""

    providers: tuple[str, ...] = PROVIDERS


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checked manifest; every file in `files` exists and has the stated sha256."""

    path: Path
    name: str
    classes: tuple[str, ...]
    files: Mapping[str, ModelFile]
    stages: tuple[Operation, ...]
    license: str = ""
    description: str = ""
    source: str = ""
    requires: Requires = Requires()

    @classmethod
    def beside(cls, model: Path) -> Self:
        """The manifest of `model`, an ONNX file or a manifest itself.

        An ONNX file has its manifest beside it, with the suffix .toml; failing that, a shipped manifest that states the
        file's sha256 is taken. Raises ManifestError.
        """
        if model.suffix == ".toml":
            return cls.load(model)
        if not model.is_file():
            raise ManifestError(f"model file {model} does not exist; check the path")
        own = model.with_suffix(".toml")
        if own.is_file():
            manifest = cls.load(own)
            if not any(Path(file.path).resolve() == model.resolve() for file in manifest.files.values()):
                raise ManifestError(f"{own}: files names {_listed(manifest.files)}, not {model.name}; correct its path")
            return manifest
        digest = sha256_of(model)
        for path in sorted(SHIPPED.glob("*.toml")):
            known = cls.parse(path)
            if [file.sha256 for file in known.files.values()] == [digest]:
                only = next(iter(known.files))
                found = replace(known, files={only: replace(known.files[only], path=str(model.resolve()))})
                found._check_external()
                return found
        raise ManifestError(
            f"{model} has no manifest: {own.name} is not beside it and no shipped manifest states its sha256 "
            f"{digest}; write one like {SHIPPED.name}/fastestdet.toml"
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a manifest and check the files that it names, and that it names all of which they are made. Raises
        ManifestError.
        """
        manifest = cls.parse(path)
        files = {}
        for key, file in manifest.files.items():
            found = path.parent / file.path
            if not found.is_file():
                where = f"; get it from {file.url}" if file.url else ""
                raise ManifestError(f"{path}: files.{key}: {found.name} is not in {path.parent}{where}")
            digest = sha256_of(found)
            if digest != file.sha256:
                raise ManifestError(
                    f"{path}: files.{key}: {found.name} has the sha256 {digest}, the manifest states {file.sha256}; "
                    "take the file that the manifest was written for, or correct the manifest"
                )
            files[key] = replace(file, path=str(found.resolve()))
        loaded = replace(manifest, files=files)
        loaded._check_external()
        return loaded

    @classmethod
    def parse(cls, path: Path) -> Self:
        """Read a manifest without looking at the files that it names. Raises ManifestError."""
        try:
            table = read_toml(path)
        except FileNotFoundError:
            raise ManifestError(f"manifest {path} does not exist; check the path") from None
        except TomlError as error:
            raise ManifestError(f"manifest {path} cannot be read: {error}") from None
        try:
            return cls._from_table(path, table)
        except (ManifestError, TableError) as error:
            raise ManifestError(f"{path}: {error}") from None

    @classmethod
    def _from_table(cls, path: Path, table: Mapping[str, Any]) -> Self:
        for key in table:
            if key not in _KEYS:
                raise ManifestError(nearest("key", key, _KEYS))
        if table.get("schema") != SCHEMA:
            raise ManifestError(f"schema is {table.get('schema')!r}; this program reads schema = {SCHEMA}")
        for key in ("name", "classes", "files", "stages"):
            if not table.get(key):
                raise ManifestError(f"lacks {key!r}")
        classes = table["classes"]
        if not isinstance(classes, list) or not all(isinstance(name, str) and name for name in classes):
            raise ManifestError("classes should be a list of texts")
        if len(set(classes)) < len(classes):
            raise ManifestError("classes should name each class once")
        for key in ("name", "license", "description", "source"):
            if not isinstance(table.get(key, ""), str):
                raise ManifestError(f"{key} = {shown(table[key])} should be a text")
        if not isinstance(table["files"], dict) or not isinstance(table["stages"], list):
            raise ManifestError("files should be tables [files.NAME], stages a list of tables [[stages]]")
        if not isinstance(table.get("requires", {}), dict):
            raise ManifestError("requires should be a table [requires]")
        requires = build(Requires, table.get("requires", {}))
        for provider in requires.providers:
            if provider not in PROVIDERS:
                raise ManifestError(f"requires.providers: {nearest('provider', provider, PROVIDERS)}")
        manifest = cls(
            path=path, name=str(table["name"]), classes=tuple(classes), files=_files(table["files"]),
            stages=_stages(table["stages"]), license=str(table.get("license", "")),
            description=str(table.get("description", "")), source=str(table.get("source", "")), requires=requires,
        )  # fmt: skip
        manifest._check_names()
        return manifest

    def _check_names(self) -> None:
        for number, stage in enumerate(self.stages, 1):
            if isinstance(stage, RunOnnx) and stage.file not in self.files:
                raise ManifestError(f"stages[{number}] (onnx): {nearest('file', stage.file, self.files)}")
            for key in ("class_map", "sizes"):
                for label in getattr(stage, key, {}):
                    if label not in self.classes:
                        raise ManifestError(f"stages[{number}]: {key}: {nearest('class', label, self.classes)}")

    @property
    def networks(self) -> dict[str, Path]:
        """The files that `onnx` stages run, by their keys."""
        names = {stage.file: None for stage in self.stages if isinstance(stage, RunOnnx)}
        return {name: Path(self.files[name].path) for name in names}

    def _check_external(self) -> None:
        """Every file in which a network keeps weights must be stated with its sha256. Raises ManifestError."""
        stated = {Path(file.path).resolve() for file in self.files.values()}
        for name, file in self.files.items():
            network = Path(file.path)
            if network.suffix.lower() != ".onnx":
                continue
            where = f"{self.path}: files.{name}: {network.name}"
            try:
                external = read_onnx(network).external
            except (OnnxFileError, OSError) as error:
                raise ManifestError(f"{where} is no usable network: {error}") from None
            for location, least in external.items():
                held = network.parent / location
                if not held.is_file():
                    raise ManifestError(f"{where} keeps its weights in {location}, which is not beside it")
                if held.resolve() not in stated:
                    raise ManifestError(
                        f"{where} keeps its weights in {location}, for which no sha256 is stated; if you trust that "
                        f'file, add [files.weights] with path = "{location}" and sha256 = "{sha256_of(held)}"'
                    )
                size = held.stat().st_size
                if size < least:
                    raise ManifestError(f"{where} wants {least} bytes of {location}, which has {size}; is it cut off?")


def sha256_of(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _files(table: Mapping[str, Any]) -> dict[str, ModelFile]:
    files = {}
    for key, entry in table.items():
        try:
            files[key] = build(ModelFile, entry if isinstance(entry, dict) else {})
        except TableError as error:
            raise ManifestError(f"files.{key}: {error}") from None
    return files


def _stages(tables: list[Any]) -> tuple[Operation, ...]:
    stages = []
    for number, table in enumerate(tables, 1):
        try:
            stages.append(parse_operation(table if isinstance(table, dict) else {}))
        except OperationError as error:
            raise ManifestError(f"stages[{number}] {error}") from None
    return tuple(stages)


def _listed(files: Mapping[str, ModelFile]) -> str:
    return ", ".join(Path(file.path).name for file in files.values())
