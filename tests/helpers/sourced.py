"""A method that decides itself which records make a batch: the next eight."""

import dataclasses

import numpy as np

from gaitjax.methods import supervised


def make(info, *, dtype, **kwargs):
    base = supervised.make(info, dtype=dtype, **kwargs)

    def source(index, seed, step, labels, bank):
        return np.arange(8 * step, 8 * step + 8)

    return dataclasses.replace(base, source=source)
