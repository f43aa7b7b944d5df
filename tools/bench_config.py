#!/usr/bin/env python3
"""Writes a configuration for one run of the yardstick: bench_config.py JOB.json DIR [BAUD]

PLANTROOM_STORE: address of a time-series store that is written to as well.
PLANTROOM_RULES: alarm rules for each device; none of them is ever raised.
BAUD: the devices are on a serial line whose device file the yardstick names after the broker's port.

The yardstick (a farm of simulated devices, C loops as the limit, other gateways) says in JOB.json which devices and points
there are; it recognises our messages by the names of device and point, so the points keep the yardstick's names, in a
vocabulary of their own.
"""
import json
import os
import sys
from pathlib import Path

TYPES = {"ts": ("u32", "ABCD"), "seq": ("u32", "ABCD"), "u16": ("u16", "ABCD"), "i32": ("i32", "ABCD"),
         "f32": ("f32", "ABCD"), "f32cdab": ("f32", "CDAB"), "u64": ("u64", "ABCD")}


def main(job_file, out, baud=None):
    job = json.loads(Path(job_file).read_text())
    out = Path(out)
    (out / "vocabulary").mkdir(parents=True, exist_ok=True)
    (out / "profiles").mkdir(exist_ok=True)
    serial = f"/tmp/gwb{job['mqtt'].split(':')[1]}" if baud else None
    every = max(int(job["interval_s"] * 1000), 10)

    vocabulary = ['format = 1', 'class = "bench"', 'zh = "测试"', 'en = "Bench"']
    profile = ['format = 1', 'name = "bench"', 'maker = "yardstick"', 'model = "farm"', 'class = "bench"',
               'source = "job.json"', 'checked_on_hardware = false', '[groups]', f'fast = "{every}ms"']
    for p in job["points"]:
        kind, order = TYPES[p["kind"]]
        vocabulary += [f'[points.{p["name"]}]', 'kind = "number"', 'retention = "telemetry"', 'zh = "点"', 'en = "Point"']
        profile += [f'[points.{p["name"]}]', f'address = {p["addr"]}', f'type = "{kind}"', f'order = "{order}"']
    (out / "vocabulary/bench.toml").write_text("\n".join(vocabulary) + "\n")
    (out / "profiles/bench.toml").write_text("\n".join(profile) + "\n")

    rules(out, [p["name"] for p in job["points"] if p["kind"] != "ts"])
    host, port = job["mqtt"].split(":")
    site = ['[site]', 'id = "bench"', 'zh = "测试"', 'en = "Bench"', 'time_zone = "UTC"', '[clock]', 'source = "rtc"',
            '[health]', 'listen = ""', '[[sink.mqtt]]', 'name = "broker"', f'url = "mqtt://{host}:{port}"', 'version = "3.1.1"']
    store = os.environ.get("PLANTROOM_STORE")
    if store:
        site += ['[[sink.influx]]', 'name = "store"', f'url = "{store}"', 'bucket = "bench"']
    links, units, devices = [], [], []
    if serial:
        links += ['[[link.serial]]', 'id = "line"', f'port = "{serial}"', f'baud = {baud}', 'timeout_ms = 300', 'overload = true']
    ports = {}
    for d in job["devices"]:
        link = "line"
        if not serial:
            link = ports.setdefault((d["host"], d["port"]), f"l{len(ports):03d}")
        units += ['[[unit]]', f'id = "{d["name"]}"', f'link = "{link}"', f'address = {d["unit"]}', 'profile = "bench"']
        devices += ['[[device]]', f'id = "{d["name"]}"', 'class = "bench"', 'zh = "设备"', 'en = "Device"', f'unit = "{d["name"]}"']
    for (h, p), name in ports.items():
        links += ['[[link.tcp]]', f'id = "{name}"', f'host = "{h}"', f'port = {p}', 'timeout_ms = 500', 'overload = true']
    (out / "site.toml").write_text("\n".join(site + links + units + devices) + "\n")


def rules(out, points):
    count = int(os.environ.get("PLANTROOM_RULES", "0"))
    if not count:
        return
    (out / "alarms").mkdir(exist_ok=True)
    text = ['format = 1', 'class = "bench"']
    for i in range(count):
        p, other = points[i % len(points)], points[(i + 1) % len(points)]
        high = f'{{ high = {{ point = "{p}", limit = 1e15, deadband = 1 }} }}'
        kinds = [
            high,
            f'{{ low = {{ point = "{p}", limit = -1e15 }} }}',
            f'{{ all = [{high}, {{ not = {{ is = {{ point = "{other}" }} }} }}] }}',
            f'{{ rate = {{ point = "{p}", per_min = 1e15, within = "2m" }} }}',
            f'{{ lasting = {{ for = "5s", when = {high} }} }}',
            f'{{ frozen = {{ point = "{p}", for = "9d" }} }}',
            f'{{ count = {{ when = {high}, at_least = 3, within = "10m" }} }}',
            f'{{ deviation = {{ point = "{p}", from = "{other}", limit = 1e15 }} }}',
        ]
        text += [f'[rules.r{i}]', 'zh = "测"', 'en = "bench"', 'action = { zh = "查", en = "look" }', 'priority = "P3"',
                 'on_delay = "10s"', f'when = {kinds[i % len(kinds)]}']
    (out / "alarms/bench.toml").write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:4])
