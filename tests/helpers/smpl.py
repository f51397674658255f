"""A small made-up body in the form of SMPL's file."""

import numpy as np

PARENTS = [-1, 0, 0, 0, *range(1, 21)]


def smpl_content(num_betas=10, vertices=9):
    """A small file's arrays, by SMPL's names and with its types."""
    rng = np.random.default_rng(0)
    v, j = vertices, 24
    return {
        "v_template": rng.normal(size=(v, 3)),
        "shapedirs": rng.normal(size=(v, 3, num_betas)),
        "posedirs": rng.normal(size=(v, 3, 207)),
        "J_regressor": rng.dirichlet(np.ones(v), j),
        "weights": rng.dirichlet(np.ones(j), v),
        "kintree_table": np.uint32([np.array(PARENTS) % 2**32, range(j)]),
        "f": np.arange(6, dtype=np.uint32).reshape(2, 3),
        "bs_type": "lrotmin",
    }


def write_model(path, **sizes):
    """As an .npz; returns its path."""
    np.savez(path, **smpl_content(**sizes))
    return path
