#!/usr/bin/env python3
"""From the end of an alarm's on-delay to the first byte of the push: push_delay.py BINARY [SECONDS [POINTS]]

A Modbus server in this process raises and lowers POINTS values in turn; a web server takes the pages. The on-delay begins when the answer with the
raised value leaves us. Prints p50 and p99 beside the time of an fsync of 4 kB in the same directory.
"""
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ON_DELAY = 0.5
PERIOD = 2.0


def main(binary, seconds="60", points="10"):
    seconds, points = float(seconds), int(points)
    began, told, delays, lock = {}, {}, [], threading.Lock()
    start = time.monotonic()

    def high(i, now):
        return (now - start + i * PERIOD / points) % PERIOD < PERIOD / 2

    def modbus(server):
        s, _ = server.accept()
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        was = [False] * points
        while ask := s.recv(12):
            tid, unit, fc, addr, n = struct.unpack(">H4xBBHH", ask)
            now = time.monotonic()
            state = [high(i, now) for i in range(points)]
            words = [100 if on else 0 for on in state]
            s.sendall(struct.pack(">HHHBBB", tid, 0, 3 + 2 * n, unit, fc, 2 * n) + struct.pack(f">{n}H", *words[addr:addr + n]))
            now = time.monotonic()
            with lock:
                for i, (a, b) in enumerate(zip(was, state)):
                    if b and not a:
                        began[i] = now
            was = state

    def web(s):
        while True:
            data = s.recv(65536)
            now = time.monotonic()
            if not data:
                return
            while b"\r\n\r\n" not in data:
                data += s.recv(65536)
            head, body = data.split(b"\r\n\r\n", 1)
            length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
            while len(body) < length:
                body += s.recv(65536)
            s.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
            for about in json.loads(body)["alarms"]:
                # Nobody takes them: those of before are told again together with those that are new.
                if about["what"] == "raised" and about["occurrence"] > told.get(about["alarm"], 0):
                    told[about["alarm"]] = about["occurrence"]
                    i = int(about["alarm"].split(".")[0][1:])
                    with lock:
                        delays.append(now - began[i] - ON_DELAY)

    def accept(server):
        while True:
            s, _ = server.accept()
            threading.Thread(target=web, args=(s,), daemon=True).start()

    field, service = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=modbus, args=(field,), daemon=True).start()
    threading.Thread(target=accept, args=(service,), daemon=True).start()
    with tempfile.TemporaryDirectory(dir=os.environ.get("FLASH_DIR", ".")) as t:
        site = Path(t, "site")
        (site / "profiles").mkdir(parents=True)
        (site / "alarms").mkdir()
        (site / "profiles/p.toml").write_text(
            'format = 1\nname = "p"\nmaker = "m"\nmodel = "m"\nclass = "any"\nsource = "s"\nchecked_on_hardware = false\n[groups]\nfast = "100ms"\n'
            + "".join(f'[points.x_p{i}]\naddress = {i}\ntype = "u16"\n' for i in range(points)))
        (site / "alarms/own.toml").write_text('format = 1\nclass = "environment"\n' + "".join(
            f'[rules.r{i}]\nzh = "{{device}} {{v}}"\nen = "{{device}} {{v}}"\naction = {{ zh = "x", en = "x" }}\npriority = "P1"\n'
            f'on_delay = "{int(ON_DELAY * 1000)}ms"\nwhen = {{ high = {{ point = "x_p{i}", limit = 50 }} }}\n' for i in range(points)))
        (site / "site.toml").write_text(
            '[site]\nid = "s"\nzh = "s"\nen = "s"\ntime_zone = "UTC"\n[clock]\nsource = "rtc"\n[health]\nlisten = ""\n[alarms]\nflood_more_than = 1000000\nchatter_times = 0\n[oncall]\nreturns_within = "0s"\n'
            f'[[link.tcp]]\nid = "l"\nhost = "127.0.0.1"\nport = {field.getsockname()[1]}\n[[unit]]\nid = "u"\nlink = "l"\naddress = 1\nprofile = "p"\n'
            '[[device]]\nid = "d"\nclass = "environment"\nzh = "d"\nen = "d"\nunit = "u"\n'
            f'[[channel.webhook]]\nid = "hook"\nurl = "http://127.0.0.1:{service.getsockname()[1]}"\nper_min = 1000000\n'
            '[[person]]\nid = "p"\nzh = "p"\nen = "p"\ncontacts = [{ channel = "hook" }]\n[[chain]]\nid = "c"\n[[chain.step]]\ntell = ["person:p"]\nwait = "1h"\n')
        fsync = []
        for _ in range(200):
            with open(f"{t}/fsync", "ab") as f:
                f.write(b"x" * 4096)
                f.flush()
                at = time.monotonic()
                os.fsync(f.fileno())
                fsync.append(time.monotonic() - at)
        p = subprocess.Popen([binary, "--config", str(site), "--state", f"{t}/state", "run"], stderr=open(f"{t}/log", "w"))
        try:
            time.sleep(3)
            with lock:
                delays.clear()
            time.sleep(seconds)
        finally:
            p.terminate()
            p.wait()
        with lock:
            d = sorted(delays)
        f = sorted(fsync)
        at = lambda values, share: values[min(len(values) - 1, int(len(values) * share))] * 1000
        print(f"{len(d)} pages: p50 {at(d, 0.5):.1f} ms, p99 {at(d, 0.99):.1f} ms, most {d[-1] * 1000:.1f} ms; "
              f"an fsync of 4 kB here: p50 {at(f, 0.5):.1f} ms, p99 {at(f, 0.99):.1f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:])
