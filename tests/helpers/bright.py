"""A classifier of front and back that takes bright sequences for these; to be a base,
never to be trained."""

import jax.numpy as jnp

from gaitjax.methods.api import Method


def make(info, *, dtype):
    def init(rng, batch):
        return {"threshold": jnp.zeros(())}, {}

    def embed(params, model_state, batch, rng=None):
        sils = batch["sils"].astype(jnp.float32)
        size = batch["mask"].sum(1) * sils.shape[2] * sils.shape[3]
        is_bright = sils.sum((1, 2, 3)) / size > params["threshold"]
        return {"sils": jnp.stack([~is_bright, is_bright], -1)[:, None] * 1.0}

    return Method(
        train_keys=("sils",), embed_keys=("sils",), init=init, loss=None, embed=embed
    )
