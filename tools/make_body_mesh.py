"""Wraps the walkers' body mesh around the average body and writes it as an asset.

usage: python tools/make_body_mesh.py [OUT.npz]

Surface nets on a coarse grid around a fattened body in a T-pose, so that thin limbs are
a few cells thick and ringed evenly; then the vertices are drawn onto the body itself,
carried into an A-pose, which suits walking better, and evened out. Body and grid are
their own mirror image, and the mesh is kept so.
"""

from __future__ import annotations

import dataclasses
import sys

import numpy as np

from gaitjax.walkers import mesh
from gaitjax.walkers.body import SHOULDERS
from gaitjax.walkers.surface import Capsules, capsules

GRID = np.array((0.052, 0.052, 0.052))  # metres, chosen for 600 to 1000 vertices
WIDE = 1.6  # ratio of the hips
THIN = 0.045  # metres, the least radius of the fattened body
SEAM = 0.008  # metres, how widely capsules melt into one another
STEPS = 4  # of evening out


def main() -> None:
    """Net, faces, vertices, markers; then the file."""
    average = mesh.average_body()
    # Straight limbs along the grid, hips so wide that the legs stand apart.
    body = dataclasses.replace(average, hips=WIDE)
    pose = mesh.spread_out(body, arms=90.0, legs=0.0)
    around = capsules(body, pose)
    fat = [np.maximum(r, THIN) for r in (around.start_radius, around.end_radius)]
    shoulder = pose.joints[0, SHOULDERS[0]]
    net = Capsules(around.start, around.end, *fat)
    points, quads, mirror = surface_net(net, shoulder)
    points = even_out(points, quads, mirror, around)
    binding = mesh.bind(points, body, pose)
    pose = mesh.spread_out(average)
    points = mesh.follow(binding, average, pose.joints, pose.orientations)[0]
    points = even_out(points, quads, mirror, capsules(average, pose))
    faces = split(points, quads, mirror)
    out = sys.argv[1] if len(sys.argv) > 1 else mesh.ASSET
    np.savez_compressed(
        out,
        vertices=points.astype(np.float32),
        faces=faces.astype(np.int32),
        markers=spread(points, mirror, 64).astype(np.int32),
        mirror=mirror.astype(np.int32),
    )
    print(f"{out}: {len(points)} vertices, {len(faces)} faces")


def depth(points: np.ndarray, around: Capsules) -> tuple[np.ndarray, np.ndarray]:
    """Distance f[v] to the capsules melted together, and its gradient f[v, 3]."""
    _, offset, distance = mesh.nearest(points, around)
    least = distance.min(1, keepdims=True)
    share = np.exp((least - distance) / SEAM)  # [v, c]
    total = share.sum(1, keepdims=True)
    normal = offset / np.linalg.norm(offset, axis=-1, keepdims=True)
    gradient = np.einsum("vc,vci->vi", share / total, normal)
    return (least - SEAM * np.log(total))[:, 0], gradient


def surface_net(
    around: Capsules, middle: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A quad around every edge of the grid that crosses the surface, its corners in
    the cells beside that edge: points f[v, 3], quads i[q, 4] of one half (y > 0), and
    the mirror image of each point i[v]."""
    radius = np.maximum(around.start_radius, around.end_radius)[:, None]
    ends = np.concatenate([around.start[0], around.end[0]])
    # Corners stand half a cell off the middle of the body and the axis of the arms.
    middle = middle * (1.0, 0.0, 1.0)
    low = np.floor((ends.min(0) - radius.max() - middle) / GRID) - 0.5
    high = np.ceil((ends.max(0) + radius.max() - middle) / GRID) + 0.5
    count = (high - low).astype(int) + 1
    corner = np.indices(count).reshape(3, -1).T
    inside = depth(middle + (corner + low) * GRID, around)[0].reshape(count) < 0
    quads = []
    for axis in range(3):
        one, two = np.eye(3, dtype=int)[[(axis + 1) % 3, (axis + 2) % 3]]
        step = np.diff(inside.astype(int), axis=axis)
        edge = np.argwhere(step)  # [q, 3], the lower corner
        ring = np.stack([edge, edge - one, edge - one - two, edge - two], 1)
        enters = step[tuple(edge.T)] > 0
        ring[enters] = ring[enters, ::-1]
        quads.append(ring)
    quads = np.concatenate(quads)  # [q, 4, 3] cells
    cells, quads = np.unique(quads.reshape(-1, 3), axis=0, return_inverse=True)
    quads = quads.reshape(-1, 4)
    place = {tuple(cell): index for index, cell in enumerate(cells)}
    mirror = np.array([place[x, count[1] - 2 - y, z] for x, y, z in cells])
    half = cells[quads][..., 1].sum(1) > 4 * (count[1] // 2 - 1)
    return middle + (cells + low + 0.5) * GRID, quads[half], mirror


def even_out(
    points: np.ndarray, quads: np.ndarray, mirror: np.ndarray, around: Capsules
) -> np.ndarray:
    """Points drawn onto the surface and, along it, between their neighbours."""
    edges = np.concatenate([quads[:, [0, 1]], quads[:, [1, 2]]])
    edges = np.concatenate([edges, quads[:, [2, 3]], quads[:, [3, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    edges = np.unique(np.concatenate([edges, mirror[edges]]), axis=0)
    count = np.bincount(edges[:, 0])[:, None]
    for step in range(STEPS + 5):
        distance, gradient = depth(points, around)
        square = np.maximum((gradient**2).sum(1, keepdims=True), 0.1)
        if step < STEPS and step % 2:
            total = np.zeros_like(points)
            np.add.at(total, edges[:, 0], points[edges[:, 1]])
            move = 0.5 * (total / count - points)
            move -= (move * gradient).sum(1, keepdims=True) / square * gradient
        else:
            move = -distance[:, None] / square * gradient
        points = points + move
        points = 0.5 * (points + points[mirror] * (1.0, -1.0, 1.0))
    return points


def split(points: np.ndarray, quads: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Quads as triangles across their shorter diagonal, and the other half's."""
    first = np.linalg.norm(points[quads[:, 0]] - points[quads[:, 2]], axis=1)
    second = np.linalg.norm(points[quads[:, 1]] - points[quads[:, 3]], axis=1)
    longer = first > second + 1e-6  # metres, so that rounding decides nothing
    quads = np.where(longer[:, None], np.roll(quads, -1, axis=1), quads)
    faces = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    return np.concatenate([faces, mirror[faces][:, ::-1]])


def spread(points: np.ndarray, mirror: np.ndarray, number: int) -> np.ndarray:
    """Points far from each other, from the crown on, each with its mirror image."""
    alone = mirror == np.arange(len(points))
    width = np.where(alone, np.inf, 2.0 * np.abs(points[:, 1]))
    chosen, least = [], width
    pick = int(np.argmax(np.where(alone, points[:, 2], -np.inf)))
    while len(chosen) < number:
        for point in dict.fromkeys((pick, int(mirror[pick]))):
            chosen.append(point)
            apart = np.linalg.norm(points - points[point], axis=1)
            least = np.minimum(least, apart)
        room = alone if len(chosen) == number - 1 else least > 0  # no half of a pair
        pick = int(np.argmax(np.where(room, least, -1.0)))
    return np.array(chosen)


if __name__ == "__main__":
    main()
