"""The state of the hosts of a telemetry lake, as a page.

    python3 -m venv page && page/bin/pip install streamlit duckdb
    page/bin/streamlit run app.py

The lake is the one of TELEMETRY_LAKE, else the one that `telemetry-collect` writes to. The page only reads.
"""

import contextlib
import datetime
import zoneinfo
from collections.abc import Iterator
from pathlib import Path

import charts
import duckdb
import lake
import pandas
import streamlit as st
import words

REFRESH = datetime.timedelta(seconds=30)
# Later than these the last sample is late, and its host silent, as the alert rule `host-silent` has it.
LATE = datetime.timedelta(minutes=3)
SILENT = datetime.timedelta(minutes=15)
INTERVALS = 3
# Five in a row on a screen, two on a phone.
METRIC_WIDTH = 150
SEVERITIES = {"critical": "red", "warning": "orange", "info": "blue"}
STYLE = """<style>
.block-container { max-width: 76rem; padding-top: 2.5rem; }
[data-testid="stMetricValue"] { font-variant-numeric: tabular-nums; letter-spacing: -0.01em; }
@media (max-width: 40rem) { .block-container { padding: 1.5rem 1rem; } }
</style>"""

hosts = st.cache_data(ttl=REFRESH * 2, show_spinner=False, max_entries=8)(lake.hosts)
latest = st.cache_data(ttl=REFRESH / 6, show_spinner=False, max_entries=64)(lake.latest)
alerts = st.cache_data(ttl=REFRESH, show_spinner=False, max_entries=64)(lake.alerts)


@st.cache_data(show_spinner=False, max_entries=64)
def series(path: Path, host: str, name: str, moment: datetime.datetime) -> pandas.DataFrame:
    return lake.series(path, host, lake.RANGES[name], moment)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Says what to do instead of showing a traceback."""
    try:
        yield
    except lake.LakeError as error:
        st.info(str(error))
    except PermissionError as error:
        st.error(f"This page may not read {words.plain(str(error.filename))}: run it as a user who may.")
    except (duckdb.Error, OSError) as error:
        st.error(f"The lake cannot be read; `telemetry doctor` says why. {words.plain(str(error))}")


def page() -> None:
    st.set_page_config("Host telemetry", layout="wide")
    st.html(STYLE)
    with explained():
        path = lake.find()
        if not path.is_dir():
            raise lake.LakeError(f"There is no lake at `{path}`. `telemetry-collect` makes it with its first sample.")
        if not (names := hosts(path)):
            raise lake.LakeError(f"The lake at `{path}` has no samples yet. `telemetry-collect` takes one.")
        show(path, *choices(names))


def choices(names: list[str]) -> tuple[str, lake.Range]:
    """The chosen host and range; both are in the address too, so that a link leads to them."""
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        st.title("Host telemetry", anchor=False, width="content")
        with st.container(horizontal=True, vertical_alignment="bottom", width="content"):
            host = st.selectbox("Host", names, key="host", bind="query-params", width=240)
            name = st.segmented_control(
                "Range", list(lake.RANGES), default="24 h", key="range", bind="query-params", required=True
            )
    return host, lake.RANGES[name]


@st.fragment(run_every=REFRESH)
def show(path: Path, host: str, range: lake.Range) -> None:
    now = datetime.datetime.now(datetime.UTC)
    # One moment for all who look within a step of the charts: their data are read once.
    step = max(REFRESH, min(range.step, REFRESH * 10))
    moment = now - (now - datetime.datetime.fromtimestamp(0, datetime.UTC)) % step
    with explained():
        if sample := latest(path, host):
            show_status(host, sample, lake.stored(path, host), now)
        if (found := alerts(path, host, moment - range.length)) is not None:
            show_alerts(found)
        rows = series(path, host, range.name, moment)
        if rows.empty:
            hint = " Days are drawn from rollups: does `telemetry-rollup` run?" if range.is_gold else ""
            st.info(f"Nothing is known of the last {range.name}.{hint}")
            return
        show_charts(rows, (moment - range.length, now))
        source = "rollups" if range.is_gold else "samples"
        st.caption(f"A point every {words.duration(range.step)}, made from {source}. Times are {zone()}.")


def show_status(host: str, sample: dict, stored: datetime.datetime | None, now: datetime.datetime) -> None:
    taken = datetime.datetime.fromtimestamp(sample["as_of_us"] / lake.US, datetime.UTC)
    interval = datetime.timedelta(seconds=sample["sample_interval_seconds"] or 0)
    # A host is not silent while its samples wait to be published.
    age = now - max(taken, stored or taken)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.subheader(host, anchor=False, width="content")
            if age < -LATE:
                st.badge("Clock ahead", icon=":material/schedule:", color="orange")
            elif age > max(SILENT, INTERVALS * interval):
                st.badge("Silent", icon=":material/error:", color="red")
            elif age > max(LATE, INTERVALS * interval):
                st.badge("Late", icon=":material/schedule:", color="orange")
            else:
                st.badge("Sampling", icon=":material/check_circle:", color="green")
            st.caption(system(sample))
        with st.container(horizontal=True, gap="small"):
            for label, value, note in values(sample):
                metric(label, value, note)
            note = "newer ones wait" if stored and stored - taken > LATE else words.moment(taken, zone())
            metric("Last sample", words.ago(now - taken), note)


def metric(label: str, value: str | None, note: str) -> None:
    st.metric(label, value or "–", note, delta_color="off", delta_arrow="off", width=METRIC_WIDTH)


def system(sample: dict) -> str:
    up = sample["uptime_seconds"]
    known = [sample["os"], sample["arch"], up and f"up {words.duration(datetime.timedelta(seconds=up))}"]
    return " · ".join(filter(None, known))


def values(sample: dict) -> list[tuple[str, str | None, str]]:
    """Label, value and a note below it; a value that was not measured is none, never zero."""

    def share(part: str, whole: str, in_gb: float) -> tuple[str | None, str]:
        if sample[part] is None or not sample[whole]:
            return None, "not measured"
        note = f"{words.percent(100 * sample[part] / sample[whole])} of {words.size(sample[whole] * in_gb)}"
        return words.size(sample[part] * in_gb), note

    cpu, cores, temperature = sample["cpu_pct"], sample["cpu_count_logical"], sample["cpu_temp_c"]
    return [
        ("CPU", None if cpu is None else words.percent(cpu), f"of {cores} cores" if cores else "not measured"),
        ("Memory used", *share("ram_used_mb", "ram_total_mb", 1 / 1024)),
        ("Disk free", *share("disk_root_free_gb", "disk_root_total_gb", 1)),
        ("Temperature", None, "not on this host")
        if temperature is None
        else ("Temperature", words.degrees(temperature), "of the processor"),
    ]


def show_alerts(found: pandas.DataFrame) -> None:
    firing = found[found["state"] == "firing"] if len(found) else found
    if len(firing):
        with st.container(border=True, gap="small"):
            for alert in firing.itertuples():
                color, name = SEVERITIES.get(alert.severity, "gray"), alert.severity.capitalize()
                st.markdown(f":{color}-badge[:material/warning: {name}] {words.plain(alert.message)}")
    else:
        st.caption(":material/check: No alert fires.")
    ended = found.drop(firing.index)
    if len(ended):
        with st.expander(f"{len(ended)} alert{'s' if len(ended) > 1 else ''} ended in this range"):
            rows = {
                "Began": [words.moment(instant, zone()) for instant in ended["starts"]],
                "Ended": [words.moment(instant, zone()) for instant in ended["ends"]],
                "Severity": ended["severity"].str.capitalize(),
                "Alert": ended["alert_type"],
                "What it said": ended["message"],
            }
            st.dataframe(pandas.DataFrame(rows), hide_index=True, height=min(38 + 35 * len(ended), 300))


def show_charts(rows: pandas.DataFrame, span: tuple[datetime.datetime, datetime.datetime]) -> None:
    *pairs, last = charts.METRICS
    places = [place for _ in pairs[::2] for place in st.columns(2, gap="small")]
    for metric, place in zip([*pairs, last], [*places, st.container()], strict=True):
        with place.container(border=True, gap="xsmall", height="stretch"):
            st.markdown(f"**{metric.title}**")
            summary = metric.summary(rows)
            st.caption(summary or metric.absent)
            if summary:
                drawn = charts.draw(metric, rows, span)
                st.vega_lite_chart(charts.points(metric, rows), drawn, alt=f"{metric.title}: {summary}")


def zone() -> datetime.tzinfo:
    """That of the browser, as in the charts."""
    try:
        return zoneinfo.ZoneInfo(st.context.timezone or "UTC")
    except (ValueError, zoneinfo.ZoneInfoNotFoundError):
        return datetime.UTC


page()
