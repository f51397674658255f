"""What a trained Mesh-Gait is looked at for besides its results.

How far predicted bodies are from the true ones on the test split, and Rank-1 where its
silhouettes are spoilt, or its clips longer or shorter. Nothing is trained.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gaitjax.bench.study import ChangedSplit
from gaitjax.data.index import Index
from gaitjax.data.pipeline import embed_batches, make_data
from gaitjax.evaluate import evaluate_state, scores
from gaitjax.methods import api, meshgait
from gaitjax.run import Run
from gaitjax.runtime.precision import with_products
from gaitjax.runtime.state import TrainState

BATCH = 4  # sequences: a frame of heat maps is up to ten megabytes
LONGEST = 50  # frames of a test clip, where lengths are compared
# (rng, frames u8[t, h, w], share) -> frames
Spoil = Callable[[np.random.Generator, np.ndarray, float], np.ndarray]


# Bodies.


def errors(run: Run, state: TrainState) -> dict[str, dict[str, float]]:
    """{label: {view: mm}} of the test split, `all` among the views; nothing of a
    network that learnt no labels.

    Mean distance of a point seen from the pelvis, then over frames of a sequence, then
    over sequences; frames without a label do not count.
    """
    if run.method.predict is None:
        return {}
    source = meshgait.labels_of(run.config["method_args"], run.data)
    split = run.data.test.with_keys(("sils", *source.keys))
    found = {
        key: np.full(len(split), np.nan)
        for key in meshgait.learnt(run.config["method_args"])
    }

    @jax.jit
    def far(model: tuple, batch: api.Batch) -> dict[str, jax.Array]:
        places = with_products(run.method.predict, run.options.precision)(*model, batch)
        true = source.places(batch, jnp.arange(batch["mask"].shape[1]))
        root = places["joints"][..., :1, :]
        return {
            key: apart(places[key] - root, meshgait.BOX * true[key], batch["mask"])
            for key in true
        }

    model = state.eval_params, state.model_state
    for records, batch in embed_batches(
        run.data,
        split,
        np.arange(len(split)),
        batch=BATCH,
        frames_limit=run.eval_options.frames_limit,
        buckets=run.eval_options.buckets,
    ):
        for key, values in far(model, batch).items():
            found[key][records] = np.asarray(values)[: len(records)]
    return {key: by_view(1000 * x, split.index) for key, x in found.items()}


def apart(found: jax.Array, wanted: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean distance [n] of points [n, t, k, 3], over frames with a label: NaN of a
    sequence without any."""
    known = mask * jnp.isfinite(wanted).all((-1, -2))  # [n, t]
    wanted = jnp.where(known[..., None, None] > 0, wanted, 0.0)
    each = jnp.linalg.norm(found - wanted, axis=-1).mean(-1)
    return (each * known).sum(1) / known.sum(1)


def by_view(values: np.ndarray, index: Index) -> dict[str, float]:
    """Means of one number per record."""
    rows = {"all": np.full(len(index), True)}
    if len(np.unique(index.view)) < 20:  # in the wild a view is a sequence's number
        rows |= {view: index.view == view for view in np.unique(index.view)}
    return {str(v): round(float(np.nanmean(values[at])), 2) for v, at in rows.items()}


# Other test clips.


def changed(
    run: Run, state: TrainState, kinds: Mapping[str, Sequence[float]]
) -> dict[str, dict[str, float]]:
    """{"noise 0.1": scores} of the test split, gallery and probes changed alike."""
    fns = {
        "noise": functools.partial(with_spoilt, noise),
        "occlusion": functools.partial(with_spoilt, occlusion),
        "frames": with_frames,
    }
    return {
        f"{kind} {value:g}": scores(evaluate_state(fns[kind](run, value), state))
        for kind, values in kinds.items()
        for value in values
    }


def with_spoilt(spoil: Spoil, run: Run, strength: float) -> Run:
    """The same with worse test silhouettes."""
    test = ChangedSplit(run.data.test, functools.partial(spoil, share=strength))
    return dataclasses.replace(run, data=dataclasses.replace(run.data, test=test))


def with_frames(run: Run, frames: int) -> Run:
    """The same people as long, then cut to so many frames.

    Silhouettes alone are made for that, and next to nobody to train on.
    """
    args = {"frames": LONGEST, "modalities": ("sils",), "num_train": 2}
    config = run.config["data"]
    longer = make_data(**config | {"args": config["args"] | args})
    return dataclasses.replace(
        run,
        data=dataclasses.replace(run.data, test=longer.test),
        eval_options=dataclasses.replace(run.eval_options, frames_limit=frames),
    )


def noise(rng: np.random.Generator, sils: np.ndarray, share: float) -> np.ndarray:
    """A share of the pixels becomes its opposite, drawn for each pixel and frame."""
    return np.where(rng.random(sils.shape) < share, 255 - sils, sils)


def occlusion(rng: np.random.Generator, sils: np.ndarray, share: float) -> np.ndarray:
    """A band as wide as the picture and `share` as high is empty, at one random height
    in all frames of the sequence. (What a real camera sees of a hidden person would be
    cut and scaled to another size, too; here it is not.)"""
    height = sils.shape[1]
    band = round(share * height)
    top = rng.integers(height - band + 1)
    sils = sils.copy()
    sils[:, top : top + band] = 0
    return sils
