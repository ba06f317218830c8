"""The models' curve as a small SVG: figure against labels, with intervals, and what more labels would bring."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from markupsafe import escape

from medloop.types import Json

Height: TypeAlias = Callable[[float], float]
_WIDE, _HIGH, _LEFT, _LOW = 640, 240, 56, 34


def curve(points: Sequence[Mapping[str, Json]], forecast: Mapping[str, Json] | None) -> str:
    """SVG of ``labels``, ``figure``, ``low``, ``high``, ``model``; empty where there are none. The forecast is an open point."""
    known = [each for each in points if each.get("figure") is not None]
    if not known:
        return ""
    ahead = [dict(forecast)] if forecast and forecast.get("figure") is not None else []
    every = [*known, *ahead]
    ends = [value for each in every for key in ("figure", "low", "high") if (value := each.get(key)) is not None]
    low, high = min(ends), max(ends)
    room = max(0.02, 0.1 * (high - low))
    low, high = low - room, high + room
    most = max(float(each["labels"]) for each in every) or 1.0

    def x(each: Mapping[str, Json]) -> float:
        return _LEFT + float(each["labels"]) / most * (_WIDE - _LEFT - 16)

    def y(value: float) -> float:
        return 10 + (high - value) / (high - low) * (_HIGH - _LOW - 10)

    parts = [_grid(low, high, y), _axis(most)]
    parts.append(_line(" ".join(f"{x(each):.1f},{y(each['figure']):.1f}" for each in known), "curve-line"))
    if ahead:
        last = f"{x(known[-1]):.1f},{y(known[-1]['figure']):.1f} {x(ahead[0]):.1f},{y(ahead[0]['figure']):.1f}"
        parts.append(_line(last, "curve-line ahead"))
    for each in every:
        parts.append(_point(each, x(each), y, open_=each in ahead))
    return f'<svg class="curve" viewBox="0 0 {_WIDE} {_HIGH}" role="img">{"".join(parts)}</svg>'


def _grid(low: float, high: float, y: Height) -> str:
    lines = []
    for step in range(5):
        value = low + (high - low) * step / 4
        at = y(value)
        lines.append(f'<line class="curve-grid" x1="{_LEFT}" x2="{_WIDE - 16}" y1="{at:.1f}" y2="{at:.1f}"/>')
        lines.append(f'<text class="curve-text" x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{value:.3f}</text>')
    return "".join(lines)


def _axis(most: float) -> str:
    texts = []
    for step in range(5):
        at = _LEFT + (_WIDE - _LEFT - 16) * step / 4
        texts.append(f'<text class="curve-text" x="{at:.1f}" y="{_HIGH - 12}" text-anchor="middle">{most * step / 4:.0f}</text>')
    return "".join(texts)


def _line(places: str, name: str) -> str:
    return f'<polyline class="{name}" points="{places}"/>'


def _point(each: Mapping[str, Json], x: float, y: Height, *, open_: bool) -> str:
    middle = y(each["figure"])
    bar = ""
    if each.get("low") is not None and each.get("high") is not None:
        bar = f'<line class="curve-bar" x1="{x:.1f}" x2="{x:.1f}" y1="{y(each["low"]):.1f}" y2="{y(each["high"]):.1f}"/>'
    title = escape(f"{each.get('model', '')} {each['labels']}: {each['figure']:.3f}".strip())
    kind = "curve-point ahead" if open_ else "curve-point"
    return f'{bar}<circle class="{kind}" cx="{x:.1f}" cy="{middle:.1f}" r="5"><title>{title}</title></circle>'
