"""Draws contact sheets of the synthetic walkers: PNG, or GIF where they walk.

usage: python tools/show_walkers.py FOLDER [--sheet NAME ...] [--seed 0] [--subject 0]

Writes FOLDER/<sheet>.png and .gif: one_walker (from all sides), many_walkers (from one
side), conditions, modalities, body (surface, markers, joints).
"""

from __future__ import annotations

import argparse
import pathlib
import sys

import numpy as np
from PIL import Image

from gaitjax.arguments import between
from gaitjax.errors import GaitError
from gaitjax.walkers.sheets import sheets

FPS = 15


def main() -> None:
    """Draws every sheet asked for, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--sheet", nargs="+", choices=list(sheets()))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--subject", type=int, default=0)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--zoom", type=int, default=1)
    options = parser.parse_args()
    try:
        between(1, 100, frames=options.frames)
        between(1, 8, zoom=options.zoom)
        options.folder.mkdir(parents=True, exist_ok=True)
        for name in options.sheet or sheets():
            movie = sheets()[name](options.seed, options.subject, options.frames)
            movie = movie.repeat(options.zoom, 1).repeat(options.zoom, 2)
            save(options.folder / name, movie)
    except OSError as error:
        sys.exit(f"error: {error.strerror}: {error.filename}; choose another folder")
    except GaitError as error:
        sys.exit(f"error: {error}")


def save(path: pathlib.Path, movie: np.ndarray) -> None:
    """The middle frame as PNG, all of them as a GIF that repeats."""
    frames = [Image.fromarray(frame) for frame in movie]
    frames[len(frames) // 2].save(path.with_suffix(".png"), optimize=True)
    small = [frame.quantize(48, dither=Image.Dither.NONE) for frame in frames]
    small[0].save(
        path.with_suffix(".gif"),
        save_all=True,
        append_images=small[1:],
        duration=1000 // FPS,
        loop=0,
    )
    print(f"{path}.png, {path}.gif: {movie.shape[2]} x {movie.shape[1]} pixels")


if __name__ == "__main__":
    main()
