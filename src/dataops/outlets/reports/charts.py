"""Charts of reports: one Vega-Lite specification per chart, drawn as SVG for page and paper.

Drawn without a browser and the same to the byte each time. Colours differ in lightness, so that they survive a
black-and-white printer; no meaning is in a colour alone.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from dataops.facts.report import ChartFacts, SectionFacts
from dataops.facts.wording import Wording

COLOURS = ["#08306b", "#2f7fbc", "#9ecae1", "#d95f0e", "#7a7a7a", "#c7c7c7"]
LOSS = "#b3261e"
LINE = "_line"  # which of two figures a point is of
WIDTH = 640
Spec = dict[str, Any]
"""A Vega-Lite specification."""


def specification(section: SectionFacts) -> Spec:
    """The chart of a section; needs one."""
    chart = section.chart
    if chart is None:
        raise ValueError(f"{section.section} has no chart")
    named = [name for name in (chart.x, chart.y, chart.colour) if name]
    rows = [{name: _value(row[section.at(name)]) for name in named} for row in section.rows]
    if chart.beside:
        rows = [row | {LINE: _title(section, chart.y)} for row in rows] + _beside(section, chart)
    spec: Spec = {
        "data": {"values": rows},
        "width": WIDTH,
        "config": {
            "font": "Libertinus Serif, DejaVu Sans, sans-serif",
            "view": {"stroke": None},
            "axis": {"labelFontSize": 11, "titleFontSize": 11, "grid": False},
            "legend": {"labelFontSize": 11, "titleFontSize": 11, "orient": "bottom"},
        },
    }
    drawing = {"bar": _bars, "grouped": _side_by_side, "stacked": _over_time, "line": _over_time}
    return spec | drawing[chart.kind](section, chart)


def _title(section: SectionFacts, name: str) -> str:
    return section.columns[section.at(name)].title


def _bars(section: SectionFacts, chart: ChartFacts) -> Spec:
    """One bar per name, in the order of the rows; losses in another colour and left of the line."""
    return {
        "height": {"step": 24},
        "mark": {"type": "bar"},
        "encoding": {
            "y": {"field": chart.y, "type": "nominal", "sort": None, "title": None, "axis": {"labelLimit": 220}},
            "x": {
                "field": chart.x,
                "type": "quantitative",
                "title": _title(section, chart.x),
                "axis": {"format": ",.0f"},
            },
            "color": {"condition": {"test": f"datum['{chart.x}'] < 0", "value": LOSS}, "value": COLOURS[1]},
        },
    }


def _beside(section: SectionFacts, chart: ChartFacts) -> list[Spec]:
    """The second line's points, where it is known."""
    second = str(chart.beside)
    return [
        {
            chart.x: _value(row[section.at(chart.x)]),
            chart.y: _value(row[section.at(second)]),
            LINE: _title(section, second),
        }
        for row in section.rows
        if row[section.at(second)] is not None
    ]


def _side_by_side(section: SectionFacts, chart: ChartFacts) -> Spec:
    """Groups of bars, one group per name and one bar per colour, both in the order of the rows."""
    return {
        "height": 240,
        "mark": {"type": "bar"},
        "encoding": {
            "x": {"field": chart.x, "type": "nominal", "sort": None, "title": _title(section, chart.x),
                  "axis": {"labelAngle": 0}},
            "xOffset": {"field": chart.colour, "type": "nominal", "sort": None},
            "y": {"field": chart.y, "type": "quantitative", "title": _title(section, chart.y),
                  "axis": {"format": ",.0f"}},
            "color": _colours(section, str(chart.colour)),
        },
    }  # fmt: skip


def _colours(section: SectionFacts, name: str) -> Spec:
    names = list(dict.fromkeys(row[section.at(name)] for row in section.rows))
    scale = {"domain": names, "range": (COLOURS * 3)[: len(names)]}
    return {"field": name, "type": "nominal", "title": None, "scale": scale}


def _over_time(section: SectionFacts, chart: ChartFacts) -> Spec:
    mark = {"type": "bar"} if chart.kind == "stacked" else {"type": "line", "point": True, "interpolate": "linear"}
    days = {row[section.at(chart.x)] for row in section.rows}
    unit = "yearmonth" if all(getattr(day, "day", 0) == 1 for day in days) else "yearmonthdate"
    form = "%b %Y" if unit == "yearmonth" else "%d %b"
    encoding: Spec = {
        "x": {
            "field": chart.x, "type": "ordinal", "timeUnit": f"utc{unit}", "title": None,
            "axis": {"format": form, "formatType": "time", "labelAngle": -45},
        },
        "y": {
            "field": chart.y, "type": "quantitative", "title": _title(section, chart.y), "axis": {"format": ",.0f"},
        },
    }  # fmt: skip
    if chart.colour:
        encoding["color"] = _colours(section, chart.colour)
    if chart.beside:
        names = [_title(section, name) for name in (chart.y, chart.beside)]
        both = {"field": LINE, "type": "nominal", "title": None}
        encoding["color"] = both | {"scale": {"domain": names, "range": [COLOURS[0], COLOURS[3]]}}
        encoding["strokeDash"] = both | {"scale": {"domain": names, "range": [[1, 0], [6, 4]]}}
    return {"height": 240, "mark": mark, "encoding": encoding}


def _value(value: object) -> object:
    if isinstance(value, dt.date):
        return value.isoformat()
    return value if value is None or isinstance(value, str | bool) else float(str(value))


def svg(section: SectionFacts, wording: Wording) -> str:
    """The chart as SVG."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(specification(section), **_locale(wording)))


def png(section: SectionFacts, wording: Wording) -> bytes:
    """The chart as PNG, twice as large as it is shown: mail programs show no SVG."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(specification(section), scale=2, **_locale(wording)))


def _locale(wording: Wording) -> Spec:
    """d3's names of the reader's language."""
    numbers, times = {"en": ("en-GB", "en-GB"), "fr": ("fr-FR", "fr-FR")}[wording.language]
    return {"format_locale": numbers, "time_format_locale": times, "allowed_base_urls": []}
