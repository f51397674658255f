"""A method that invents its labels from the embeddings, anew every round."""

import dataclasses

import numpy as np

from gaitjax.methods import supervised


def make(info, *, dtype, **kwargs):
    base = supervised.make(info, dtype=dtype, **kwargs)

    def refresh(model_state, views, round_):
        # Sorting by one coordinate into as many groups as there are classes; two
        # records stay out.
        value = views["sils"][:, round_ % 3, 0]
        groups = np.argsort(np.argsort(value)) * info.num_classes // len(value)
        groups[np.argmax(value)] = groups[np.argmin(value)] = -1
        return groups.astype(np.int32), model_state

    return dataclasses.replace(base, refresh=refresh)
