"""Tables of a page."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .page_plots import heat
from .page_text import escaped, percent

# Longer ones scroll within the page, but for those that are read line by line.
_ROWS_WITHOUT_SCROLLING = 24
LABELS = 20
"""No more labels have room along each side of a cross table."""


class Column(NamedTuple):
    """A column of numbers, unless `kind` says otherwise."""

    title: str
    """Markup."""
    kind: str = ""
    """Classes of its cells: `text`, `plot` for a bar, `main` for what matters most."""


def table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], kind: str = "", caption: str = ""
) -> str:
    """A table.

    Args:
        columns: of the table.
        rows: their cells, markup.
        kind: its class: `labels` for one with bars, `rows` for texts over the width of the page;
            in these, where that is narrow, cells follow one another.
        caption: markup above it.
    """
    head = "".join(f"<th{_classes(one.kind, 'text')}>{one.title}</th>" for one in columns)
    cells = [_classes(one.kind) for one in columns]
    if kind == "rows":  # has no head where the page is narrow
        named = zip(cells, columns, strict=True)
        cells = [f'{each} data-name="{one.title}"' for each, one in named]
    lines = [
        "<tr>"
        + "".join(f"<td{each}>{cell}</td>" for each, cell in zip(cells, row, strict=True))
        + "</tr>"
        for row in rows
    ]
    above = f"<caption>{caption}</caption>" if caption else ""
    place = ' class="wide"'
    if kind != "rows" and len(lines) > _ROWS_WITHOUT_SCROLLING:
        place = f' class="wide long" tabindex="0" role="region" aria-label="{columns[0].title}"'
    return (
        f"<div{place}><table{_classes(kind)}>{above}<thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def heat_table(
    name: str,
    down: Sequence[str],
    across: Sequence[str],
    counts: Sequence[Sequence[int]],
    totals: Sequence[int],
    *,
    confusion: bool = False,
) -> str:
    """How often labels come together; shades are shares of the row.

    Args:
        name: of the table, plain text.
        down: labels of the rows, plain text.
        across: labels of the columns, plain text.
        counts: [down, across].
        totals: of each row, also of columns that are left out.
        confusion: rows are expected and columns answered labels: what is not as expected has
            another colour, and shades that let few be seen, too; nothing is left blank.
    """
    columns = "".join(f'<th scope="col">{escaped(label)}</th>' for label in across)
    body = ""
    for label, line, total in zip(down, counts, totals, strict=True):
        cells = ""
        for other, count in zip(across, line, strict=True):
            share = count / max(total, 1)
            shade = f"{heat(share**0.5)} wrong" if confusion and other != label else heat(share)
            shown = f"<b>{percent(count, total)}</b>{count:,}" if count or not confusion else ""
            cells += f'<td class="{shade}">{shown}</td>'
        body += (
            f'<tr><th class="text" scope="row">{escaped(label)}</th>{cells}'
            f'<td class="sum">{total:,}</td></tr>'
        )
    corner = "expected &darr; answered &rarr;" if confusion else ""
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escaped(name)}">'
        f'<table class="heat"><thead><tr><td class="blank text">{corner}</td>{columns}'
        f'<th scope="col">all</th></tr></thead><tbody>{body}</tbody></table></div>'
    )


def _classes(kind: str, only: str = "") -> str:
    kept = [one for one in kind.split() if not only or one == only]
    attribute = f' class="{" ".join(kept)}"' if kept else ""
    return attribute + (' dir="auto"' if "text" in kept and not only else "")
