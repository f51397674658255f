"""Rivals without a network, under the same protocol: chance, size, and the GEI.

usage: python tools/baselines.py --config configs/walkers.py[:variant] [--out FILE]

Overrides such as --config.data.name=walkers_ccpg work as in the main program. Size:
nearest neighbour on standardised height, width and area statistics of the silhouettes.
GEI: nearest neighbour on the gait energy image (the mean silhouette); where there are
range views, on the mean of what is not empty in them, too (gei_ranges), and across.
"""

from __future__ import annotations

import itertools
import sys

import numpy as np
from absl import app, flags, logging
from ml_collections import config_flags
from tqdm import tqdm

from gaitjax.data.augment import cut_sides
from gaitjax.data.pipeline import make_data
from gaitjax.data.records import Split
from gaitjax.errors import GaitError
from gaitjax.report import tables
from gaitjax.retrieval import baselines, protocols, search

CONFIG = config_flags.DEFINE_config_file("config")
OUT = flags.DEFINE_string("out", None, "Write the rows to this JSON file, too.")


def main(argv: list[str]) -> None:
    """Prints a table per rival."""
    logging.set_verbosity(logging.ERROR)
    data = make_data(**CONFIG.value.data.to_dict())
    found = []
    for pair, embeddings in rivals(data.train, data.test).items():
        roles = dict(zip(("probe", "gallery"), pair, strict=True))
        for protocol in protocols.for_dataset(data.name):
            found.append(
                search.evaluate(embeddings, data.test.index, protocol, **roles)
            )
    rows = [row for one in found for row in one.rows]
    print(tables.results_table(rows))
    print(f"\nchance: {100 / len(set(data.test.index.subject)):.1f} % Rank-1")
    if OUT.value:
        pairs = [table for one in found for table in tables.view_pairs(one)]
        tables.write_json(OUT.value, rows, view_pairs=pairs)


def rivals(train: Split, test: Split) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """Embeddings by (probe, gallery)."""
    gei, size = features(test, "sils")
    embeddings = {"gei": gei}
    if "ranges" in test.modalities:
        embeddings["gei_ranges"], _ = features(test, "ranges")
    found = {pair: embeddings for pair in itertools.product(embeddings, repeat=2)}
    size = baselines.standardise(size, features(train, "sils")[1])
    return {**found, ("size", "size"): {"size": size}}


def features(split: Split, key: str) -> tuple[np.ndarray, np.ndarray]:
    """The energy image and the size statistics of every sequence, f32 [n, 1, d]."""
    split = split.with_keys((key,))
    gei, size = [], []
    for row in tqdm(range(len(split)), f"reading {split.name} {key}"):
        clip = cut_sides(split[row][key])
        if clip.ndim == 4:  # range views: where there is anything
            clip = (clip.max(-1) > 0).astype(np.uint8) * 255
        gei.append(baselines.gait_energy_image(clip))
        size.append(baselines.size_statistics(clip))
    return np.stack(gei), np.stack(size)


if __name__ == "__main__":
    try:
        app.run(main)
    except (GaitError, OSError) as error:
        sys.exit(f"error: {error}")
