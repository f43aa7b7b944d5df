#!/usr/bin/env python3
"""Bytes that the gateway writes to flash for each sample: flash.py BINARY DEVICES SECONDS [COMMIT_MS [EVERY_MS]]

Runs the gateway on DEVICES simulated devices of 100 points (a small server in this process, whose values walk), reads what the kernel counts as
written, and divides by the samples that the journal committed. Runs over the turn of an hour, so that sealing is in it, if SECONDS is long enough. PLANTROOM_RULES=n and PLANTROOM_STORE=URL as in bench_config.py.
"""
import json
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path


class Device(threading.Thread):
    """Answers function 3 with values that walk."""

    def __init__(self):
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.words = [2300 + random.randrange(50) for _ in range(200)]

    def run(self):
        while True:
            s, _ = self.server.accept()
            try:
                while ask := s.recv(12):
                    tid, unit, fc, addr, n = struct.unpack(">H4xBBHH", ask)
                    for i in range(0, 200, 2):
                        self.words[i] = (self.words[i] + random.randrange(-3, 4)) & 0xFFFF
                    data = struct.pack(f">{n}H", *self.words[addr:addr + n])
                    s.sendall(struct.pack(">HHHBBB", tid, 0, 3 + 2 * n, unit, fc, 2 * n) + data)
            except OSError:
                pass


def main(binary, devices, seconds, commit_ms="1000", every_ms="1000"):
    farm = [Device() for _ in range(int(devices))]
    for d in farm:
        d.start()
    with tempfile.TemporaryDirectory(dir=os.environ.get("FLASH_DIR", ".")) as t:
        job = {"interval_s": int(every_ms) / 1000, "mqtt": "127.0.0.1:9",
               "devices": [{"name": f"d{i:03d}", "host": "127.0.0.1", "port": d.port, "unit": 1} for i, d in enumerate(farm)],
               "points": [{"name": f"p{i:03d}_{'f32' if i % 5 == 4 else 'u16'}", "addr": 2 * i, "kind": "f32" if i % 5 == 4 else "u16"}
                          for i in range(62)]}
        Path(t, "job.json").write_text(json.dumps(job))
        subprocess.run([sys.executable, Path(__file__).with_name("bench_config.py"), f"{t}/job.json", f"{t}/site"], check=True)
        site = Path(t, "site/site.toml")
        site.write_text(site.read_text().replace("[clock]", f"[journal]\ncommit_ms = {commit_ms}\n[clock]"))
        p = subprocess.Popen([binary, "--config", f"{t}/site", "--state", f"{t}/state", "run"], stderr=open(f"{t}/log", "w"))
        try:
            time.sleep(5)
            a = figures(p.pid, binary, t)
            time.sleep(int(seconds))
            b = figures(p.pid, binary, t)
        finally:
            p.terminate()
            p.wait()
        n = (b[1] - a[1]) * 62
        files = sum(f.stat().st_size for f in Path(t, "state/journal").glob("*.db"))
        print(f"{n / int(seconds):.0f} samples/s, commits every {commit_ms} ms, {seconds} s: {(b[0] - a[0]) / n:.1f} bytes a sample written "
              f"(of the write-ahead log up to {files / (b[1] * 62):.1f} more are due when it is folded, every 4 MB); resident {b[2] / 1024:.1f} MiB, at most {b[3] / 1024:.1f}")


def figures(pid, binary, t):
    io = Path(f"/proc/{pid}/io").read_text()
    written = int(next(line.split()[1] for line in io.splitlines() if line.startswith("write_bytes")))
    memory = {k: int(v.split()[0]) for k, v in (line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()) if k in ("VmRSS", "VmHWM")}
    status = json.loads(subprocess.run([binary, "--state", f"{t}/state", "status", "--format", "json"], capture_output=True, check=True).stdout)
    return written, status["journal"]["committed"], memory["VmRSS"], memory["VmHWM"]


if __name__ == "__main__":
    main(*sys.argv[1:])
