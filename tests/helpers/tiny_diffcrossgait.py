"""DiffCrossGait on a few pixels, with parameters through which everything passes."""

import jax
import jax.numpy as jnp
import numpy as np

from gaitjax.methods import api

SHAPES = {"sils": (8, 6), "ranges": (8, 6, 3)}
LABELS = np.array([0, 0, 1, 1, 2, 2, 3, 3], np.int32)
ARGS = dict(
    channels=(4, 6),
    strides=(2, 1),
    bins=(4,),
    features=5,
    denoiser_features=8,
    denoiser_heads=2,
)


def make(dtype=jnp.float32, shapes=SHAPES, **kwargs):
    info = api.Info(num_classes=4, shapes=shapes)
    return api.make("diffcrossgait", info, {**ARGS, **kwargs}, dtype)


def make_batch(n=8, t=2, seed=0, shapes=SHAPES):
    rng = np.random.default_rng(seed)
    batch = {
        key: rng.integers(0, 256, (n, t, *shape), dtype=np.uint8)
        for key, shape in shapes.items()
    }
    return batch | {"label": LABELS[:n], "mask": np.ones((n, t), np.float32)}


def random_like(shapes):
    """Without the zeros of an initialisation, through which nothing passes."""
    rng = np.random.default_rng(0)

    def value(path, leaf):
        noise = rng.standard_normal(leaf.shape)
        if path[-1].key in ("scale", "var"):
            noise = 1 + 0.1 * abs(noise)
        elif path[-1].key == "token":
            pass
        else:
            noise /= max(np.prod(leaf.shape[:-1]), 4) ** 0.5
        return noise.astype(np.float32)

    return jax.tree_util.tree_map_with_path(value, shapes)


def random_variables(method, batch):
    """(params, model_state) of its shapes; nothing is compiled."""
    shapes = jax.eval_shape(method.init, jax.random.key(0), batch)
    return random_like(shapes)
