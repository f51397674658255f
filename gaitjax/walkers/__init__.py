"""Synthetic walkers, the data everybody has: numpy only, never jax."""

from gaitjax.walkers.sequence import (
    VERSION,
    Identity,
    Spread,
    make_identity,
    make_sequence,
    make_wear,
)

__all__ = [
    "VERSION",
    "Identity",
    "Spread",
    "make_identity",
    "make_sequence",
    "make_wear",
]
