"""Is this code still equal to the reference? Every item of a folder of goldens.

An item is <network>, train/<network>, losses/<name> or eval/<name>; the format is that
of tests/goldens/README.md. tools/check_parity.py prints what this returns.
"""

from __future__ import annotations

import fnmatch
import os
import pathlib
from collections.abc import Iterable, Iterator

from gaitjax.errors import GaitError
from gaitjax.interop.goldens import Row, failed
from gaitjax.interop.parity_losses import check_loss
from gaitjax.interop.parity_networks import check_network
from gaitjax.interop.parity_protocols import check_protocol
from gaitjax.interop.parity_training import check_training


def check(folder: str | os.PathLike, only: Iterable[str] = ()) -> list[Row]:
    """The comparisons of every item, or of those that match a pattern of `only`."""
    return [row for item in items(folder, only) for row in check_item(folder, item)]


def items(folder: str | os.PathLike, only: Iterable[str] = ()) -> list[str]:
    """What a folder holds: networks, then training steps, losses and protocols.

    Raises GaitError for a folder without any, and for a pattern that nothing matches.
    """
    folder, only = pathlib.Path(folder), list(only)
    there = list(_items(folder))
    if not there:
        raise GaitError(
            f"{folder} holds no goldens; expected <network>.json and .npz, inputs.npz, "
            "train/, losses/ or eval/"
        )
    for pattern in only:
        if not fnmatch.filter(there, pattern):
            raise GaitError(
                f"{folder} has no {pattern}; there are {', '.join(there[:40])}"
            )
    return [
        name
        for name in there
        if not only or any(fnmatch.fnmatchcase(name, pattern) for pattern in only)
    ]


def check_item(folder: str | os.PathLike, item: str) -> list[Row]:
    """The comparisons of one item; one that breaks down is a failed row."""
    kind, _, name = item.rpartition("/")
    try:
        if kind == "losses":
            return check_loss(folder, item)
        checks = {"": check_network, "train": check_training, "eval": check_protocol}
        return checks[kind](folder, name)
    except Exception as error:  # one bad item must not hide the others
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return [failed(item, "error", reason[:300])]


def _items(folder: pathlib.Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.npz")):
        if path.stem != "inputs":
            yield path.stem
    for kind in ("train", "losses", "eval"):
        for path in sorted((folder / kind).glob("*.npz")):
            yield f"{kind}/{path.stem}"
