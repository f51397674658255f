"""A supervised method that embeds the silhouettes twice, once with scaled dims."""

import dataclasses

import jax

from gaitjax.methods import supervised


def make(info, *, dtype, **kwargs):
    base = supervised.make(info, dtype=dtype, **kwargs)

    def embed(params, model_state, batch, rng=None):
        (sils,) = base.embed(params, model_state, batch).values()
        weights = jax.random.normal(jax.random.key(1), (sils.shape[-1],))
        return {"sils": sils, "scaled": sils * (1 + weights)}

    return dataclasses.replace(base, embed=embed)
