"""Who is that? People are enrolled in a gallery, and probes are searched in it.

Somebody too far from everybody is unknown. Only embeddings are kept, never pictures;
docs/identify.md says who may use this on whom.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
from PIL import Image

from gaitjax.data import people
from gaitjax.data.builders.recipe import make_recipe
from gaitjax.errors import GaitError
from gaitjax.evaluate import embed, evaluate_state
from gaitjax.retrieval import protocols, verification
from gaitjax.retrieval.gallery import Found, Gallery
from gaitjax.run import Run, embedding_arrays, example_batch, open_run, restore_model
from gaitjax.runtime import weights
from gaitjax.runtime.base import digest
from gaitjax.runtime.state import TrainState

AT_ONCE = 64  # sequences in memory; chosen
FALSE_ALARMS = (0.001, 0.01, 0.05, 0.1)  # of the table that calibration prints; chosen


@dataclasses.dataclass(frozen=True)
class Network:
    """A finished run, and the view of its embeddings that is compared.

    about: what tells its embeddings from those of any other network.
    """

    run: Run
    state: TrainState
    view: str
    about: Mapping[str, Any]


def open_network(workdir: str | os.PathLike, view: str | None = None) -> Network:
    """The network of a run, or of a folder of weights that one exported.

    view: modality; may be left out where the network embeds one only.
    """
    folder = pathlib.Path(workdir).expanduser()
    config = _config(folder)
    run = open_run(weights.adopt(config, folder), folder, create=False)
    state = restore_model(run)
    model = {"params": state.eval_params, "model_state": state.model_state}
    example = example_batch(run.data, run.method)
    views = jax.eval_shape(run.method.embed, *model.values(), example)
    if view not in views and (view is not None or len(views) > 1):
        raise GaitError(f"--view is one of {', '.join(views)}, got {view}; name one")
    view = view or next(iter(views))
    shapes = run.data.shapes(run.method.embed_keys)
    about = {
        "weights": digest(weights.keep(model, embedding_arrays(run))),
        "shapes": {key: list(shape) for key, shape in shapes.items()},
        "embedding": list(views[view].shape[1:]),
        "frames_limit": run.eval_options.frames_limit,
        "precision": run.options.precision,
    }
    return Network(run, state, view, about)


def enrol(
    folder: str | os.PathLike,
    network: Network,
    gallery: str | os.PathLike,
    *,
    normalise: bool = False,
) -> Gallery:
    """Embeds all sequences of DIR/<person>/.../ and adds them to the gallery, which is
    made where it is missing; what is in it already is left out.

    normalise: arrays are masks of any size, as pictures are anyway.
    """
    found = people.find(pathlib.Path(folder).expanduser())
    if not found[0][0]:
        raise GaitError(
            f"{folder} holds frames itself; give the folder above, with one folder per "
            "person in it"
        )
    opened = _open_for(network, pathlib.Path(gallery).expanduser())
    known = zip(opened.names, opened.sequences, strict=True) if opened else ()
    new = sorted(set(found) - set(known))
    if len(new) < len(found):
        print(f"{len(found) - len(new)} sequences are in {gallery} already")
    for chosen, embeddings in embedded(folder, new, network, normalise):
        # Not before: a folder with nothing usable makes no gallery.
        opened = opened or _create(network, pathlib.Path(gallery).expanduser())
        names, sequences = zip(*chosen, strict=True)
        opened.add(embeddings, names, sequences, network=_identity(network))
    print(f"{gallery}: {len(opened)} sequences of {len(set(opened.names))} people")
    return opened


def identify(
    folder: str | os.PathLike,
    network: Network,
    gallery: Gallery,
    k: int = 5,
    *,
    normalise: bool = False,
) -> Iterator[tuple[list[str], Found]]:
    """(sequences [q], what is nearest to them) of all sequences below a folder.

    They may be of another view than the gallery where the network embeds both.
    """
    gallery.check_network({**network.about, "view": gallery.about["network"]["view"]})
    folder = pathlib.Path(folder).expanduser()
    for chosen, embeddings in embedded(folder, people.find(folder), network, normalise):
        names = [folder.name if path == "." else path for _, path in chosen]
        yield names, gallery.search(embeddings, k)


def calibrate(
    network: Network, gallery: Gallery, far: float = 0.01
) -> list[dict[str, float]]:
    """Sets the threshold beyond which a probe is unknown, in the gallery's about.json.

    It is the largest at which no more than the share `far` of strangers is given a
    name, on the validation people of the run, who were not trained on. Returns the
    rates at this one and at others (`point`).
    """
    run, view = network.run, network.view
    gallery.check_network(_identity(network))
    if not len(run.data.val_rows):
        raise GaitError(
            f"{run.workdir} has no validation people (data.val is 0), so there is "
            "nobody to set a threshold on; train with --config.data.val=0.2"
        )
    if not 0 <= far < 1:
        raise GaitError(f"--far: expected a share from 0 to below 1, got {far}")
    metric = gallery.about["metric"]
    found = evaluate_state(run, network.state, "val", (metric,))
    (first, *_) = [one for one in found if one.probe == one.gallery == view]
    seen, pairs = first.open_set, first.distances
    rows = [point(seen, share) for share in sorted({*FALSE_ALARMS, far})]
    (chosen,) = [row for row in rows if row["far_allowed"] == far]
    eer, _ = verification.equal_error(pairs.genuine, pairs.impostor)
    gallery.about["threshold"] = {
        **chosen,
        "eer_of_pairs": eer,
        "dataset": run.data.name,
        "split": "val",
        "protocol": first.protocol,
        "known": len(seen.known),
        "strangers": len(seen.stranger),
        "people": seen.num_people,
        "sequences": seen.num_items,
    }
    gallery.save()
    return rows


def point(seen: verification.OpenSet, far: float) -> dict[str, float]:
    """The threshold at a share of false alarms, and its rates, as shares.

    frr: people in the gallery who are called unknown. dir: who are rightly named.
    """
    arrays = seen.known, seen.right, seen.stranger
    rate, threshold, happened = verification.dir_at_far(*arrays, far)
    refused = float((seen.known > np.float32(threshold)).mean())
    about = {"distance": threshold, "far_allowed": far, "far": happened}
    return {**about, "frr": refused, "dir": rate}


def is_unknown(gallery: Gallery, distance: float) -> bool:
    """Whether the nearest is too far away; never without a threshold."""
    threshold = gallery.about["threshold"]
    return threshold is not None and bool(distance > threshold["distance"])


def rate_lines(rows: list[dict[str, float]], gallery: Gallery) -> Iterator[str]:
    """Rates by threshold as a table, and the one that was taken."""
    yield "strangers named, %   known refused, %   known and right, %   distance"
    for row in rows:
        far, frr, right = (100 * row[key] for key in ("far", "frr", "dir"))
        yield f"{far:18.2f}   {frr:16.1f}   {right:18.1f}   {row['distance']:8.5g}"
    chosen = gallery.about["threshold"]
    yield (
        f"unknown beyond {chosen['distance']:.5g}, by {chosen['strangers']} strangers "
        f"against {chosen['people']} people of {chosen['dataset']} ({chosen['split']})"
    )


def answer_lines(
    found: Iterable[tuple[list[str], Found]], gallery: Gallery
) -> Iterator[str]:
    """Who each probe of `identify` is, and the nearest: distance, name, sequence."""
    yield from (f"note: {note}" for note in notes(gallery))
    for probes, near in found:
        for row, probe in enumerate(probes):
            far, names = near.distances[row], near.names[row]
            yield f"{probe}: {'unknown' if is_unknown(gallery, far[0]) else names[0]}"
            for rank, distance in enumerate(far):
                there = f"{names[rank]}  {near.sequences[row, rank]}"
                yield f"{rank + 1:6d}  {distance:9.5g}  {there}"
        if near.note:
            yield f"note: {near.note}"


def notes(gallery: Gallery) -> list[str]:
    """What to know about the threshold before its word is taken."""
    threshold = gallery.about["threshold"]
    if threshold is None:
        return ["no threshold, so nobody is unknown; set one with calibrate"]
    number, most = len(set(gallery.names)), threshold["people"]
    if number <= most:
        return []
    return [
        f"the threshold was measured with {most} people, here are {number}: more than "
        f"{100 * threshold['far']:.2g} % of strangers will be given a name"
    ]


def embedded(
    folder: str | os.PathLike,
    found: list[tuple[str, str]],
    network: Network,
    normalise: bool,
) -> Iterator[tuple[list[tuple[str, str]], np.ndarray]]:
    """What is usable of `people.find`, some at a time, and embeddings f32[n,p,d].

    What is not is printed with its reason; GaitError where nothing is.
    """
    run, keys = network.run, network.view.split("+")
    stored = run.data.train.frame_shapes
    recipe = make_recipe(
        "folder",
        source=str(folder),
        modalities=keys,
        size=stored["sils"] if "sils" in keys else None,
        normalise=normalise,
    )[0]
    others = [key for key in run.method.embed_keys if key not in keys]
    fill = {key: tuple(size or 1 for size in stored[key]) for key in others}
    usable, reasons = 0, []
    for start in range(0, len(found), AT_ONCE):
        some = found[start : start + AT_ONCE]
        read = people.read(recipe, [path for _, path in some], fill)
        chosen, clips = [], []
        for one, (arrays, note) in zip(some, read, strict=True):
            if note:
                print(f"{one[1]}: {note}" + (" (left out)" if arrays is None else ""))
            if arrays is None:
                reasons.append(note)
                continue
            chosen.append(one)
            clips.append({key: arrays[key] for key in run.method.embed_keys})
        if chosen:
            usable += len(chosen)
            yield chosen, _embed(network, people.Clips(clips))
    if reasons and not usable:
        raise GaitError(
            f"{folder} holds nothing usable: {len(reasons)} sequences, the first: "
            f"{reasons[0]}"
        )


def write_example(
    folder: str | os.PathLike, network: Network, number: int = 12
) -> None:
    """Pictures of simulated people of the test split, as masks of real ones would lie:
    `people/<person>/<sequence>/` of two thirds of them, `probes/<sequence>/` of all.
    """
    run = network.run
    if not run.data.name.startswith("walkers"):
        raise GaitError(
            f"{run.data.name} is of real people, no pictures of them are written; give "
            "a run on walkers"
        )
    split, folder = run.data.test.with_keys(("sils",)), pathlib.Path(folder)
    (protocol, *_) = protocols.for_dataset(run.data.name)
    rows = protocols.rows_of(protocol.gallery, split.index)
    probes = protocols.rows_of(next(iter(protocol.probes.values())), split.index)
    people_there = np.unique(split.index.subject)[:number]
    known = people_there[: -(-2 * len(people_there) // 3)]
    for row in rows[np.isin(split.index.subject[rows], known)]:
        name = split.index.names[row]
        _write_masks(folder / "people" / split.index.subject[row] / name, split[row])
    for person in people_there:
        row = probes[split.index.subject[probes] == person][0]
        _write_masks(folder / "probes" / split.index.names[row], split[row])
    print(f"{folder}: {len(known)} people, and probes of {len(people_there)}")


def _write_masks(folder: pathlib.Path, record: Mapping[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(record["sils"]):
        Image.fromarray(frame).save(folder / f"{number:03d}.png")


def _embed(network: Network, clips: people.Clips) -> np.ndarray:
    run = network.run
    batch = min(run.eval_options.batch, len(clips))
    options = dataclasses.replace(run.eval_options, batch=batch)
    run = dataclasses.replace(run, eval_options=options)
    return embed(run, network.state, clips, np.arange(len(clips)))[network.view]


def _identity(network: Network) -> dict[str, Any]:
    return {**network.about, "view": network.view}


def _open_for(network: Network, folder: pathlib.Path) -> Gallery | None:
    """The gallery in a folder, None where there is none; of this network."""
    if not (folder / "about.json").exists():
        return None
    opened = Gallery.open(folder)
    opened.check_network(_identity(network))
    return opened


def _create(network: Network, folder: pathlib.Path) -> Gallery:
    made = Gallery.create(
        folder,
        network=_identity(network),
        shape=network.about["embedding"],
        metric=network.run.eval_options.distances[0],
    )
    made.about["run"] = str(network.run.workdir)  # where `identify` looks for it
    made.save()
    return made


def _config(folder: pathlib.Path) -> dict[str, Any]:
    """The config of a workdir, or the one that exported weights were made with."""
    config = weights.read_config(folder)
    config.pop("weights", None)
    if "data" not in config:
        raise GaitError(
            f"{folder} says nothing about its data (converted weights?); give a run, "
            "or what `--mode export` wrote"
        )
    return config
