"""Virtual markers of a mesh that moves: archetypal analysis of its vertices.

Archetypal analysis (Cutler & Breiman, Technometrics 1994) explains columns X [d, v] by
k convex mixtures of them, X ~ X B A, columns of A and B on the simplex. A column here
is the path of one vertex through all frames: A must do for every body and pose at once.
VirtualMarker (Ma et al., CVPR 2023) chose its 64 markers so, each archetype being
replaced by the vertex next to it. Both steps are non-negative least squares, scipy's.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls
from scipy.spatial import cKDTree

from gaitjax.errors import GaitError

LOST = 1e-6  # chosen: share of the squared size that the fit need not see
STEPS = 12  # chosen: of the alternation; the error of the walkers settles before
SUM = 100.0  # chosen: weight of "sums to one" against paths of size one


def markers(
    meshes: np.ndarray, k: int, mirror: np.ndarray | None = None, seed: int = 0
) -> np.ndarray:
    """k vertices of a mesh sequence f[s, v, 3] whose mixtures explain all: i32[k].

    mirror: i[v], each vertex's image; the choice is then its own mirror image. Frames
    with NaN are left out.
    """
    meshes = _known(meshes)
    num_vertices = meshes.shape[1]
    image = np.arange(num_vertices) if mirror is None else np.asarray(mirror)
    check_mirror(image, num_vertices, "vertices")
    paths = compress(_both(_paths(meshes), image))
    chosen = farthest(paths, k, image, np.random.default_rng(seed))
    other = np.array([chosen.tolist().index(image[vertex]) for vertex in chosen])
    points = paths[:, chosen]  # [d, k]
    for _ in range(STEPS):
        shares = simplex(points, paths)  # A [k, v]
        best = np.linalg.lstsq(shares.T, paths.T)[0].T  # points, these shares given
        mixture = simplex(paths, best)  # B [v, k], the nearest mixtures of vertices
        points = paths @ (mixture + mixture[image][:, other]) / 2
    return _nearest_vertices(points, paths, image, other)


def interpolation(
    meshes: np.ndarray,
    points: np.ndarray,
    mirror: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """Convex weights f32[m, v] that explain meshes f[s, v, 3] by points f[s, m, 3].

    Column by column >= 0, sum 1; the vertices are about weights.T @ points. mirror: of
    the points i[m] and of the vertices i[v]; the weights are then their own mirror
    image. Frames with NaN in either are left out.
    """
    num_points = points.shape[1]
    both = _known(np.concatenate([points, meshes], 1))
    paths = _paths(both)
    if mirror is not None:
        check_mirror(mirror[0], num_points, "points")
        check_mirror(mirror[1], meshes.shape[1], "vertices")
        image = np.concatenate([mirror[0], num_points + np.asarray(mirror[1])])
        paths = _both(paths, image)
    paths = compress(paths)
    weights = simplex(paths[:, :num_points], paths[:, num_points:])
    if mirror is not None:  # rounding and ties
        weights = (weights + weights[mirror[0]][:, mirror[1]]) / 2
    return weights.astype(np.float32)


def errors(weights: np.ndarray, points: np.ndarray, meshes: np.ndarray) -> np.ndarray:
    """Distance f[s, v] of the vertices to weights.T @ points, in their unit."""
    made = np.einsum("mv,smi->svi", weights, points, optimize=True)
    return np.linalg.norm(made - meshes, axis=-1)


def mirror_of(template: np.ndarray, axis: int = 0) -> np.ndarray:
    """Every vertex's image i32[v] in a mirror across `axis`, of a symmetric f[v, 3].

    Raises GaitError where the vertices do not pair up.
    """
    across = np.arange(3) == axis
    middle = 0.5 * (template.min(0) + template.max(0))
    other = np.where(across, 2 * middle - template, template)
    image = cKDTree(other).query(template)[1].astype(np.int32)
    check_mirror(image, len(template), "vertices")
    return image


def check_mirror(image: np.ndarray, number: int, what: str) -> None:
    """GaitError where `image` does not pair up 0..number-1."""
    image = np.asarray(image)
    fits = image.shape == (number,) and image.dtype.kind in "iu"
    fits = fits and image.min() >= 0 and image.max() < number
    if not fits or (image[image] != np.arange(number)).any():
        raise GaitError(
            f"the mirror table of the {what} is no pairing of 0..{number - 1} (got "
            f"{image.dtype} {list(image.shape)}): give every one's image, whose image "
            "it is"
        )


def farthest(
    paths: np.ndarray, k: int, image: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """k columns of f[d, v] far apart, each with its image, the first one farthest from
    a random one: i[k]."""
    alone = image == np.arange(len(image))
    if not 1 <= k <= len(image) or (k % 2 and not alone.any()):
        raise GaitError(
            f"{k} markers of {len(image)} vertices, {alone.sum()} of them their own "
            "mirror image: give a number from 1 to all, even where there is no such one"
        )
    least = ((paths - paths[:, [rng.integers(len(image))]]) ** 2).sum(0)
    chosen: list[int] = []
    while len(chosen) < k:
        left = k - len(chosen)
        room = np.full(len(image), True)
        room[chosen] = False
        if left == 1:
            room &= alone
        elif left % 2 == 0 and (room & alone).sum() < 2:
            room &= ~alone  # the rest goes in pairs
        pick = int(np.where(room, least, -np.inf).argmax())
        least = least if chosen else np.full(len(image), np.inf)
        for vertex in dict.fromkeys((pick, int(image[pick]))):
            chosen.append(vertex)
            apart = ((paths - paths[:, [vertex]]) ** 2).sum(0)
            least = np.minimum(least, apart)
    return np.array(chosen)


def simplex(points: np.ndarray, paths: np.ndarray) -> np.ndarray:
    """Mixtures f[k, v] of columns f[d, k] nearest to columns f[d, v].

    Cutler and Breiman's way: a heavy row of ones asks for the sum, which is exact after
    dividing by it.
    """
    size = SUM * np.sqrt((paths**2).sum(0).max())
    tall = np.vstack([points, np.full((1, points.shape[1]), size)])
    if len(tall) > tall.shape[1]:  # as many rows as columns say the same
        base, tall = np.linalg.qr(tall)
    else:
        base = np.eye(len(tall))
    wanted = base.T @ np.vstack([paths, np.full((1, paths.shape[1]), size)])
    shares = np.stack([nnls(tall, column)[0] for column in wanted.T], 1)
    return shares / shares.sum(0)


def compress(paths: np.ndarray) -> np.ndarray:
    """Columns f[d, v] in as few rows as keep their distances, but for LOST."""
    if paths.shape[0] > paths.shape[1]:
        paths = np.linalg.qr(paths, mode="r")
    values, vectors = np.linalg.eigh(paths @ paths.T)
    kept = np.cumsum(values) > LOST * values.sum()
    return vectors[:, kept].T @ paths


def _paths(meshes: np.ndarray) -> np.ndarray:
    """Points f[s, v, 3] as columns f64[3 s, v], each frame around its middle.

    The middle does not matter to mixtures, nor does a rotation of a frame.
    """
    centred = meshes - meshes.mean(1, keepdims=True)
    return centred.transpose(0, 2, 1).reshape(-1, meshes.shape[1])


def _both(paths: np.ndarray, image: np.ndarray) -> np.ndarray:
    """The paths and those of the mirrored bodies; the sign of the mirrored axis is a
    rotation of rows and left out."""
    if (image == np.arange(len(image))).all():
        return paths
    return np.concatenate([paths, paths[:, image]])


def _known(meshes: np.ndarray) -> np.ndarray:
    if meshes.ndim != 3 or meshes.shape[2] != 3:
        raise GaitError(
            f"expected a mesh sequence [s, v, 3], got {list(meshes.shape)}; "
            "give one array of all frames"
        )
    known = np.isfinite(meshes).all((1, 2))
    if not known.any():
        raise GaitError("no frame of the meshes is without NaN; give others")
    return meshes[known].astype(np.float64)


def _nearest_vertices(
    points: np.ndarray, paths: np.ndarray, image: np.ndarray, other: np.ndarray
) -> np.ndarray:
    """Vertices nearest to points f[d, k], no two the same, images for images."""
    alone = image == np.arange(len(image))
    free = np.full(len(image), True)
    chosen = np.empty(len(other), np.int32)
    for point, pair in enumerate(other):
        if pair < point:
            continue
        apart = ((paths - points[:, [point]]) ** 2).sum(0)
        room = free & (alone if pair == point else ~alone)
        pick = int(np.where(room, apart, np.inf).argmin())
        chosen[[point, pair]] = pick, image[pick]
        free[[pick, image[pick]]] = False
    return chosen
