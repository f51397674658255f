"""Chooses virtual markers of a mesh that moves, and the mixtures that give it back.

usage: python tools/make_markers.py IN [OUT.npz] [--markers 64] [--seed 0]
       python tools/make_markers.py walkers [OUT.npz]

IN: .npy of vertices [s, v, 3], or .npz with `vertices`, and any of `joints` [s, 24, 3],
`mirror` i[v] (each vertex's image; `template` [v, 3], a symmetric pose, does as well)
and `faces` i[f, 3]. Many bodies and poses; a few hundred frames do. The last fifth of
the frames is kept back to measure the error.

OUT is the `topology.npz` of a prepared set: 64 markers, weights (with `joints`),
mirror_markers, mirror_vertices, faces. Without OUT, and for any number of markers, the
errors are printed alone.

`walkers` leaves the walkers' markers as they are, writes the weights of 24 joints and
these, and compares them with markers that archetypal analysis chooses.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Mapping

import numpy as np

from gaitjax import walkers
from gaitjax.data import archetypes, schema, topology
from gaitjax.errors import GaitError
from gaitjax.walkers import mesh

NUM_JOINTS, NUM_MARKERS = (
    schema.modality(key).shape[1] for key in ("joints", "markers")
)
NUM_WALKERS, NUM_FRAMES, RATE = 80, 8, 5.0  # frames at 5 Hz: a stride and more


def main() -> None:
    """Chooses, measures, writes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source")
    parser.add_argument("out", nargs="?", type=pathlib.Path)
    parser.add_argument("--markers", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        if options.source == "walkers":
            make_walkers(options.out or mesh.WEIGHTS, options.markers, options.seed)
        elif options.out and options.markers != NUM_MARKERS:
            raise GaitError(
                f"a set's markers are {NUM_MARKERS}, got --markers {options.markers}; "
                "leave it out, or leave OUT.npz out to see the errors alone"
            )
        else:
            made = make(load(options.source), options.markers, options.seed)
            if options.out:
                write(options.out, made)
    except (GaitError, OSError) as error:
        sys.exit(f"error: {error}")


def load(path: str) -> dict[str, np.ndarray]:
    """`vertices` and what else the file has."""
    try:
        with open(path, "rb") as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return {"vertices": content}
            arrays = {key: content[key] for key in content.files}
    except OSError:
        raise
    except Exception as error:  # numpy and zipfile raise all sorts
        raise GaitError(f"{path}: {error}; give .npy or .npz of numbers") from error
    if "vertices" not in arrays:
        got = ", ".join(arrays) or "nothing"
        raise GaitError(f"{path}: expected vertices [s, v, 3], it holds {got}; add it")
    want, joints = (len(arrays["vertices"]), NUM_JOINTS, 3), arrays.get("joints")
    if joints is not None and joints.shape != want:
        raise GaitError(
            f"{path}: joints are {list(joints.shape)}, expected {list(want)}, SMPL's "
            "of every frame; bring these, or leave joints out"
        )
    return arrays


def write(out: pathlib.Path, made: Mapping[str, np.ndarray]) -> None:
    """A `topology.npz`; without joints the mixtures are not those of one."""
    if made["weights"].shape[0] == NUM_MARKERS:
        made = {key: x for key, x in made.items() if key != "weights"}
        print("no joints [s, 24, 3] were given: no weights are written")
    np.savez_compressed(out, **made)
    topology.read(out)  # what its reader refuses is no such file
    print(out)


def make(arrays: Mapping[str, np.ndarray], k: int, seed: int) -> dict[str, np.ndarray]:
    """The arrays of a `topology.npz`."""
    vertices, joints = arrays["vertices"], arrays.get("joints")
    mirror = arrays.get("mirror")
    if mirror is None and "template" in arrays:
        mirror = archetypes.mirror_of(arrays["template"])
    kept = max(1, len(vertices) * 4 // 5)
    markers = archetypes.markers(vertices[:kept], k, mirror, seed)
    weights = mixtures(vertices, joints, markers, mirror, kept, "chosen markers")
    made = {"markers": markers, "weights": weights}
    if mirror is not None:
        made["mirror_vertices"] = mirror
        made["mirror_markers"] = mirror_markers(markers, mirror)
    return made | ({"faces": arrays["faces"]} if "faces" in arrays else {})


def mixtures(
    vertices: np.ndarray,
    joints: np.ndarray | None,
    markers: np.ndarray,
    mirror: np.ndarray | None,
    kept: int,
    label: str,
) -> np.ndarray:
    """Weights f32[j + m, v] of the first `kept` frames; prints the others' error."""
    points, images = vertices[:, markers], None
    if mirror is not None:
        images = mirror_markers(markers, mirror)
    if joints is not None:
        points = np.concatenate([joints, points], 1)
        if images is not None:
            images = np.concatenate([mesh.mirror_joints(), joints.shape[1] + images])
    both = None if images is None else (images, mirror)
    weights = archetypes.interpolation(vertices[:kept], points[:kept], both)
    for name, part in (("fitted", slice(kept)), ("kept back", slice(kept, None))):
        error = archetypes.errors(weights, points[part], vertices[part])
        error = 1000 * error[np.isfinite(error).all(1)]
        if error.size:
            print(
                f"{label}, {name}: {len(error)} frames, error mean {error.mean():.1f}, "
                f"median {np.median(error):.1f}, max {error.max():.1f} mm"
            )
    print(f"{label}: {(weights > 1e-4).sum(0).mean():.1f} points per vertex")
    return weights


def mirror_markers(markers: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Every marker's image among markers i[k] that are their own mirror image."""
    place = {int(vertex): i for i, vertex in enumerate(markers)}
    return np.array([place[int(mirror[vertex])] for vertex in markers])


def make_walkers(out: pathlib.Path, k: int, seed: int) -> None:
    """Weights of the walkers' own markers; the last fifth of people is kept back."""
    made = [
        walkers.make_sequence(
            seed,
            person,
            "nm",
            0,
            90.0,
            NUM_FRAMES,
            keys=("joints", "vertices"),
            sensors=walkers.Sensors(fps=RATE),
        )
        for person in range(NUM_WALKERS)
    ]
    joints, vertices = (
        np.concatenate([one[key] for one in made]) for key in ("joints", "vertices")
    )
    kept, mirror = NUM_WALKERS * 4 // 5 * NUM_FRAMES, mesh.mirror_vertices()
    own = mesh.marker_indices()
    weights = mixtures(vertices, joints, own, mirror, kept, "frozen markers")
    np.savez_compressed(out, weights=weights)
    print(out)
    chosen = archetypes.markers(vertices[:kept], k, mirror, seed)
    mixtures(vertices, joints, chosen, mirror, kept, "archetypal markers")


if __name__ == "__main__":
    main()
