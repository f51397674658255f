"""Data sets on disk, `id/type/view/` with a file per modality, as TFDS sets.

Whatever OpenGait's pretreatment left, and trees like it. Sequences are converted in
parallel, in parts that are shards of the finished set: what an interrupted run made is
kept, and no bad sequence stops the others. `layouts` knows the file names and splits,
`reading` turns a folder into a record, `manifest` says what became of every input.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence

import tensorflow_datasets as tfds

from gaitjax.data import schema
from gaitjax.data.builders import common, layouts, manifest
from gaitjax.data.builders.manifest import Row
from gaitjax.data.builders.parts import (
    Part,
    convert,
    convert_part,
    is_done,
    is_kept,
    labels_of,
    parts_of,
    rows_of,
    shard_of,
)
from gaitjax.data.builders.recipe import Recipe, make_recipe
from gaitjax.data.builders.source import (
    Found,
    Partition,
    assign,
    counts,
    read_partition,
    scan,
)
from gaitjax.data.topology import FILE, read
from gaitjax.errors import GaitError
from gaitjax.files import write_json

NEEDS_PROBES = ("gait3d", "freegait")  # their protocols search with a published list


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done: sequences by split, what else was found, and the split."""

    splits: Mapping[str, Sequence[Found]]
    others: Sequence[Row]
    partition: Partition
    report: Sequence[str]


def make_builder(
    root: pathlib.Path,
    name: str,
    *,
    source: str,
    partition: str | None = None,
    partial: bool = False,
    processes: int = 2,
    topology: str | None = None,
    **options,
) -> OpenGait:
    """The builder of a data set; its folders are listed, no file is read yet.

    partition: JSON with TRAIN_SET and TEST_SET. partial: go on with fewer ids.
    topology: file of the meshes, see `data.topology`. options: of `make_recipe`.
    """
    file = pathlib.Path(topology).expanduser() if topology else None
    found = read(file) if file else None
    recipe, label = make_recipe(name, source=source, topology=found, **options)
    path = pathlib.Path(partition).expanduser() if partition else None
    plan = make_plan(recipe, path, partial=partial)
    return OpenGait(root, recipe, label, plan, processes, file)


def make_plan(
    recipe: Recipe, partition: pathlib.Path | None, *, partial: bool = False
) -> Plan:
    """Which sequences of the source go where."""
    layout = layouts.find(recipe.name)
    found, strays = scan(pathlib.Path(recipe.source), layout)
    split = read_partition(partition, recipe.name, layout)
    chosen = assign(found, split, partial=partial)
    note = "outside: its id is in no split"
    outside = [Row(one.path, "", "outside", 0, note) for one in chosen.pop("")]
    if recipe.name == "folder" and not split.lists:
        first = {one.subject: one.name for one in reversed(chosen["test"])}
        split = dataclasses.replace(split, lists={"probe": sorted(first.values())})
    _check_lists(recipe.name, split, chosen["test"])
    report = (*counts(found, split),)
    return Plan(chosen, (*outside, *strays), split, report)


class OpenGait(tfds.core.dataset_builder.FileReaderBuilder):
    """Writes the shards itself, several at a time; TFDS opens them as its own."""

    VERSION = tfds.core.Version("1.0.0")
    url_infos = None  # nothing is downloaded; TFDS would look for check sums

    def __init__(
        self,
        root: pathlib.Path,
        recipe: Recipe,
        label: str,
        plan: Plan,
        processes: int,
        topology: pathlib.Path | None = None,
    ):
        self.topology = topology
        self.name, self.recipe, self.plan = recipe.name, recipe, plan
        self._processes = processes
        config = tfds.core.BuilderConfig(name=label) if label else None
        super().__init__(data_dir=root, config=config, file_format="array_record")
        self.folder = pathlib.Path(self.data_dir)  # TFDS points data_dir elsewhere
        self.parts = common.staging(self)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=common.features(self.recipe.frame_shapes),
            disable_shuffling=True,
        )

    def _download_and_prepare(self, dl_manager, download_config=None) -> None:
        rows = self.convert()
        infos = []
        for split in self.plan.splits:
            if not any(row.split == split and is_kept(row) for row in rows):
                where = write_checked(self, rows)
                first = next(row.note for row in rows if row.split == split)
                raise GaitError(
                    f"{split}: no sequence is usable (the first: {first}); {where} has "
                    "all reasons"
                )
            infos.append(self._place(split))
        self.info.set_splits(tfds.core.SplitDict(infos))
        manifest.write(pathlib.Path(self.data_dir) / manifest.FILE, rows)
        write_json(pathlib.Path(self.data_dir) / "recipe.json", self._identity())

    def convert(self) -> list[Row]:
        """Makes the parts that are not there; what became of every input."""
        identity, there = self._identity(), self.parts / "recipe.json"
        if there.exists() and json.loads(there.read_text()) != identity:
            common.say(f"{self.parts}: made with other options, made again")
            shutil.rmtree(self.parts)
        self.parts.mkdir(parents=True, exist_ok=True)
        write_json(there, identity)
        tasks = parts_of(self.plan.splits)
        done = sum(1 for part in tasks if is_done(part, self.parts))
        if done:
            common.say(f"{self.name}: going on after {done} of {len(tasks)} parts")
        self._check_disk(len(tasks) - done, len(tasks))
        return self._run(tasks, self.parts, f"preparing {self.name}")

    def check(self) -> list[Row]:
        """Reads everything and writes nothing; what would become of every input."""
        return self._run(parts_of(self.plan.splits), None, f"checking {self.name}")

    def columns(self, split: str) -> dict[str, list]:
        """Labels and lengths of the records of a prepared split, in their order."""
        by_path = {one.path: one for one in self.plan.splits[split]}
        rows = manifest.read(self.folder / manifest.FILE)
        rows = [row for row in rows if row.split == split and is_kept(row)]
        records = [labels_of(by_path[row.path]) for row in rows]
        columns: dict[str, list] = {k: [r[k] for r in records] for k in schema.LABELS}
        return columns | {"num_frames": [row.frames for row in rows]}

    def _run(
        self, tasks: Sequence[Part], folder: pathlib.Path | None, label: str
    ) -> list[Row]:
        one = functools.partial(convert_part, recipe=self.recipe, folder=folder)
        results = common.in_processes(one, tasks, self._processes, label)
        rows = [row for result in results for row in result]
        return [*rows, *self.plan.others]

    def _place(self, split: str) -> tfds.core.SplitInfo:
        """Links the parts of a split to where TFDS looks for its shards."""
        made = [part for part in parts_of(self.plan.splits) if part.split == split]
        rows = [rows_of(part, self.parts) for part in made]
        lengths = [sum(map(is_kept, some)) for some in rows]
        full = [n for n in range(len(made)) if lengths[n]]
        template = tfds.core.ShardedFileTemplate(
            data_dir=self.data_path,
            dataset_name=self.name,
            split=split,
            filetype_suffix="array_record",
        )
        size = 0
        for shard, number in enumerate(full):
            path = shard_of(made[number], self.parts)
            target = template.sharded_filepath(shard_index=shard, num_shards=len(full))
            _link(path, pathlib.Path(target))
            size += path.stat().st_size
        return tfds.core.SplitInfo(
            name=split,
            shard_lengths=[lengths[n] for n in full],
            num_bytes=size,
            filename_template=template,
        )

    def _check_disk(self, left: int, parts: int) -> None:
        """GaitError where what is left will not fit, going by a few sequences."""
        everything = [one for found in self.plan.splits.values() for one in found]
        some = everything[:: max(1, len(everything) // 4)]
        sizes = [
            len(data or b"") for _, data in (convert(o, self.recipe) for o in some)
        ]
        needed = max(sizes) * len(everything) * left / parts
        free = shutil.disk_usage(self.parts).free
        if needed > free:
            raise GaitError(
                f"{self.name} takes about {needed / 1e9:.1f} GB, and {self.parts} has "
                f"{free / 1e9:.1f} GB free; make room, or give another --dir"
            )

    def _identity(self) -> dict:
        """What a set is made of, as JSON: other options, another set."""
        fields = self.recipe.identity()
        fields["partition"] = {
            split: len(found) for split, found in self.plan.splits.items()
        }
        return json.loads(json.dumps(fields))


def prepare(builder: OpenGait) -> list[Row]:
    """Prepares the set where it is missing; what became of every input.

    Raises GaitError where the set is there but was made with other options.
    """
    if common.is_prepared(builder.folder):
        made = json.loads((builder.folder / "recipe.json").read_text())
        now = builder._identity()
        differs = [key for key in now if now[key] != made.get(key)]
        if differs:
            raise GaitError(
                f"{builder.folder} was made with another {differs[0]} "
                f"({made.get(differs[0])}, now {now[differs[0]]}); delete it, or give "
                "another --dir"
            )
    common.prepare(builder, builder.plan.partition.lists, builder.columns)
    if builder.topology:  # not part of the records: a set that is there gets it, too
        shutil.copyfile(builder.topology, builder.folder / FILE)
    return manifest.read(builder.folder / manifest.FILE)


def write_checked(builder: OpenGait, rows: Sequence[Row]) -> pathlib.Path:
    """Writes the manifest of a set that was checked or failed beside its place."""
    path = builder.folder.parent / f"{builder.folder.name}.checked.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    manifest.write(path, rows)
    return path


def _link(path: pathlib.Path, target: pathlib.Path) -> None:
    """The same file under another name; a copy where the disk knows no links."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)


def _check_lists(name: str, split: Partition, test: Sequence[Found]) -> None:
    names = {one.name for one in test}
    for key, listed in split.lists.items():
        if key == "probe" and not names.intersection(listed):
            raise GaitError(
                f"none of the {len(listed)} names of PROBE_SET ({listed[:1]}) is among "
                f"the test's sequences ({sorted(names)[:1]}); check --partition"
            )
    if name in NEEDS_PROBES and "probe" not in split.lists:
        raise GaitError(
            f"the protocol of {name} needs PROBE_SET; give the partition file that has "
            "it with --partition"
        )
