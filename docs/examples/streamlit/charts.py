"""A chart over time: a line that ends where nothing is known, and a shade up to the peaks of its points."""

import datetime
from collections.abc import Callable
from dataclasses import dataclass

import pandas
import words

HEIGHT = 180
# Twenty-four hours a day, and the day before its month.
TIMES = {
    **dict.fromkeys(("minutes", "hours"), "%H:%M"),
    **dict.fromkeys(("day", "date", "week"), "%e %b"),
    **dict.fromkeys(("month", "quarter"), "%b"),
}
NO_TEMPERATURE = "Temp not available on this host"


@dataclass(frozen=True)
class Metric:
    """What one chart shows; the columns are those of `lake.series`."""

    title: str
    # Each with its name in the legend.
    columns: dict[str, str]
    # A value in words.
    reading: Callable[[float], str]
    # What stands beside the axis, as an expression of Vega.
    label: str
    # The largest values within each point.
    peak: str | None = None
    # Where the axis ends: a number, or a column.
    top: float | str | None = None
    is_from_zero: bool = True
    # Which value of the range is worth a word.
    extreme: str = "peak"
    absent: str = "Not measured on this host"

    def summary(self, rows: pandas.DataFrame) -> str | None:
        """What the chart shows, in words; none if nothing was measured."""
        texts = []
        for column, name in self.columns.items():
            values = rows[column].dropna()
            if values.empty:
                continue
            extreme = values.min() if self.extreme == "lowest" else rows[self.peak or column].max()
            prefix = f"{name.lower()} " if len(self.columns) > 1 else ""
            texts.append(f"{prefix}mean {self.reading(values.mean())}, {self.extreme} {self.reading(extreme)}")
        return " · ".join(texts) or None


METRICS = (
    Metric("CPU", {"cpu": "CPU"}, words.percent, "datum.label + ' %'", peak="cpu_max", top=100),
    Metric("Memory used", {"ram": "Used"}, words.size, "datum.label + ' GiB'", peak="ram_max", top="ram_total"),
    Metric("Disk free", {"disk": "Free"}, words.size, "datum.label + ' GiB'", extreme="lowest"),
    Metric(
        "Temperature",
        {"temperature": "Processor"},
        words.degrees,
        "datum.label + ' °C'",
        is_from_zero=False,
        absent=NO_TEMPERATURE,
    ),
    Metric(
        "Network",
        {"rx": "Received", "tx": "Sent"},
        words.rate,
        "replace(format(datum.value, '~s'), regexp('([kMGT]?)$'), ' $1') + 'bit/s'",
    ),
)


def draw(metric: Metric, rows: pandas.DataFrame, span: tuple[datetime.datetime, datetime.datetime]) -> dict:
    """The metric over all of the span, as a Vega-Lite chart of the points of `points`."""
    time = {"field": "t", "type": "temporal", "title": None}
    time["scale"] = {"domain": [instant.isoformat() for instant in span]}
    time["axis"] = {"grid": False, "tickCount": 5, "labelOverlap": True, "format": TIMES}
    top = rows[metric.top].max() if isinstance(metric.top, str) else metric.top
    value = {"field": "value", "type": "quantitative", "title": None}
    value["scale"] = {"zero": metric.is_from_zero} if pandas.isna(top) else {"domain": [0, top]}
    value["axis"] = {"tickCount": 3, "domain": False, "ticks": False, "labelFlush": False}
    value["axis"]["labelExpr"] = metric.label
    names = list(metric.columns.values())
    legend = {"title": None, "orient": "top", "offset": 4, "padding": 0, "symbolSize": 60} if len(names) > 1 else None
    color = {"field": "name", "type": "nominal", "sort": names, "legend": legend}
    peaks = {"mark": {"type": "area", "opacity": 0.2, "clip": True}, "encoding": {"y2": {"field": "peak"}}}
    lines = {"mark": {"type": "line", "strokeWidth": 1.75, "clip": True}}
    # A line needs two points, so one between gaps is a dot.
    alone = {
        "transform": [{"filter": "datum.is_alone"}],
        "mark": {"type": "circle", "size": 20, "opacity": 1, "clip": True},
    }
    layers = [*([peaks] if metric.peak else []), lines, alone, BELOW_THE_POINTER]
    encoding = {"x": time, "y": value, "color": color}
    return {"height": HEIGHT, "padding": {"bottom": 4}, "encoding": encoding, "layer": layers}


# The points nearest to the pointer, with what they say.
BELOW_THE_POINTER = {
    "transform": [{"filter": "isValid(datum.value)"}],
    "params": [
        {
            "name": "near",
            "select": {
                "type": "point",
                "nearest": True,
                "on": "pointermove",
                "clear": "pointerout",
                "fields": ["t"],
            },
        }
    ],
    "mark": {"type": "circle", "size": 60, "clip": True},
    "encoding": {
        "opacity": {"condition": {"param": "near", "empty": False, "value": 1}, "value": 0},
        "tooltip": [
            {"field": "t", "type": "temporal", "title": "Time", "format": "%e %b %Y, %H:%M:%S"},
            {"field": "reading", "type": "nominal", "title": "Value"},
        ],
    },
}


def points(metric: Metric, rows: pandas.DataFrame) -> pandas.DataFrame:
    """A row a point and column of the metric."""
    return pandas.concat([points_of(metric, rows, column) for column in metric.columns], ignore_index=True)


def points_of(metric: Metric, rows: pandas.DataFrame, column: str) -> pandas.DataFrame:
    name, value = metric.columns[column], rows[column].astype(float)
    # Milliseconds, which is what Vega-Lite counts time in.
    time = rows["t"] / 1e3
    found = pandas.DataFrame({"t": time, "name": name, "value": value})
    if metric.peak:
        found["peak"] = rows[metric.peak].astype(float)
    found["is_alone"] = value.notna() & value.shift(1).isna() & value.shift(-1).isna()
    found["reading"] = [f"{name} {metric.reading(one)}" if pandas.notna(one) else None for one in value]
    return found
