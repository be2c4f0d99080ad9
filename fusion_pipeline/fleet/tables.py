"""Tables of a fleet in Parquet: rows as they come, in one file for each log and one for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from fusion_pipeline.fleet.job import FleetError

BATCH = 10_000  # rows in memory at a time


def write_rows(path: Path, rows: Iterable[Mapping[str, object]]) -> int:
    """Write rows and say how many; columns are those of the first BATCH rows. Raises FleetError for a row that does
    not fit them.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    remaining, count = iter(rows), 0
    first = list(islice(remaining, BATCH))
    schema = _schema(first)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        batch = first
        while batch:
            try:
                writer.write_table(pa.Table.from_pylist([dict(row) for row in batch], schema))
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise FleetError(f"the job's rows do not fit into one table: {error}") from error
            count += len(batch)
            batch = list(islice(remaining, BATCH))
    return count


def join(paths: Iterable[Path], out: Path) -> int:
    """One table of several, the columns of all; written whole or not at all. Returns the number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = list(paths)
    schemas = [pq.read_schema(path) for path in found]
    try:
        schema = pa.unify_schemas(schemas, promote_options="permissive") if schemas else pa.schema([])
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise FleetError(f"tables of different logs do not fit together: {error}") from error
    part, count = out.with_name(f".{out.name}.part"), 0
    with pq.ParquetWriter(part, schema, compression="zstd") as writer:
        for path in found:
            for batch in pq.ParquetFile(path).iter_batches(BATCH):
                table = pa.Table.from_batches([batch])
                for name in schema.names:
                    if name not in table.column_names:
                        table = table.append_column(name, pa.nulls(len(table), schema.field(name).type))
                writer.write_table(table.select(schema.names).cast(schema))
                count += len(table)
    part.replace(out)
    return count


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a table, BATCH at a time in memory. Raises FleetError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        for batch in pq.ParquetFile(path).iter_batches(BATCH):
            yield from batch.to_pylist()
    except (OSError, pa.ArrowInvalid) as error:
        raise FleetError(f"{path} cannot be read as a table: {error}") from error


def columns_of(path: Path) -> tuple[str, ...]:
    """Names of a table's columns. Raises FleetError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return tuple(pq.read_schema(path).names)
    except (OSError, pa.ArrowInvalid) as error:
        raise FleetError(f"{path} cannot be read as a table: {error}") from error


def _schema(rows: list[Mapping[str, object]]) -> Any:
    """Types by column, from all rows: a column of nothing but None is text."""
    import pyarrow as pa

    names = list(dict.fromkeys(name for row in rows for name in row))
    fields = []
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            kind = pa.array(values).type
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            # Whole numbers and fractions in one column are fractions; anything else that is mixed is an error.
            try:
                kind = pa.array(values, pa.float64()).type
            except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
                raise FleetError(f"the job's column {name!r} holds values of several kinds: {error}") from error
        fields.append(pa.field(name, pa.string() if pa.types.is_null(kind) else kind))
    return pa.schema(fields)
