"""The figures of roofline.py and scale.py, made from what they have written (`timing.read`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter
from matplotlib.transforms import Bbox

from classicnets.report.fonts import FigureText
from classicnets.text import shape
from timing import Row

_FORWARD, _BACKWARD, _OTHER, _ROOF = "#1f6fb4", "#c8500a", "#8a8a8a", "#444444"
_MEASURES = {  # color, line, marker
    "step": (_FORWARD, "-", "o"),
    "inference": (_FORWARD, "--", "o"),
    "epoch": (_FORWARD, "-", "o"),
    "memory of a step": (_BACKWARD, "-", "s"),
    "memory of inference": (_BACKWARD, "--", "s"),
    "memory": (_BACKWARD, "-", "s"),
}
_BARS, _NAMED = 22, 12  # layers at most that have a bar of their own, points that have a name
_LARGEST, _SMALLEST = 2600, 14  # square points: a dot for the whole step, and the least that is seen


def roofline(rows: Sequence[Row], ceilings: Mapping[str, Row], facts: Mapping[str, Any]) -> Figure:
    """The layers under the ceilings, a dot each whose area is its share of the step; beside it where the time goes."""
    parts = [row for row in rows if "share" in row.facts]
    [whole] = [row for row in rows if row.what == "whole step"]
    about = whole.facts
    title = (
        f"{about['net']}: a training step of {about['batch']} images of {shape(about['input'])}"
        f" in {about['precision']} takes {_number(1e3 * whole.median)} ms,"
        f" {about['batch'] / whole.median:,.0f} images a second\n" + conditions_text(about["device"], facts)
    )
    bars = _bars(parts)
    figure = Figure(figsize=(14, max(6.2, 1.9 + 0.27 * len(bars))), layout="constrained")
    lettering = FigureText([], title, 14)
    figure.suptitle(lettering.title, fontsize=10, **lettering.style)
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1])
    points = [row for row in parts if row.facts.get("flop_per_byte")]
    _draw_roof(left, points, ceilings)
    _draw_bars(right, bars, whole.median)
    figure.legend(loc="outside lower left", ncols=3, fontsize="small", frameon=False)
    figure.draw_without_rendering()  # from here on every place is known
    figure.set_layout_engine("none")
    _name_points(left, points)
    return figure


def conditions_text(device: str, facts: Mapping[str, Any]) -> str:
    """On what and when it was measured, on one line."""
    where = facts["processor"] if device == "cpu" else facts["device"]
    load = f", load {facts['load_before'][0]:.1f}" if facts["load_before"] else ""
    busy = " (other programs were at work)" if facts["busy"] else ""
    threads = f"{facts['threads']} thread{'s' * (facts['threads'] != 1)}"
    return f"{where}, {threads}, torch {facts['versions']['torch']}, {facts['date']}{load}{busy}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _title(facts: Mapping[str, Any]) -> str:
    return f"{facts['layer']} {facts['kind']}" if facts["kind"] else str(facts["layer"])


def _draw_roof(axes: Axes, points: Sequence[Row], ceilings: Mapping[str, Row]) -> None:
    rates = {name: max(row.values) for name, row in ceilings.items()}
    peak = rates["arithmetic"]
    x = [row.facts["flop_per_byte"] for row in points] or [1.0]
    y = [row.facts["gflop_per_second"] for row in points] or [peak]
    ridges = [peak / rates["memory"], peak / rates["cache"]]
    low, high = min(*x, *ridges) / 2.5, max(*x, *ridges) * 4
    for name, style in (("memory", "-"), ("cache", "--")):
        rate = rates[name]
        label = f"{name}: {_number(rate)} GB/s ({ceilings[name].what})"
        axes.plot([low, peak / rate], [low * rate, peak], style, color=_ROOF, linewidth=1.3, label=label)
    label = f"arithmetic: {_number(peak)} GFLOP/s ({ceilings['arithmetic'].what})"
    axes.plot([ridges[1], high], [peak, peak], color=_ROOF, linewidth=2.2, label=label)
    for row in points:
        forward = row.facts["direction"] == "forward"
        axes.scatter(
            row.facts["flop_per_byte"],
            row.facts["gflop_per_second"],
            s=_area(row),
            facecolor=(_FORWARD, 0.55) if forward else "none",
            edgecolor=_FORWARD if forward else _BACKWARD,
            linewidth=1.3,
            zorder=3,
        )
    axes.scatter(
        [], [], s=60, facecolor=(_FORWARD, 0.55), edgecolor=_FORWARD, label="forward (area: share of the step)"
    )
    axes.scatter([], [], s=60, facecolor="none", edgecolor=_BACKWARD, linewidth=1.3, label="backward")
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(min(y) / 2.5, peak * 2.5))
    axes.set(xlabel="arithmetic per byte moved at least, FLOP/byte", ylabel="achieved, GFLOP/s")
    axes.grid(alpha=0.3)


def _area(row: Row) -> float:
    return max(_SMALLEST, _LARGEST * float(row.facts["share"]))


def _name_points(axes: Axes, points: Sequence[Row]) -> None:
    """Names beside the points that take most, where no other name or dot is."""
    pixel = axes.figure.dpi / 72
    discs = {}
    for row in points:
        at = axes.transData.transform((row.facts["flop_per_byte"], row.facts["gflop_per_second"]))
        discs[row.what] = (*at, pixel * math.sqrt(_area(row) / math.pi))
    boxes: list[Bbox] = []
    for row in sorted(points, key=lambda row: -row.facts["share"])[:_NAMED]:
        x, y, radius = discs[row.what]
        layer = row.facts["layer"]
        names = FigureText([layer if any(map(str.isalpha, layer)) else _title(row.facts)], "", 10)
        color = _FORWARD if row.facts["direction"] == "forward" else _BACKWARD
        text = axes.annotate(
            names.short(22)[0],
            (row.facts["flop_per_byte"], row.facts["gflop_per_second"]),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=8,
            color=color,
            ha="center",
            va="center",
            zorder=4,
            bbox={"facecolor": "white", "alpha": 0.7, "edgecolor": "none", "pad": 0.5},
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkA": 1, "shrinkB": radius / pixel},
            **names.style,
        )
        own = Text.get_window_extent(text)  # without the line to the dot
        width, height = own.width / 2, 7 * pixel
        for place in _places(x, y, radius, width, height, pixel):
            box = Bbox.from_extents(place[0] - width, place[1] - height, place[0] + width, place[1] + height)
            if _free(box, axes.bbox, boxes, [disc for what, disc in discs.items() if what != row.what]):
                text.set_position(((place[0] - x) / pixel, (place[1] - y) / pixel))
                boxes.append(box)
                break
        else:
            text.remove()


def _places(x: float, y: float, radius: float, width: float, height: float, pixel: float) -> list[tuple[float, float]]:
    """Middles of a name around a dot, near ones first; sizes are halves, all in pixels."""
    places = []
    for gap in (3, 14, 28, 46, 70):
        reach = radius + gap * pixel
        for angle in (0, 180, 90, 270, 45, 315, 135, 225, 20, 340, 160, 200):
            right, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            places.append((x + right * (reach + width), y + up * (reach + height)))
    return places


def _free(box: Bbox, inside: Bbox, boxes: Sequence[Bbox], discs: Sequence[tuple[float, float, float]]) -> bool:
    if not (inside.x0 < box.x0 and box.x1 < inside.x1 and inside.y0 < box.y0 and box.y1 < inside.y1):
        return False
    if any(box.overlaps(other) for other in boxes):
        return False
    return all(
        math.hypot(x - min(max(x, box.x0), box.x1), y - min(max(y, box.y0), box.y1)) > radius for x, y, radius in discs
    )


def _bars(parts: Sequence[Row]) -> list[list[Row]]:
    """The parts of each call of a layer together, in the order of the net; the smallest in one where there are many."""
    bars: list[list[Row]] = []
    for row in parts:
        if row.facts["direction"] == "backward":
            bars[-1].append(row)
        else:
            bars.append([row])
    layers = [bar for bar in bars if bar[0].facts["direction"]]
    if len(layers) <= _BARS:
        return bars
    small = sorted(layers, key=_seconds)[: len(layers) - _BARS + 1]
    together = [
        Row(
            what="others",
            ours="",
            values=[sum(row.median for bar in small for row in bar if row.facts["direction"] == direction)],
            facts={"layer": f"{len(small)} more layers", "kind": "", "direction": direction},
        )
        for direction in ("forward", "backward")
    ]
    hidden = {id(bar) for bar in small}
    visible = [bar for bar in bars if id(bar) not in hidden]
    return [*visible[:-3], together, *visible[-3:]]  # loss, optimizer and the rest come last


def _seconds(bar: Sequence[Row]) -> float:
    return sum(row.median for row in bar)


def _draw_bars(axes: Axes, bars: Sequence[Sequence[Row]], whole: float) -> None:
    names = FigureText([_title(bar[0].facts) for bar in bars], "", 10)
    for i, bar in enumerate(bars):
        start = 0.0
        for row in bar:
            forward, layer = row.facts["direction"] == "forward", bool(row.facts["direction"])
            color = (_FORWARD if forward else _BACKWARD) if layer else _OTHER
            fill = "white" if layer and not forward else (color, 0.55)
            axes.barh(i, 1e3 * row.median, 0.72, 1e3 * start, facecolor=fill, edgecolor=color, linewidth=1.1)
            start += row.median
        axes.annotate(
            f"{_seconds(bar) / whole:.1%}{_rates(bar)}",
            (1e3 * max(0.0, start), i),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(bars)), names.short(26), fontsize=9, **names.style)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    longest = max(max(0.0, _seconds(bar)) for bar in bars)
    least = min(0.0, *(1.1 * _seconds(bar) for bar in bars))
    axes.set_xlim(1e3 * least, 1e3 * (longest + 0.65 * (longest - least)))  # with room for the words
    axes.set_xlabel(
        "ms of a step: forward filled, backward hollow\nbeside a bar: its share of the step, rate forward | backward"
    )
    axes.grid(alpha=0.3, axis="x")
    axes.axvline(0, color="0.5", linewidth=0.8)


def _rates(bar: Sequence[Row]) -> str:
    """What it achieved: arithmetic where it has any, else bandwidth."""
    for key, unit in (("gflop_per_second", "GFLOP/s"), ("gb_per_second", "GB/s")):
        rates = [_number(row.facts[key]) for row in bar if row.facts.get(key)]
        if rates:
            return f"   {' | '.join(rates)} {unit}"
    return ""


def scale(rows: Sequence[Row], axes_of: Mapping[str, str], facts: Mapping[str, Any]) -> Figure:
    """How time (left) and memory (right) grow along each axis; `axes_of` says what each is, in words.

    An axis without points shows why, as `facts["skipped"]` has it.
    """
    about = rows[0].facts
    title = f"{about['net']} in {about['precision']}; where not varied, batches of {about['batch']} images of"
    title += f" {shape(about['input'])}\n{conditions_text(about['device'], facts)}"
    figure = Figure(figsize=(12, 9), layout="constrained")
    lettering = FigureText([], title, 12)
    figure.suptitle(lettering.title, fontsize=10, **lettering.style)
    for axes, (name, words) in zip(figure.subplots(2, 2).ravel(), axes_of.items(), strict=True):
        axes.set_title(words, fontsize=10)
        axis_rows = [row for row in rows if row.facts.get("axis") == name]
        if len({row.facts["at"] for row in axis_rows if "at" in row.facts}) > 1:
            _draw_growth(axes, axis_rows)
        else:
            why = next((line for line in facts["skipped"] if line.startswith(f"{name}: ")), "not measured")
            axes.set_axis_off()
            lines = FigureText([], why, 4.2)
            axes.text(0.5, 0.5, lines.title, ha="center", va="center", transform=axes.transAxes, **lines.style)
    return figure


def _draw_growth(axes: Axes, rows: Sequence[Row]) -> None:
    memory_axes = axes.twinx()
    handles = []
    for measure, (color, line, marker) in _MEASURES.items():
        points = [
            (row.facts["at"], row.median)
            for row in rows
            if row.facts["measure"] == measure and "at" in row.facts and row.median > 0  # a small net may need no more
        ]
        if not points:
            continue
        target, times = (memory_axes, 1) if measure.startswith("memory") else (axes, 1000)
        slopes = [row for row in rows if row.facts["measure"] == measure and "at" not in row.facts]
        exponents = [(row.median, row.facts["last_three"]) for row in slopes]
        growth = "".join(f": exponent {all_:.2f}, of the last three {last_three:.2f}" for all_, last_three in exponents)
        x, y = zip(*points, strict=True)
        handles += target.plot(
            x, [v * times for v in y], line, color=color, marker=marker, markersize=4, label=f"{measure}{growth}"
        )
    for target, words, color in ((axes, "ms", _FORWARD), (memory_axes, "MB", _BACKWARD)):
        if not target.lines:
            target.set_yticks([])
            continue
        target.set(xscale="log", yscale="log")
        low, high = target.get_ylim()
        target.set_ylim(low, high * (high / low) ** 0.3)  # room for the legend
        target.set_ylabel(words, color=color)
        target.yaxis.set_major_formatter(LogFormatter())
        target.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(1.5, 0.5)))
        target.tick_params(axis="y", which="both", colors=color)
    ticks = sorted({row.facts["at"] for row in rows if "at" in row.facts})
    axes.set_xticks(ticks, [f"{tick / 1000:g}k" if tick % 1000 == 0 else f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.grid(alpha=0.3)
    axes.legend(handles=handles, loc="upper left", fontsize="small")
