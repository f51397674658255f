"""Files that are the old one or the new one, never half."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """The name to write under; it becomes `path` where the block comes to its end."""
    path = pathlib.Path(path)
    # A name of its own: two processes may be at it at the same time.
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_atomically(path: str | os.PathLike, text: str) -> None:
    """Writes a text as UTF-8."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Writes JSON, as text for people."""
    write_atomically(path, json.dumps(content, indent=1) + "\n")
