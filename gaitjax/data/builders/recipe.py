"""How records are made of files: the options of a set, and the name they give it."""

from __future__ import annotations

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gaitjax.arguments import unknown
from gaitjax.data import schema
from gaitjax.data.builders import layouts
from gaitjax.data.topology import Topology, num_vertices
from gaitjax.errors import GaitError

# What the readers can make; markers may be taken from vertices, so these come first.
KEYS = ("sils", "ranges", "points", "heatmaps", "smpl", *("joints", "vertices"))
KEYS += ("markers",)
SMPL_VERTICES = 6890


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How records are made: part of what identifies a prepared set.

    name: of the layout. source: folder of the ids. keys: modalities. files: patterns
    of a modality's file in place of the layout's. beside: trees of a modality that
    does not lie in `source`. size: of the silhouettes, (height, width). normalise:
    silhouettes of any size go through the standard normalisation. num_vertices: of
    every mesh. rows: the vertices that are markers, where no file has them.
    """

    name: str
    source: str
    keys: tuple[str, ...]
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    beside: Mapping[str, str] = dataclasses.field(default_factory=dict)
    rate: str | None = None
    size: tuple[int, int] = (64, 64)
    normalise: bool = False
    num_vertices: int = SMPL_VERTICES
    rows: tuple[int, ...] = ()

    def patterns(self, key: str) -> tuple[str, ...]:
        """Patterns that the name of the modality's file may fit."""
        if key in self.files:
            return (self.files[key],)
        return layouts.find(self.name).patterns(key, self.rate)

    @property
    def frame_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Shape of one frame of every modality."""
        shapes = {key: schema.modality(key).shape[1:] for key in self.keys}
        own = {"sils": self.size, "vertices": (self.num_vertices, 3)}
        return shapes | {key: shape for key, shape in own.items() if key in shapes}

    def identity(self) -> dict[str, Any]:
        """The fields that bits depend on: those of meshes only where there are any."""
        fields = dataclasses.asdict(self)
        if "vertices" not in self.keys:
            del fields["num_vertices"], fields["rows"]
        return fields


def make_recipe(
    name: str,
    *,
    source: str,
    modalities: Sequence[str] = (),
    rate: str | None = None,
    size: tuple[int, int] | None = None,
    normalise: bool = False,
    beside: Mapping[str, str] | None = None,
    topology: Topology | None = None,
) -> tuple[Recipe, str]:
    """The recipe of a set, checked, and the set's label, "" for the usual one.

    name: of a layout, and behind a slash the variant (`sustech1k/native-ranges`) that
    the options say otherwise; of `folder`, any label. modalities: `key` or
    `key=PATTERN` of the file's name. topology: of the meshes; markers that are asked
    for without a pattern are its vertices. The others are those of `Recipe`.
    """
    base, _, label = name.partition("/")
    layout = layouts.find(base)
    said = {} if base == "folder" else _options(label, layout, name)
    keys, files = _modalities(modalities or said.get("modalities") or layout.modalities)
    number, rows = _mesh(keys, files, topology)
    recipe = Recipe(
        name=base,
        source=str(pathlib.Path(source).expanduser()),
        keys=keys,
        files=files,
        beside={key: _folder(key, path) for key, path in (beside or {}).items()},
        rate=_rate(rate or said.get("rate"), layout, base),
        size=size or said.get("size") or (64, 64),
        normalise=normalise,
        num_vertices=number,
        rows=rows,
    )
    if normalise and recipe.size[0] != recipe.size[1]:
        raise GaitError(
            f"--normalise makes square pictures, --size is {_spell(recipe.size)}; give "
            f"--size {_spell((recipe.size[0],) * 2)}"
        )
    return recipe, label if base == "folder" else label_of(recipe)


def label_of(recipe: Recipe) -> str:
    """The name of what differs from the layout's own way, "" for nothing."""
    layout = layouts.find(recipe.name)
    words = []
    if recipe.rate != next(iter(layout.rates), None):
        words.append(recipe.rate)
    if recipe.keys != layout.modalities:
        words.append("+".join(recipe.keys))
    if recipe.size != (64, 64):
        words.append(_spell(recipe.size))
    return "-".join(words)


def _options(label: str, layout: layouts.Layout, name: str) -> dict:
    """What the variant of a name says, the inverse of `label_of`."""
    said: dict = {}
    for word in filter(None, label.split("-")):
        if word in layout.rates:
            said["rate"] = word
        elif re.fullmatch(r"\d+x\d+", word):
            height, width = map(int, word.split("x"))
            said["size"] = (height, width)
        elif all(key in KEYS for key in word.split("+")):
            said["modalities"] = word.split("+")
        else:
            raise GaitError(
                f"{name}: {word} is no variant; expected a rate "
                f"({', '.join(layout.rates) or 'none here'}), modalities joined by + "
                "or a size such as 128x128"
            )
    return said


def _modalities(words: Sequence[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """`key` or `key=PATTERN` each: the keys in the schema's order, and the patterns."""
    chosen = dict(word.partition("=")[::2] for word in words)
    for key in chosen:
        if key not in KEYS:
            raise GaitError(unknown(key, KEYS, "modality of files"))
    keys = tuple(key for key in KEYS if key in chosen)
    return keys, {key: pattern for key, pattern in chosen.items() if pattern}


def _mesh(
    keys: Sequence[str], files: Mapping[str, str], found: Topology | None
) -> tuple[int, tuple[int, ...]]:
    """How many vertices there are, and which of them are to be the markers."""
    number = num_vertices(found) if found else None
    taken = found and {"vertices", "markers"} <= {*keys} and "markers" not in files
    rows = found.markers if taken else None
    return number or SMPL_VERTICES, () if rows is None else tuple(rows.tolist())


def _folder(key: str, path: str) -> str:
    """The tree of a modality that lies elsewhere."""
    if key not in KEYS:
        raise GaitError(unknown(key, KEYS, "modality of --beside"))
    folder = pathlib.Path(path).expanduser()
    if not folder.is_dir():
        raise GaitError(f"--beside {key}={path} is not a folder; give that of the ids")
    return str(folder)


def _rate(rate: str | None, layout: layouts.Layout, name: str) -> str | None:
    if rate and rate not in layout.rates:
        known = ", ".join(layout.rates) or "no rates"
        raise GaitError(f"--rate {rate}: {name} has {known}; leave it out or change it")
    return rate or next(iter(layout.rates), None)


def _spell(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
