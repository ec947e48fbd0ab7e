"""Two kinds of picture as SVG text, on a white card that is readable on light and dark pages."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from math import floor, log10

WIDTH = 760
COLOURS = ("#3b6fb6", "#3f9c9a", "#8f6bb3", "#d0802f", "#5b6b7b", "#b5485d", "#7f9a35", "#b49a2c")
INK, FAINT, GRID, PAPER = "#1f2933", "#66727f", "#e3e8ed", "#ffffff"

_EDGE, _HEAD = 24, 84
_LABELS, _TOTALS = 190, 60
"""Pixels beside the bars: for their names on the left, for their sums on the right."""
_BAR, _GAP = 30, 16
_ROOM_FOR_NUMBER = 36
_PLOT, _AXIS, _ENDS = 260, 64, 60
"""Pixels of a line chart: its height, for numbers on the left, for those where lines end."""
_APART = 15
"""Pixels between two of the last, so that lines that end together are still told apart."""


def bars(title: str, values: Mapping[str, Mapping[str, float]]) -> str:
    """Draw a stacked bar for each label, its parts in the order of their first appearance."""
    parts = list(dict.fromkeys(part for each in values.values() for part in each))
    colours = {part: COLOURS[n % len(COLOURS)] for n, part in enumerate(parts)}
    widest = max(sum(each.values()) for each in values.values()) or 1.0
    scale = (WIDTH - 2 * _EDGE - _LABELS - _TOTALS) / widest
    shapes = [*_legend(colours)]
    for row, (label, each) in enumerate(values.items()):
        top = _HEAD + row * (_BAR + _GAP)
        shapes.append(_text(_EDGE + _LABELS - 12, top + 20, label, anchor="end"))
        shapes.extend(_bar(each, colours, top=top, scale=scale))
    return _card(title, _HEAD + len(values) * (_BAR + _GAP) + 8, shapes)


def lines(title: str, values: Mapping[str, Mapping[str, float]]) -> str:
    """Draw a line for each label over the points they share, on a logarithmic scale."""
    points = list(dict.fromkeys(point for each in values.values() for point in each))
    ticks = _ticks([value for each in values.values() for value in each.values()])
    left, right = _EDGE + _AXIS, WIDTH - _EDGE - _ENDS
    low, span = log10(ticks[0]), log10(ticks[-1] / ticks[0])

    def x_of(point: str) -> float:
        return left + points.index(point) * (right - left) / max(1, len(points) - 1)

    def y_of(value: float) -> float:
        return _HEAD + _PLOT * (1 - (log10(max(value, ticks[0])) - low) / span)

    colours = {label: COLOURS[n % len(COLOURS)] for n, label in enumerate(values)}
    shapes = [*_legend(colours)]
    for tick in ticks:
        y = y_of(tick)
        shapes.append(_line(left, y, right, y))
        shapes.append(_text(left - 10, y + 4, short(tick), anchor="end", fill=FAINT, size=12))
    shapes += [_text(x_of(p), _HEAD + _PLOT + 24, p, fill=FAINT, size=12) for p in points]
    ends: dict[str, float] = {}
    for label, each in values.items():
        spots = [(x_of(point), y_of(value)) for point, value in each.items()]
        shapes.extend(_path(spots, list(each.values()), colours[label]))
        ends[label] = spots[-1][1]
    for label, y in _spread(ends):
        last = short(list(values[label].values())[-1])
        shapes.append(
            _text(right + 12, y + 4, last, anchor="start", fill=colours[label], bold=True)
        )
    return _card(title, _HEAD + _PLOT + 44, shapes)


def short(value: float) -> str:
    """Write a number in as few digits as a picture needs."""
    if value >= 100:  # noqa: PLR2004
        return f"{value:,.0f}"
    return f"{value:.1f}".removesuffix(".0") if value >= 10 else f"{value:.2g}"  # noqa: PLR2004


def _bar(
    parts: Mapping[str, float], colours: Mapping[str, str], *, top: float, scale: float
) -> Iterator[str]:
    x = float(_EDGE + _LABELS)
    for part, value in parts.items():
        width = value * scale
        yield (
            f'<rect x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{_BAR}"'
            f' fill="{colours[part]}"><title>{escape(part)}: {short(value)}</title></rect>'
        )
        if width > _ROOM_FOR_NUMBER:
            yield _text(x + width / 2, top + 20, short(value), fill=PAPER, size=12)
        x += width
    yield _text(x + 10, top + 20, short(sum(parts.values())), anchor="start", bold=True)


def _path(
    spots: Sequence[tuple[float, float]], values: Sequence[float], fill: str
) -> Iterator[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    yield f'<polyline points="{path}" fill="none" stroke="{fill}" stroke-width="2.5"/>'
    for (x, y), value in zip(spots, values, strict=True):
        hint = f"<title>{short(value)}</title>"
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}">{hint}</circle>'


def _legend(colours: Mapping[str, str]) -> Iterator[str]:
    x = float(_EDGE)
    for name, colour in colours.items():
        yield f'<rect x="{x:.1f}" y="52" width="12" height="12" rx="2" fill="{colour}"/>'
        yield _text(x + 18, 63, name, anchor="start", size=13)
        x += 40 + 7.2 * len(name)


def _ticks(values: Sequence[float]) -> list[float]:
    """Choose 1, 2 and 5 of each decade, from just below the lowest to just above the highest."""
    known = [value for value in values if value > 0] or [1.0]
    decades = range(floor(log10(min(known))) - 1, floor(log10(max(known))) + 2)
    every = [digit * 10.0**decade for decade in decades for digit in (1, 2, 5)]
    first = max(tick for tick in every if tick <= min(known))
    last = min(tick for tick in every if tick > max(known))
    return [tick for tick in every if first <= tick <= last]


def _spread(ends: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """Move numbers that would cover each other downwards."""
    free = 0.0
    for label, y in sorted(ends.items(), key=lambda end: end[1]):
        free = max(y, free)
        yield label, free
        free += _APART


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{GRID}"/>'


def _text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "middle",
    fill: str = INK,
    size: int = 14,
    bold: bool = False,
) -> str:
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}"'
        f' font-size="{size}"{weight}>{escape(words)}</text>'
    )


def _card(title: str, height: float, shapes: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}"'
        f' width="{WIDTH}" height="{height:.0f}" role="img" aria-label="{escape(title)}"'
        ' font-family="system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif">'
    )
    paper = (
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1:.0f}" rx="8"'
        f' fill="{PAPER}" stroke="{GRID}"/>'
    )
    heading = _text(_EDGE, 34, title, anchor="start", size=16, bold=True)
    return "\n".join([head, paper, heading, *shapes, "</svg>"]) + "\n"
