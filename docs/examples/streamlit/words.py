"""Numbers and times as people read them."""

import datetime
import re

import pandas

SIZES = ("MiB", "GiB", "TiB")
RATES = ("bit/s", "kbit/s", "Mbit/s", "Gbit/s")


def number(value: float, unit: str) -> str:
    """As `38.2 %`; with three digits, since the fourth is noise."""
    digits = 0 if abs(value) >= 99.95 or value == 0 else 1
    return f"{value:,.{digits}f} {unit}"


def scaled(value: float, units: tuple[str, ...], factor: int) -> str:
    """In the largest of these units of which there is at least one."""
    for unit in units[:-1]:
        if abs(value) < factor:
            return number(value, unit)
        value /= factor
    return number(value, units[-1])


def size(gb: float) -> str:
    return scaled(gb * 1024, SIZES, 1024)


def rate(bps: float) -> str:
    return scaled(bps, RATES, 1000)


def percent(value: float) -> str:
    return number(value, "%")


def degrees(value: float) -> str:
    return number(value, "°C")


def ago(age: datetime.timedelta) -> str:
    """As `3 h ago`; the clock of a host can be ahead."""
    return f"{duration(age)} ago" if age >= datetime.timedelta() else f"in {duration(-age)}"


def duration(length: datetime.timedelta) -> str:
    """In its largest unit, as `3 h`."""
    seconds = int(length.total_seconds())
    for unit, in_seconds in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= in_seconds:
            return f"{seconds // in_seconds} {unit}"
    return f"{seconds} s"


def moment(instant: datetime.datetime, zone: datetime.tzinfo) -> str:
    """As `21 Nov, 14:05`; nothing for no instant."""
    return "" if pandas.isna(instant) else f"{instant.astimezone(zone):%d %b, %H:%M}".lstrip("0")


def plain(text: str) -> str:
    """The text for a place that takes Markdown."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", text)
