"""The report of a run: one page in one file, for a phone or a desktop.

Pictures are inside the page and nothing is fetched, so the file can be mailed or
kept beside the numbers. Light or dark as the reader's system is.
"""

from __future__ import annotations

import html
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from gaitjax.report import plots, tables
from gaitjax.retrieval.search import Evaluation
from gaitjax.runtime.workdir import write_atomically


def write_report(
    path: str | os.PathLike,
    *,
    title: str,
    dataset: str,
    config: Mapping,
    environment: Mapping,
    evaluations: Sequence[Evaluation],
    metrics: Sequence[Mapping[str, float]] = (),
    frames: Callable[[int], np.ndarray] | None = None,
) -> None:
    """Write the page.

    dataset: its name; one that begins with `walkers` is marked as simulated.
    config, environment: nested mappings, shown as they are.
    metrics: one dict per logged step, with `step`.
    frames: record number -> u8[t,h,w] or u8[t,h,w,3]; without it, no rank lists.
    """
    parts = [_header(title, dataset, evaluations)]
    for evaluation in evaluations:
        parts += _results(evaluation)
        if frames is not None:
            parts += _rank_lists(evaluation, frames)
    parts += _training(metrics)
    parts += _mapping("Configuration", config)
    parts += _mapping("Environment", environment)
    body = "\n".join(parts)
    head = f"<title>{_text(title)}</title><style>{_style()}</style>"
    meta = (
        '<meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
    )
    page = f'<!doctype html><html lang="en"><head>{meta}{head}</head>'
    write_atomically(path, f"{page}<body><main>\n{body}\n</main></body></html>\n")


def _header(title: str, dataset: str, evaluations: Sequence[Evaluation]) -> str:
    names = ", ".join(dict.fromkeys(one.protocol for one in evaluations)) or "none"
    note = ""
    if dataset.startswith("walkers"):
        note = (
            '<p class="simulated"><b>Simulated data.</b> These figures come from '
            "synthetic walkers and do not compare with published ones.</p>"
        )
    line = f"Data set {_text(dataset)} · protocol {_text(names)}"
    return f"<header><h1>{_text(title)}</h1><p>{line}</p>{note}</header>"


def _results(evaluation: Evaluation) -> Iterator[str]:
    """Tables, curves and view tables of one protocol."""
    modalities = f"{evaluation.probe} → {evaluation.gallery}"
    yield f"<h2>{_text(evaluation.protocol)}: {_text(modalities)}</h2>"
    yield (
        f"<p>Probe {_text(evaluation.probe)}, gallery {_text(evaluation.gallery)}, "
        f"{_text(evaluation.distance)} distance.</p>"
    )
    for group in tables.measurements(evaluation.rows):
        yield _table(tables.grid(group), f"stage: {group[0]['stage']}")
    if not evaluation.rows:
        yield f"<p>{_text(tables.results_table([]))}</p>"
    if evaluation.notes:
        yield (
            "<ul>" + "".join(f"<li>{_text(n)}</li>" for n in evaluation.notes) + "</ul>"
        )
    if evaluation.cmc:
        yield "<h3>Probes with a match among the k nearest</h3>"
        yield _figures([(plots.cmc_curves(evaluation.cmc), "CMC curves")])
    if evaluation.view_tables:
        yield "<h3>Rank-1 by view, %</h3>"
        yield _figures(
            (plots.view_heat_map(*table, title=name), f"Rank-1 by view, {name}")
            for name, table in evaluation.view_tables.items()
        )


def _rank_lists(
    evaluation: Evaluation, frames: Callable[[int], np.ndarray]
) -> Iterator[str]:
    """Pictures of some probes and their nearest."""
    if any(evaluation.rank_lists.values()):
        yield "<h3>Rank lists</h3><p>Left, in grey, the probe; then its nearest, "
        yield "right ones in green, wrong ones in broken red.</p>"
    for name, lists in evaluation.rank_lists.items():
        images = []
        for one in lists:
            address = plots.png_data(plots.rank_list_picture(one, frames))
            found = sum(one.right)
            label = f"record {one.probe}: {found} of {len(one.right)} right"
            images.append(
                f'<figure class="ranks"><div class="scroll"><img src="{address}" '
                f'alt="{_text(name)} {label}"></div>'
                f"<figcaption>{label}</figcaption></figure>"
            )
        if images:
            opened = f"<details open><summary>{_text(name)}</summary>"
            yield f"{opened}{''.join(images)}</details>"


def _training(metrics: Sequence[Mapping[str, float]]) -> Iterator[str]:
    curves = plots.learning_curves(metrics)
    if curves:
        yield "<h2>Training</h2>"
        yield _figures((figure, name) for name, figure in curves.items())


def _mapping(title: str, mapping: Mapping) -> Iterator[str]:
    """Nested keys as dotted names."""
    rows = "".join(
        f"<tr><th>{_text(key)}</th><td>{_text(value)}</td></tr>"
        for key, value in _flat(mapping)
    )
    yield f'<details><summary class="h2">{title}</summary>'
    yield f'<div class="scroll"><table class="keys">{rows}</table></div></details>'


def _flat(mapping: Mapping, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _table(lines: Sequence[Sequence[str]], caption: str) -> str:
    head, *rest = lines
    cells = "".join(f"<th>{_text(cell)}</th>" for cell in head)
    rows = "".join(
        f"<tr><th>{_text(line[0])}</th>"
        + "".join(f"<td>{_text(cell)}</td>" for cell in line[1:])
        + "</tr>"
        for line in rest
    )
    table = f"<caption>{_text(caption)}</caption><tr>{cells}</tr>{rows}"
    return f'<div class="scroll"><table>{table}</table></div>'


def _figures(figures) -> str:
    images = "".join(
        f"<figure>{plots.inline_svg(figure, _text(label))}</figure>"
        for figure, label in figures
    )
    return f'<div class="figures">{images}</div>'


def _text(value: object) -> str:
    return html.escape(str(value))


def _style() -> str:
    return """
:root { --page: #fff; --text: #1c1e21; --quiet: #62676e; --line: #dcdfe3;
  --card: #f5f6f8; --note: #fff3d6 }
@media (prefers-color-scheme: dark) { :root { --page: #14161a; --text: #e4e6ea;
  --quiet: #9aa1aa; --line: #31363d; --card: #1d2025; --note: #3a3014 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
main { max-width: 64rem; margin: auto; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem }
h2, .h2 { font-size: 1.25rem; font-weight: 650; margin: 2.4rem 0 .6rem }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem }
p, li, figcaption, caption { color: var(--quiet); margin: .2rem 0; font-size: .92rem }
.simulated { background: var(--note); color: var(--text); padding: .6rem .8rem;
  border-radius: .4rem; margin-top: .8rem }
.scroll { overflow-x: auto; max-width: 100% }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums }
caption { text-align: left }
th, td { padding: .3rem .9rem; text-align: right; border-bottom: 1px solid var(--line) }
th:first-child { text-align: left; padding-left: 0; font-weight: 500;
  white-space: nowrap }
.keys td { text-align: left; overflow-wrap: anywhere; font-size: .9rem }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start }
figure { margin: 0; background: var(--card); border-radius: .5rem; padding: .7rem;
  max-width: 100% }
figure svg { display: block; max-width: 100%; height: auto }
figure svg text { font-family: inherit !important }
.ranks { margin: .6rem 0 }
.ranks img { display: block; width: 100%; min-width: 34rem; image-rendering: pixelated;
  background: #000; border-radius: .3rem }
summary { cursor: pointer; padding: .2rem 0 }
"""
