"""Rivals without a network, under the same protocol: chance, size, and the GEI.

usage: python tools/baselines.py --config configs/walkers.py[:variant] [--out FILE]

Size: nearest neighbour on standardised height, width and area statistics of the
silhouettes. GEI: nearest neighbour on the gait energy image (the mean silhouette).
"""

from __future__ import annotations

import argparse
import runpy
import sys

import numpy as np
from tqdm import tqdm

from gaitjax.data.augment import cut_sides
from gaitjax.data.pipeline import make_data
from gaitjax.data.records import Split
from gaitjax.errors import GaitError
from gaitjax.report import tables
from gaitjax.retrieval import baselines, protocols, search


def main() -> None:
    """Prints a table per rival."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True)
    parser.add_argument("--out", help="write the rows to this JSON file, too")
    options = parser.parse_args()
    path, _, variant = options.config.partition(":")
    get_config = runpy.run_path(path)["get_config"]
    data = make_data(**get_config(variant).data.to_dict())
    _, reference = features(data.train)
    gei, size = features(data.test)
    rivals = {"gei": gei, "size": baselines.standardise(size, reference)}
    rows = []
    for name, embedding in rivals.items():
        for protocol in protocols.for_dataset(data.name):
            found = search.evaluate({name: embedding}, data.test.index, protocol)
            rows += found.rows
    print(tables.results_table(rows))
    print(f"\nchance: {100 / len(set(data.test.index.subject)):.1f} % Rank-1")
    if options.out:
        tables.write_json(options.out, rows)


def features(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """The energy image and the size statistics of every sequence, f32 [n, 1, d]."""
    split = split.with_keys(("sils",))
    gei, size = [], []
    for row in tqdm(range(len(split)), f"reading {split.name}"):
        clip = cut_sides(split[row]["sils"])
        gei.append(baselines.gait_energy_image(clip))
        size.append(baselines.size_statistics(clip))
    return np.stack(gei), np.stack(size)


if __name__ == "__main__":
    try:
        main()
    except (GaitError, OSError) as error:
        sys.exit(f"error: {error}")
