"""The only importer of Orbax: what a checkpoint holds, saved and restored.

Three items: `model` (params, model_state, ema), `optim` (the optimiser's state) and
`side` (JSON: step, round and its labels, config, label names, versions).
Evaluation reads `model` alone; weights alone (see `weights`) have no `optim`.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from gaitjax.arguments import at_least
from gaitjax.errors import GaitError
from gaitjax.runtime.state import TrainState


class Checkpoints:
    """The `checkpoints/` folder of a run."""

    def __init__(
        self,
        workdir: pathlib.Path,
        *,
        every: int = 1000,
        keep: int = 2,
        best: str | None = None,
    ):
        """every: steps between saves. keep: how many of the last ones stay. best:
        the metric (such as `NM/rank-1`, on the validation identities) whose best
        checkpoint stays beside them: the highest, of a `.../loss` the lowest.
        """
        at_least(1, ckpt__every=every, ckpt__keep=keep)
        sign = -1 if (best or "").endswith("/loss") else 1
        policies = [checkpoint_managers.LatestN(keep)]
        if best:
            policies.append(
                checkpoint_managers.BestN(
                    get_metric_fn=lambda metrics: sign * metrics[best],
                    n=1,
                    keep_checkpoints_without_metrics=False,
                )
            )
        self.every, self.best = every, best
        self._manager = ocp.CheckpointManager(
            workdir.absolute() / "checkpoints",  # several processes insist on it
            item_handlers={  # named, or a new process could not read their shapes
                "model": ocp.StandardCheckpointHandler(),
                "optim": ocp.StandardCheckpointHandler(),
                "side": ocp.JsonCheckpointHandler(),
            },
            options=ocp.CheckpointManagerOptions(
                preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
                # Orbax writes metrics down only where it is told how to rank them.
                best_fn=(lambda metrics: sign * metrics[best]) if best else None,
            ),
        )

    def latest(self) -> int | None:
        """The step of the newest whole checkpoint, or None."""
        return self._manager.latest_step()

    def best_step(self) -> int | None:
        """The step of the best checkpoint by `ckpt.best`, or None."""
        return self._manager.best_step()

    def score(self, step: int) -> float | None:
        """The value of `ckpt.best` at a step, where it was measured."""
        metrics = self._manager.metrics(step)
        return None if metrics is None else metrics[self.best]

    def save(
        self,
        step: int,
        state: TrainState,
        side: Mapping[str, Any],
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """Writes in the background; a step that is already there is left alone.

        Raises GaitError where this save, or the one before it, did not come through.
        """
        if step in self._manager.all_steps():
            return
        items = ocp.args.Composite(
            model=ocp.args.StandardSave(_model(state)),
            optim=ocp.args.StandardSave(
                {"step": state.step, "opt_state": state.opt_state}
            ),
            side=ocp.args.JsonSave(dict(side)),
        )
        metrics = dict(metrics) if metrics and self.best else None
        with self._explained():
            self._manager.save(step, args=items, metrics=metrics, force=True)

    def save_model(
        self, step: int, model: Mapping[str, Any], side: Mapping[str, Any]
    ) -> None:
        """A checkpoint of parameters and model state alone (see `runtime.weights`)."""
        items = ocp.args.Composite(
            model=ocp.args.StandardSave(dict(model)),
            side=ocp.args.JsonSave(dict(side)),
        )
        with self._explained():
            self._manager.save(step, args=items, force=True)

    def restore(self, step: int, like: TrainState) -> TrainState:
        """The whole state of a step, in the structure and sharding of `like`."""
        model = self.restore_model(step, like)
        optim = {"step": like.step, "opt_state": like.opt_state}
        _check_shapes(self._saved(step, "optim"), optim, self._where(step))
        restored = self._restore(step, "optim", optim)
        return like.replace(
            step=restored["step"],
            opt_state=restored["opt_state"],
            params=model.params,
            model_state=model.model_state,
            ema=model.ema,
        )

    def restore_model(self, step: int, like: TrainState) -> TrainState:
        """`like` with parameters and model state of a step; no optimiser is read."""
        model = _model(like)
        _check_shapes(self._saved(step, "model"), model, self._where(step))
        restored = self._restore(step, "model", model)
        return like.replace(
            params=restored["params"],
            model_state=restored["model_state"],
            ema=restored.get("ema"),
        )

    def side(self, step: int) -> dict[str, Any]:
        """The JSON item of a step."""
        args = ocp.args.Composite(side=ocp.args.JsonRestore())
        with self._readable(step):
            return self._manager.restore(step, args=args).side

    def saved_model(self, step: int, sharding: jax.sharding.Sharding) -> dict:
        """`params`, `model_state` and `ema` as they were saved, whatever network."""
        saved = self._saved(step, "model")
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), saved
        )
        return self._restore(step, "model", shapes)

    def wait(self) -> None:
        """Until the last save has come through."""
        with self._explained():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits for the last save, which must have come through."""
        with self._explained():
            self._manager.wait_until_finished()
            self._manager.close()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """A failure to write as one line; what is saved stays as it is."""
        try:
            yield
        except (OSError, ValueError, RuntimeError) as error:  # TensorStore has no own
            reason = " ".join(str(error).split())[:200]
            self._manager.reload()  # the one that failed is counted until then
            raise GaitError(
                f"cannot save in {self._manager.directory}: {reason}; step "
                f"{self.latest() or 'none'} is safe: make room, then type the same "
                "line again"
            ) from error

    def _restore(self, step: int, item: str, like: Any) -> Any:
        shapes = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), like
        )
        args = ocp.args.Composite(**{item: ocp.args.StandardRestore(shapes)})
        with self._readable(step):
            return self._manager.restore(step, args=args)[item]

    def _saved(self, step: int, item: str) -> Any:
        with self._readable(step):
            return self._manager.item_metadata(step)[item].tree

    @contextlib.contextmanager
    def _readable(self, step: int) -> Iterator[None]:
        """A failure to read as one line; Orbax and TensorStore raise all sorts."""
        try:
            yield
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise GaitError(
                f"cannot read {self._where(step)}: {reason}; delete it to go on from "
                "the checkpoint before it"
            ) from error

    def _where(self, step: int) -> str:
        return str(pathlib.Path(self._manager.directory) / str(step))


def open_checkpoints(
    workdir: pathlib.Path,
    *,
    every: int = 1000,
    keep: int = 2,
    best: str | None = None,
) -> Checkpoints:
    """The config's `ckpt` section; see `Checkpoints`."""
    return Checkpoints(workdir, every=every, keep=keep, best=best)


def differences(
    saved: Any, wanted: Any, among: Collection[str] | None = None
) -> list[str]:
    """A line for every array that only one side has, or whose shapes differ.

    among: the names that matter, by default all.
    """
    saved, wanted = _named_shapes(saved), _named_shapes(wanted)
    lines = []
    for name in sorted(saved.keys() | wanted.keys() if among is None else among):
        there, here = saved.get(name), wanted.get(name)
        if there != here:
            lines.append(f"{name} ({there or 'absent'} there, {here or 'absent'} here)")
    return lines


def take_matching(saved: Any, wanted: Any) -> tuple[Any, int]:
    """`wanted` with the saved arrays that have its names and shapes; how many."""
    saved_leaves, _ = jax.tree_util.tree_flatten_with_path(saved)
    by_name = {"/".join(_key(k) for k in path): leaf for path, leaf in saved_leaves}
    kept = 0

    def pick(path: tuple, leaf: jax.Array) -> jax.Array:
        nonlocal kept
        other = by_name.get("/".join(_key(k) for k in path))
        if other is None or np.shape(other) != np.shape(leaf):
            return leaf
        kept += 1
        return other

    return jax.tree_util.tree_map_with_path(pick, wanted), kept


def names(tree: Any) -> list[str]:
    """The name of every leaf, in the order of the leaves."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return ["/".join(_key(k) for k in path) for path, _ in leaves]


def _model(state: TrainState) -> dict[str, Any]:
    model = {"params": state.params, "model_state": state.model_state}
    return model if state.ema is None else {**model, "ema": state.ema}


def _check_shapes(saved: Any, wanted: Any, where: str) -> None:
    lines = differences(saved, wanted)
    if lines:
        more = f" and {len(lines) - 4} more" if len(lines) > 4 else ""
        hint = "of another network"
        if all("necks/kernel" in line for line in lines):
            hint = "with another number of classes"
        raise GaitError(
            f"{where} is a checkpoint {hint}: {'; '.join(lines[:4])}{more}; use the "
            "config it was trained with, or train.init_from in a new --workdir"
        )


def _named_shapes(tree: Any) -> dict[str, str]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        "/".join(_key(k) for k in path): "x".join(map(str, np.shape(leaf))) or "scalar"
        for path, leaf in leaves
        if hasattr(leaf, "shape")
    }


def _key(key: Any) -> str:
    """The name of a step in a tree path, whichever kind of container it is in."""
    for field in ("key", "name", "idx"):
        if hasattr(key, field):
            return str(getattr(key, field))
    return str(key)
