"""Synthetic walkers, the data everybody has: numpy only, never jax."""

from gaitjax.walkers.look import KEYS, Shot, frame_shapes, look
from gaitjax.walkers.play import play
from gaitjax.walkers.sequence import (
    CONDITIONS,
    VERSION,
    Identity,
    Sensors,
    Spread,
    make_identity,
    make_sequence,
    make_wear,
)

__all__ = [
    "CONDITIONS",
    "KEYS",
    "VERSION",
    "Identity",
    "Sensors",
    "Shot",
    "Spread",
    "frame_shapes",
    "look",
    "make_identity",
    "make_sequence",
    "make_wear",
    "play",
]
