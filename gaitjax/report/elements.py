"""What pages are made of: text, tables, figures, and the page around them.

Nothing is fetched, so that a page can be mailed or kept beside the numbers. Light
or dark as the reader's system is.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence

import matplotlib
import matplotlib.colors
import numpy as np
from matplotlib.figure import Figure

from gaitjax.report import pictures, plots


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page of these elements."""
    body = "\n".join(parts)
    head = f"<title>{text(title)}</title><style>{_style()}</style>"
    meta = (
        '<meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
    )
    start = f'<!doctype html><html lang="en"><head>{meta}{head}</head>'
    return f"{start}<body><main>\n{body}\n</main></body></html>\n"


def text(value: object) -> str:
    """Escaped, for elements and attributes."""
    return html.escape(str(value))


def simulated_note() -> str:
    return (
        '<p class="note"><b>Simulated data.</b> These figures come from synthetic '
        "walkers and do not compare with published ones.</p>"
    )


def note(strong: str, rest: str) -> str:
    """A paragraph that is not overlooked."""
    return f'<p class="note"><b>{text(strong)}</b> {text(rest)}</p>'


def paragraph(words: str) -> str:
    return f"<p>{text(words)}</p>"


def listed(lines: Sequence[str]) -> str:
    """A bulleted list; nothing for no lines."""
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f"<ul>{items}</ul>" if items else ""


def table(lines: Sequence[Sequence[str]], caption: str) -> str:
    """Header first, names in the first column; scrolls within itself."""
    head, *rest = lines
    cells = "".join(f"<th>{text(cell)}</th>" for cell in head)
    rows = "".join(
        f"<tr><th>{text(line[0])}</th>"
        + "".join(f"<td>{text(cell)}</td>" for cell in line[1:])
        + "</tr>"
        for line in rest
    )
    inner = f"<caption>{text(caption)}</caption><tr>{cells}</tr>{rows}"
    return f'<div class="scroll"><table>{inner}</table></div>'


def figures(pairs: Iterable[tuple[Figure, str]]) -> str:
    """Drawings side by side, with a label for those who cannot see them."""
    images = "".join(
        f"<figure>{plots.inline_svg(figure, text(label))}</figure>"
        for figure, label in pairs
    )
    return f'<div class="figures">{images}</div>'


def heat_tables(
    found: Iterable[tuple[Sequence[str], np.ndarray, str]], axes: tuple[str, str]
) -> str:
    """Squares of percentages f64[v,v], each with the names of its rows and columns and
    a title: the larger the brighter, undefined is grey. axes: what rows and columns
    are. Text, not drawings: a page may have a hundred of them."""
    down, across = map(text, axes)
    tables = []
    for names, values, title in found:
        head = "".join(f"<th>{text(name)}</th>" for name in names)
        rows = "".join(
            f"<tr><th>{text(name)}</th>{''.join(map(_heat_cell, line))}</tr>"
            for name, line in zip(names, values, strict=True)
        )
        inner = f"<caption>{text(title)}</caption>"
        inner += f"<tr><td>{down} ↓ {across} →</td>{head}</tr>{rows}"
        table = f'<table class="heat">{inner}</table>'
        tables.append(f'<figure><div class="scroll">{table}</div></figure>')
    return f'<div class="figures">{"".join(tables)}</div>'


def _heat_cell(value: float) -> str:
    if np.isnan(value):
        return '<td class="none">n/a</td>'
    colour = matplotlib.colors.to_hex(matplotlib.colormaps["viridis"](value / 100))
    ink = "#000" if value > 60 else "#fff"  # viridis ends light
    return f'<td style="background:{colour};color:{ink}">{value:.0f}</td>'


def legend(names: Sequence[str]) -> str:
    """Which line is whose, for figures that have no legend of their own."""
    items = []
    for number, name in enumerate(names):
        line = plots.line_style(number)
        border = f"3px {plots.DASHES[line['linestyle']]} {line['color']}"
        items.append(f'<span><i style="border-top: {border}"></i>{text(name)}</span> ')
    return f'<p class="legend">{"".join(items)}</p>'


def picture(image: np.ndarray, label: str) -> str:
    """u8[y,x,3] as an image that scrolls sideways where the screen is too narrow."""
    address = pictures.png_data(image)
    # Enlarged where there is room, and on a phone still large enough to see.
    widest, least = 2 * image.shape[1], 0.7 * image.shape[1]
    style = f"width: 100%; max-width: {widest}px; min-width: {least:.0f}px"
    img = f'<img src="{address}" alt="{text(label)}" style="{style}">'
    return f'<div class="scroll">{img}</div>'


def captioned(images: Sequence[tuple[str, np.ndarray]]) -> str:
    """Pictures in one frame, one above the other, each under its caption."""
    inner = "".join(
        f"<figcaption>{text(caption)}</figcaption>{picture(image, caption)}"
        for caption, image in images
    )
    return f'<figure class="pictures">{inner}</figure>'


def side_by_side(parts: Iterable[str]) -> str:
    """In two columns where there is room."""
    return f'<div class="pairs">{"".join(parts)}</div>'


def details(title: str, inner: str, *, opened: bool = False, heading: bool = False):
    """Folded away until somebody opens it."""
    kind = ' class="h2"' if heading else ""
    start = f"<details{' open' if opened else ''}><summary{kind}>{text(title)}"
    return f"{start}</summary>{inner}</details>"


def mapping(title: str, values: Mapping) -> str:
    """Nested keys as dotted names."""
    rows = "".join(
        f"<tr><th>{text(key)}</th><td>{text(value)}</td></tr>"
        for key, value in _flat(values)
    )
    inner = f'<div class="scroll"><table class="keys">{rows}</table></div>'
    return details(title, inner, heading=True)


def _flat(values: Mapping, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _style() -> str:
    return """
:root { --page: #fff; --text: #1c1e21; --quiet: #5b6068; --line: #dcdfe3;
  --card: #f5f6f8; --note: #fff3d6 }
@media (prefers-color-scheme: dark) { :root { --page: #14161a; --text: #e4e6ea;
  --quiet: #a3aab3; --line: #31363d; --card: #1d2025; --note: #3a3014 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif }
main { max-width: 66rem; margin: auto; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere }
h2, .h2 { font-size: 1.25rem; font-weight: 650; margin: 2.4rem 0 .6rem }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem }
p, li, figcaption, caption { color: var(--quiet); margin: .2rem 0; font-size: .92rem;
  overflow-wrap: anywhere }
main > p { max-width: 46rem }
.note { background: var(--note); color: var(--text); padding: .6rem .8rem;
  border-radius: .4rem; margin-top: .8rem; max-width: none }
.cards { display: flex; flex-wrap: wrap; gap: .6rem; margin: .3rem 0 .8rem }
.cards div { background: var(--card); border-radius: .5rem; padding: .5rem .9rem;
  min-width: 5.5rem }
.cards b { display: block; font-size: 1.4rem; line-height: 1.3; font-weight: 650;
  font-variant-numeric: tabular-nums }
.cards span { color: var(--quiet); font-size: .85rem }
.legend span { margin-right: 1.2rem; white-space: nowrap }
.legend i { display: inline-block; width: 1.6rem; margin-right: .4rem;
  vertical-align: middle }
.scroll { overflow-x: auto; max-width: 100% }
table { border-collapse: collapse; margin: .6rem 0; font-variant-numeric: tabular-nums }
caption { text-align: left }
th, td { padding: .3rem .9rem; text-align: right; border-bottom: 1px solid var(--line) }
th:first-child { text-align: left; padding-left: 0; font-weight: 500;
  white-space: nowrap }
.keys td { text-align: left; overflow-wrap: anywhere; min-width: 9rem;
  font-size: .9rem }
.heat { margin: 0; font-size: .72rem }
.heat caption { font-size: .92rem; color: var(--text) }
.heat th, .heat td { padding: 0 .15rem; height: 1.65rem; min-width: 1.65rem;
  text-align: center; border: 0; font-weight: 400 }
.heat td:first-child { color: var(--quiet); text-align: left; padding-right: .4rem }
.heat .none { background: #88888855 }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start }
figure { margin: 0; background: var(--card); border-radius: .5rem; padding: .7rem;
  max-width: 100% }
figure svg { display: block; max-width: 100%; height: auto }
figure svg text { font-family: inherit !important }
.pictures { margin: .6rem 0 }
.pairs { display: grid; gap: 0 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)) }
.pictures img { display: block; background: #000; border-radius: .3rem;
  margin: .2rem 0 .4rem }
summary { cursor: pointer; padding: .2rem 0 }
"""
