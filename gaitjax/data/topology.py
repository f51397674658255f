"""What 3D labels of a set have in common: left and right, triangles, mixtures.

Joints are SMPL's everywhere. Markers and vertices are the set's own: `topology.npz`
beside its records says more of them (tools/make_markers.py writes one), the walkers
know theirs. All of it is optional; what needs a table says so where it is missing.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from gaitjax.data import schema
from gaitjax.data.archetypes import check_mirror
from gaitjax.errors import GaitError
from gaitjax.walkers import mesh

FILE = "topology.npz"


@dataclasses.dataclass(frozen=True)
class Topology:
    """mirrors: of a label, every point's image with left and right changed, i[p].

    markers: the vertices that are markers, i[64]. weights: f32 [24 + 64, v], vertices
    as convex mixtures of joints and markers. faces: i[f, 3].
    """

    mirrors: Mapping[str, np.ndarray]
    markers: np.ndarray | None = None
    weights: np.ndarray | None = None
    faces: np.ndarray | None = None

    def mirror(self, keys: Sequence[str], where: str) -> dict[str, np.ndarray]:
        """The tables of labels; GaitError where one is missing in the set `where`."""
        missing = [key for key in keys if key not in self.mirrors]
        if missing:
            raise GaitError(
                f"data.flip with {', '.join(missing)}: {where} has no table of left "
                f"and right; put {FILE} with mirror_{missing[0]} there "
                "(tools/make_markers.py), or set data.flip=0"
            )
        return {key: self.mirrors[key] for key in keys}


def of_walkers() -> Topology:
    """The walkers' own."""
    mirrors = {"markers": mesh.mirror_markers(), "vertices": mesh.mirror_vertices()}
    return Topology(
        mirrors={"joints": mesh.mirror_joints(), **mirrors},
        markers=mesh.marker_indices(),
        weights=mesh.marker_weights(),
        faces=mesh.faces(),
    )


def of_set(folder: pathlib.Path) -> Topology:
    """That of a prepared set: joints alone where it has no file."""
    path = folder / FILE
    return read(path) if path.exists() else Topology({"joints": mesh.mirror_joints()})


def read(path: pathlib.Path) -> Topology:
    """Any of mirror_markers, mirror_vertices, markers, weights, faces of a file.

    Raises GaitError for a file that is none, and for tables that cannot be.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except Exception as error:  # numpy and zipfile raise all sorts
        raise GaitError(
            f"cannot read {path} ({error}); write it with tools/make_markers.py"
        ) from error
    mirrors = {"joints": mesh.mirror_joints()}
    for key in ("markers", "vertices"):
        if (table := arrays.get(f"mirror_{key}")) is not None:
            number = schema.modality(key).shape[1] or len(table)
            check_mirror(table, number, f"{key} in {path}")
            mirrors[key] = table
    others = {key: arrays.get(key) for key in ("markers", "weights", "faces")}
    found = Topology(mirrors, **others)
    _check_weights(path, found)
    return found


def num_vertices(topology: Topology) -> int | None:
    """How many vertices the body has, as far as that is known."""
    if topology.weights is not None:
        return topology.weights.shape[1]
    return len(topology.mirrors["vertices"]) if "vertices" in topology.mirrors else None


def _check_weights(path: pathlib.Path, found: Topology) -> None:
    sizes = [schema.modality(key).shape[1] for key in ("joints", "markers")]
    vertices = found.mirrors.get("vertices")
    want = [sum(sizes), len(vertices) if vertices is not None else "v"]
    got = None if found.weights is None else list(found.weights.shape)
    if got and (len(got) != 2 or got[0] != want[0] or want[1] not in ("v", got[1])):
        raise GaitError(
            f"{path}: weights are {got}, expected {want} (24 joints and 64 markers, "
            "vertices); make them with tools/make_markers.py"
        )
    number = num_vertices(found)
    markers = found.markers
    if markers is None:
        return
    inside = number is None or (markers.min() >= 0 and markers.max() < number)
    if markers.shape != (sizes[1],) or not inside:
        raise GaitError(
            f"{path}: markers are {list(markers.shape)} numbers up to {markers.max()}, "
            f"expected {sizes[1]} of {number} vertices; make them again"
        )
