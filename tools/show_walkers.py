"""Draws a contact sheet of walkers: a person per row, then one person's steps.

usage: python tools/show_walkers.py OUT.png [--seed 0] [--people 4]
"""

from __future__ import annotations

import argparse

import numpy as np
from PIL import Image

from gaitjax import walkers

CONDITIONS = ("nm", "bg", "cl")


def main() -> None:
    """Rows: each person in normal walking, with a bag, in a coat; columns: views."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--people", type=int, default=3)
    options = parser.parse_args()
    views = range(0, 181, 18)
    rows = [
        [frame(options.seed, person, condition, view) for view in views]
        for person in range(options.people)
        for condition in CONDITIONS
    ]
    steps = walkers.make_sequence(options.seed, 0, "nm", 1, 90.0, num_frames=22)
    rows.append(list(steps["sils"][::2, :, 10:-10]))
    sheet = np.concatenate([np.concatenate(row, 1) for row in rows])
    sheet = sheet.repeat(2, 0).repeat(2, 1)
    Image.fromarray(sheet).save(options.out, optimize=True)
    print(f"{options.out}: {sheet.shape[1]} x {sheet.shape[0]} pixels")


def frame(seed: int, person: int, condition: str, view: int) -> np.ndarray:
    """One picture u8 [64, 44], in the middle of a stride."""
    sequence = walkers.make_sequence(seed, person, condition, 1, float(view))
    return sequence["sils"][8, :, 10:-10]


if __name__ == "__main__":
    main()
