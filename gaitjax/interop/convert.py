"""OpenGait's checkpoints as folders of weights (`runtime.weights`), and back."""

from __future__ import annotations

import ast
import dataclasses
import functools
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import yaml

from gaitjax.arguments import check, defaults, hints
from gaitjax.errors import GaitError
from gaitjax.files import replacing
from gaitjax.interop.opengait import (
    BUFFERS,
    Network,
    network_of,
    path_of,
    table_of,
    to_flax,
    to_torch,
)
from gaitjax.interop.torch_zip import read_state_dict
from gaitjax.layers.swin import relative_position
from gaitjax.methods.supervised import find_backbone, make_backbone
from gaitjax.runtime import checkpoint, weights
from gaitjax.runtime.mesh import make_mesh, replicated


def convert(
    path: str | os.PathLike,
    out: str | os.PathLike,
    *,
    config: str | os.PathLike | None = None,
    model: str | None = None,
    settings: Iterable[str] = (),
    size: tuple[int, int] | None = None,
) -> str:
    """Writes the folder `out` from a .pt file; returns a line on what it holds.

    The network is that of OpenGait's YAML file `config`, or the backbone `model` with
    `settings` such as layers=1,4,4,1 in place of its defaults. size: height and width
    of the frames, where they are not the usual ones.
    """
    state, step = read_state_dict(path)
    if config is not None:
        network = read_config(config)
    else:
        network = network_of_settings(model or "", settings, state)
    network = dataclasses.replace(network, num_classes=count_classes(state))
    shapes = frame_shapes(network, size)
    check_keys(state, network, shapes, pathlib.Path(path).name)
    variables = to_flax(state, network.table, network.num_parts)
    module = find_backbone(network.backbone)
    args = {**defaults(module.make), **network.args}
    method_args = {
        "backbone": network.backbone,
        "backbone_args": args,
        "inputs": network.inputs,
    }
    if not network.num_classes:
        method_args["ce_weight"] = 0.0  # it has no classifier
    weights.write(
        out,
        {"params": variables.pop("params"), "model_state": variables},
        {"method": "supervised", "method_args": method_args},
        step=step,
        shapes=shapes,
        num_classes=network.num_classes,
        source=f"OpenGait checkpoint {pathlib.Path(path).name}, {step} iterations",
    )
    report = key_report(state, network)
    (pathlib.Path(out) / "keys.txt").write_text("\n".join(report) + "\n")
    count = sum(x.size for key, x in state.items() if "running_" not in key)
    return (
        f"{out}: {network.backbone}, {count / 1e6:.2f} M parameters, "
        f"{network.num_classes or 'no'} classes, {step} iterations"
    )


def convert_back(workdir: str | os.PathLike, out: str | os.PathLike) -> str:
    """Writes the newest weights of a workdir as an npz with OpenGait's keys.

    They are those that evaluation uses (averaged where the run averages). Returns a
    line on what was written.
    """
    workdir, out = pathlib.Path(workdir), pathlib.Path(out)
    step, saved, config = _newest(workdir)
    args = config["method_args"]
    if config["method"] != "supervised":
        raise GaitError(
            f"{workdir} is a run of method {config['method']}; OpenGait has networks "
            "of supervised alone"
        )
    make = find_backbone(args["backbone"]).make
    backbone_args = {**defaults(make), **(args.get("backbone_args") or {})}
    params = saved.get("ema") or saved["params"]
    variables = {"params": params, **saved.get("model_state", {})}
    num_parts = params["fcs"]["kernel"].shape[0]
    table = table_of(args["backbone"], backbone_args)
    state = to_torch(jax.device_get(variables), table, num_parts)
    state |= buffers_of(state, step)
    if out.suffix != ".npz":
        raise GaitError(f"{out}: expected a name that ends in .npz")
    with replacing(out) as partial, partial.open("wb") as file:
        np.savez(file, **state)
    return f"{out}: {len(state)} arrays of {args['backbone']}, step {step}"


def read_config(path: str | os.PathLike) -> Network:
    """The network of one of OpenGait's YAML files."""
    path = pathlib.Path(path)
    try:
        content = yaml.safe_load(path.read_text())
        model_cfg = content["model_cfg"]
        dataset = content.get("data_cfg", {}).get("dataset_name")
        return network_of(model_cfg, dataset)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())[:200]
        raise GaitError(
            f"{path} is no YAML: {reason}; give OpenGait's config"
        ) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise GaitError(
            f"{path}: no network can be read from it ({error}); expected OpenGait's "
            "config with model_cfg, whole"
        ) from error


def network_of_settings(
    backbone: str, settings: Iterable[str], state: Mapping[str, np.ndarray]
) -> Network:
    """The network of a backbone of ours with `name=value` in place of defaults.

    What the arguments do not say is read from the checkpoint: parts, inputs.
    """
    module = find_backbone(backbone)
    given = dict(_setting(text, hints(module.make)) for text in settings)
    check(module.make, given, "--set")
    args = {**defaults(module.make), **given}
    heads = [x for key, x in state.items() if key.endswith("fc_bin") and x.ndim == 3]
    kernels = [x for x in state.values() if x.ndim >= 4]
    if not heads or not kernels:
        raise GaitError(
            f"the checkpoint has no fc_bin or no convolutions, expected those of "
            f"{backbone}; give the --model that wrote it"
        )
    channels = {2: "heatmaps", 3: "ranges"}
    inputs = (channels.get(kernels[0].shape[1], "sils"),)
    return Network(
        backbone=backbone,
        args=args,
        num_classes=0,
        inputs=tuple(getattr(module, "INPUTS", inputs)),
        num_parts=heads[0].shape[0],
        table=table_of(backbone, args),
    )


def count_classes(state: Mapping[str, np.ndarray]) -> int:
    """The classes of the checkpoint's own classifier, 0 where it has none."""
    for key, axis in (("BNNecks.fc_bin", -1), ("Head1.fc_bin", -1)):
        if key in state:
            return state[key].shape[axis]
    return len(state.get("reduce_cls.weight", ()))


def frame_shapes(
    network: Network, size: tuple[int, int] | None = None
) -> dict[str, tuple[int, ...]]:
    """The frames that OpenGait's network of this kind is given."""
    size = size or ((128, 88) if network.backbone == "gln" else (64, 44))
    shapes = {
        "sils": size,
        "heatmaps": (*size, 2),
        "ranges": (64, 64, 3),
        "smpl": (85,),
    }
    return {key: shapes[key] for key in network.inputs}


def check_keys(
    state: Mapping[str, np.ndarray],
    network: Network,
    shapes: Mapping[str, tuple[int, ...]],
    name: str,
) -> None:
    """Raises GaitError with all missing, unexpected and misshapen keys at once."""
    wanted = wanted_shapes(network, shapes)
    given = {k: x.shape for k, x in state.items() if not k.endswith(BUFFERS)}
    problems = {
        "missing": [f"{k} {list(wanted[k])}" for k in wanted if k not in given],
        "unexpected": [f"{k} {list(given[k])}" for k in given if k not in wanted],
        "misshapen": [
            f"{k} {list(given[k])} (wanted {list(wanted[k])})"
            for k in given
            if k in wanted and given[k] != wanted[k]
        ],
    }
    if any(problems.values()):
        listed = "; ".join(
            f"{len(keys)} {what}: {', '.join(keys)}"
            for what, keys in problems.items()
            if keys
        )
        raise GaitError(
            f"{name} is not a checkpoint of this {network.backbone}: {listed}; give "
            "the config that it was trained with"
        )


def key_report(state: Mapping[str, np.ndarray], network: Network) -> list[str]:
    """A line per key of the checkpoint: its shape, and the variable it became."""
    lines = []
    for key, array in state.items():
        what = "left out"
        if not key.endswith(BUFFERS):
            what = f"-> {path_of(key, network.table)}"
        lines.append(f"{key} {list(array.shape)} {array.dtype} {what}")
    return lines


def wanted_shapes(
    network: Network, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, tuple[int, ...]]:
    """{torch key: shape} of a network, without computing anything."""
    model = make_backbone(
        network.backbone, network.args, network.num_classes, jnp.float32
    )
    # Images without a channel axis have one channel in the network.
    frames = {
        key: np.zeros((1, 4, *shape, *((1,) if len(shape) == 2 else ())), np.float32)
        for key, shape in shapes.items()
    }
    x = frames if len(frames) > 1 else frames[network.inputs[0]]
    init = functools.partial(model.init, train=False)
    tree = jax.eval_shape(init, jax.random.key(0), x, np.ones((1, 4), np.float32))
    # Views of one zero: a table changes axes, not numbers.
    tree = jax.tree.map(lambda x: np.broadcast_to(np.float32(0), x.shape), dict(tree))
    state = to_torch(tree, network.table, network.num_parts)
    return {key: x.shape for key, x in state.items()}


def buffers_of(state: Mapping[str, np.ndarray], step: int) -> dict[str, np.ndarray]:
    """What a strict load in torch wants besides: counts, and SwinGait's index."""
    found = {}
    for key in state:
        if key.endswith("running_var"):
            count = key.replace("running_var", "num_batches_tracked")
            found[count] = np.array(step, np.int64)
        if key.endswith("relative_position_bias_table"):
            index = key.replace("bias_table", "index")
            found[index] = np.asarray(relative_position(), np.int64)
    return found


def _newest(workdir: pathlib.Path) -> tuple[int, dict, dict]:
    """(step, arrays, config) of the newest checkpoint."""
    if not (workdir / "checkpoints").is_dir():
        raise GaitError(f"{workdir} holds no checkpoints/; give a workdir")
    checkpoints = checkpoint.open_checkpoints(workdir.absolute())
    step = checkpoints.latest()
    if step is None:
        raise GaitError(f"{workdir} holds no finished checkpoint; train it first")
    saved = checkpoints.saved_model(step, replicated(make_mesh(1)))
    config = checkpoints.side(step)["config"]
    checkpoints.close()
    return step, saved, config


def _setting(text: str, expected: Mapping[str, Any]) -> tuple[str, Any]:
    """layers=1,4,4,1 -> ("layers", (1, 4, 4, 1)); words stay words."""
    name, equals, value = text.partition("=")
    if not equals:
        raise GaitError(f"--set {text}: expected name=value, as in layers=1,4,4,1")
    values = tuple(map(_literal, value.split(",")))
    if len(values) == 1 and "tuple" not in str(expected.get(name)):
        return name, values[0]
    return name, values


def _literal(word: str) -> Any:
    try:
        return ast.literal_eval(word.strip().capitalize())  # true is True
    except (ValueError, SyntaxError):
        return word.strip()
