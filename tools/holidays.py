#!/usr/bin/env python3
"""Writes config/calendars/cn.toml: holidays of mainland China and the days that make up for them, from PyPI's `chinesecalendar`.

    pip install --upgrade chinesecalendar && tools/holidays.py

The State Council announces a year's days in the November before; the package follows within days. Run it then.
"""
import datetime
from pathlib import Path

import chinese_calendar

FIRST = 2026


def main():
    last = max(max(chinese_calendar.constants.holidays), max(chinese_calendar.constants.workdays)).year
    free, working = [], []
    day = datetime.date(FIRST, 1, 1)
    while day.year <= last:
        is_weekend, is_free = day.weekday() >= 5, chinese_calendar.is_holiday(day)
        if is_free and not is_weekend:
            free.append(day)
        if is_weekend and not is_free:
            working.append(day)
        day += datetime.timedelta(days=1)
    out = ["# Mainland China. Written by tools/holidays.py from PyPI's chinesecalendar; not by hand.", "format = 1", f'until = "{last}-12-31"']
    for name, days in (("free", free), ("working", working)):
        out += [f"{name} = ["] + [f'    "{d.isoformat()}",' for d in days] + ["]"]
    path = Path(__file__).parent.parent / "config/calendars/cn.toml"
    path.write_text("\n".join(out) + "\n")
    print(f"{path}: {len(free)} free, {len(working)} worked, until {last}-12-31")


if __name__ == "__main__":
    main()
