"""What a round of Selective Fusion has besides its steps: the share of its time.

Neighbours, a clusterer, memory, as in `gaitjax/bench/cluster.py`, at the size of
CASIA-BN's training split (made-up features), beside a step of training of the published
recipe on made-up silhouettes; with `quick` a small set and the narrow recipe. Of the
paper's later rounds, which have 100 steps; extraction is left out, and so is reading:
the loop's `data_wait` says what of that is not behind the steps.

On a CPU, whose memory the published batch may not fit, its step is that of an eighth of
the batch, times eight.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import jax

from configs import casia_bn_selective_fusion
from gaitjax.bench import cluster, network, train
from gaitjax.bench.measure import Row, interleaved, row
from gaitjax.retrieval import clusters
from gaitjax.runtime import mesh

# CASIA-BN: sequences of its 74 training people; strips of GaitSet and numbers in each.
PAPER, SMALL = (74 * 110, 62 * 256), (2_000, 2_048)
EIGHTH = 8


def run(quick: bool) -> list[Row]:
    """Seconds of each, and the share."""
    mesh.check_device(None)
    config = casia_bn_selective_fusion.get_config("walkers" if quick else None)
    config, parts = config.to_dict(), 1
    if jax.default_backend() == "cpu" and not quick:
        config["data"]["k"] //= EIGHTH
        parts = EIGHTH
    num, d = SMALL if quick else PAPER
    return list(rows(num, d, config, parts, 3 if quick else 2))


def rows(num: int, d: int, config: Mapping, parts: int, times: int) -> Iterator[Row]:
    """Of a set of one size. parts: steps of the config that are as long as one."""
    label = f"a round of {num:,} x {d:,}"
    x, _ = cluster.made_up(num, d)
    near = clusters.nearest(x, cluster.NEIGHBOURS)
    labels = clusters.numbered(cluster.clusterers()["dbscan"](*near), 4)
    calls = cluster.between_steps(x, near, labels)
    step, size = a_step(config)
    took = interleaved({**calls, size: step}, times)
    for name, values in took.items():
        yield row(f"{label}: {name}", "s", values)
    steps = [cluster.ROUND * parts * value for value in took[size]]
    yield row(f"{label}: its {cluster.ROUND} steps", "s", steps)
    for name in cluster.clusterers():
        rest = zip(took["neighbours"], took[name], took["memory"], strict=True)
        found = [
            100 * sum(one) / (sum(one) + all_)
            for one, all_ in zip(rest, steps, strict=True)
        ]
        yield row(f"{label}: all but its steps, with {name}", "%", found)


def a_step(config: Mapping) -> tuple[Callable[[], object], str]:
    """A step of training on made-up silhouettes, and what it is called."""
    precision = config["train"]["precision"]
    if jax.default_backend() == "cpu":
        precision = "float32"
    recipe = network.Recipe("selective_fusion", config, 1, {"sils": (64, 44)})
    # A classifier of views has its say between the rounds alone.
    args = {**config["method_args"], "fuse_views": False}
    built = network.build(recipe, args, precision)
    n, t = built.batch["mask"].shape
    return train.ours(built, 1).once, f"a step of {n} x {t} frames, {precision}"
