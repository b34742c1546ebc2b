"""Plain-text tables."""

from collections.abc import Sequence


def number(value: float | None, digits: int = 0) -> str:
    """`value` with thousands separators and `digits` decimals; a dash for None."""
    return "-" if value is None else f"{value:,.{digits}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their contents; the first is aligned left, the others right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        first = cells[0].ljust(widths[0])
        others = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        return "  ".join([first, *others]).rstrip()

    return "\n".join([line(head), line(["-" * width for width in widths]), *map(line, rows)])
