"""What became of every input: a table beside the prepared set, and its summary."""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from gaitjax.files import write_atomically

FILE = "manifest.tsv"
SHORT = 15  # frames; chosen: half of the usual training clip


@dataclasses.dataclass(frozen=True)
class Row:
    """One input sequence, or something else that lay in the tree.

    path: within the source, `<id>/<type>/<view>` for a sequence. status: `kept`;
    `damaged` (kept, without frames that cannot be read); `dropped`; `outside` (its id
    is in no split); `ignored` (no sequence). note: `kind: what`, more of them joined
    by "; ".
    """

    path: str
    split: str
    status: str
    frames: int = 0
    note: str = ""

    @property
    def kinds(self) -> list[str]:
        """The kinds of its notes."""
        return [note.partition(":")[0] for note in self.note.split("; ") if note]


def write(path: pathlib.Path, rows: Iterable[Row]) -> None:
    """Writes the table, tabs between columns, whole or not at all."""
    text = io.StringIO()
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow([field.name for field in dataclasses.fields(Row)])
    table.writerows(dataclasses.astuple(row) for row in rows)
    write_atomically(path, text.getvalue())


def read(path: pathlib.Path) -> list[Row]:
    """The rows that `write` wrote."""
    with path.open(newline="", encoding="utf-8") as file:
        table = csv.DictReader(file, delimiter="\t")
        return [Row(**{**row, "frames": int(row["frames"])}) for row in table]


def failed(rows: Sequence[Row]) -> bool:
    """Whether something was lost to an error: what exit code 3 says."""
    return any(row.status in ("dropped", "damaged") for row in rows)


def summary(rows: Sequence[Row]) -> Iterator[str]:
    """Lines with the counts: kept, dropped and why, what is worth knowing."""
    by_status = collections.defaultdict(list)
    for row in rows:
        by_status[row.status].append(row)
    kept = by_status["kept"] + by_status["damaged"]
    yield _kept(kept, len(kept) + len(by_status["dropped"]))
    notes = collections.Counter(kind for row in kept for kind in row.kinds)
    if notes:
        yield f"of those kept, {_counts(notes)}"
    if dropped := by_status["dropped"]:
        kinds = collections.Counter(row.kinds[0] for row in dropped)
        yield f"dropped {len(dropped)}: {_counts(kinds)}"
        first = {row.kinds[0]: row for row in reversed(dropped)}
        yield from (f"  {row.path}: {row.note}" for row in first.values())
    if outside := by_status["outside"]:
        ids = {row.path.partition("/")[0] for row in outside}
        yield f"left out {len(outside)} of {len(ids)} ids that are in no split"
    if ignored := by_status["ignored"]:
        some = ", ".join(row.path for row in ignored[:3])
        yield f"ignored {len(ignored)} stray files and folders ({some})"


def _kept(kept: Sequence[Row], number: int) -> str:
    splits = collections.Counter(row.split for row in kept)
    line = f"kept {len(kept)} of {number} sequences ({_counts(splits)})"
    if not kept:
        return line
    frames = np.array([row.frames for row in kept])
    line += f"; frames {frames.min()} to {frames.max()}, median {np.median(frames):.0f}"
    return line + f"; {(frames < SHORT).sum()} shorter than {SHORT}"


def _counts(counter: collections.Counter) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common())
