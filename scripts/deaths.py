#!/usr/bin/env python3
"""Random deaths: a gateway with twenty devices, a broker, a store and a proxy between them, each killed, stopped or hung at random.

    scripts/deaths.py PLANTROOM-BINARY MINUTES [SEED]

Every device counts up by one with each read. At the end broker and store stay up until nothing is behind, then it is counted what
arrived: per device by MQTT (what does not rise is a repetition), in the store, and in the gateway's own history. Ends with 1 if a
value of the history is missing anywhere, or if order does not hold. Needs mosquitto, influxd (`scripts/setup-tests.sh`); listens on
loopback only.
"""

import json
import os
import random
import re
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

DEVICES = 20
EVERY = "250ms"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Devices(socketserver.BaseRequestHandler):
    """Modbus TCP: holding registers 0 and 1 of each unit count its reads."""

    counts = [0] * 256
    lock = threading.Lock()

    def handle(self):
        try:
            while True:
                head = self.exactly(8)
                transaction, _, length, unit, function = struct.unpack(">HHHBB", head)
                body = self.exactly(length - 2)
                if function != 3:
                    answer = struct.pack(">BBB", unit, function | 0x80, 1)
                else:
                    first, count = struct.unpack(">HH", body[:4])
                    with self.lock:
                        self.counts[unit] += 1
                        n = self.counts[unit]
                    words = [n >> 16, n & 0xFFFF][first:first + count]
                    answer = struct.pack(">BBB", unit, 3, 2 * count) + struct.pack(f">{count}H", *words)
                self.request.sendall(struct.pack(">HHH", transaction, 0, len(answer)) + answer)
        except (ConnectionError, OSError):
            pass

    def exactly(self, n):
        data = b""
        while len(data) < n:
            more = self.request.recv(n - len(data))
            if not more:
                raise ConnectionError
            data += more
        return data


class Proxy:
    """Forwards bytes; cuts all connections, or holds them, when told to."""

    def __init__(self, target):
        self.target, self.port = target, free_port()
        self.open, self.held = [], threading.Event()
        self.held.set()
        listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, args=(listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            client, _ = listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self.target), timeout=2)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            self.open += [client, server]
            for a, b in ((client, server), (server, client)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    def pump(self, a, b):
        try:
            while data := a.recv(65536):
                self.held.wait()
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self):
        for s in self.open:
            try:
                s.shutdown(socket.SHUT_RDWR)
                s.close()
            except OSError:
                pass
        self.open = []


class Part:
    """A process that may die and come back."""

    def __init__(self, name, command, log, port=None):
        self.name, self.command, self.log, self.port, self.process = name, command, log, port, None

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        while self.port and not self.listens():
            time.sleep(0.05)

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait(60)


def configuration(directory, devices, mqtt, store):
    os.makedirs(f"{directory}/profiles", exist_ok=True)
    with open(f"{directory}/profiles/counting.toml", "w", encoding="utf-8") as f:
        f.write('format = 1\nname = "counting"\nmaker = "test"\nmodel = "test"\nclass = "any"\nsource = "test"\n'
                f'checked_on_hardware = false\n[groups]\nfast = "{EVERY}"\n[points.x_n]\naddress = 0\ntype = "u32"\n')
    text = ('[site]\nid = "test"\nzh = "测试"\nen = "Test"\ntime_zone = "Asia/Shanghai"\n[clock]\nsource = "rtc"\n'
            f'[health]\nlisten = ""\n[[sink.mqtt]]\nname = "broker"\nurl = "mqtt://127.0.0.1:{mqtt}"\nversion = "5"\n'
            f'[[sink.influx]]\nname = "store"\nurl = "http://127.0.0.1:{store}"\napi = "v1"\ndatabase = "plantroom"\nflush_ms = 500\n'
            f'[[link.tcp]]\nid = "l"\nhost = "127.0.0.1"\nport = {devices}\noverload = true\n')
    for n in range(1, DEVICES + 1):
        text += (f'[[unit]]\nid = "u{n}"\nlink = "l"\naddress = {n}\nprofile = "counting"\n'
                 f'[[device]]\nid = "counter-{n}"\nclass = "environment"\nzh = "计{n}"\nen = "Counter {n}"\n'
                 f'[device.points]\nx_n = "u{n}.x_n"\n')
    with open(f"{directory}/site.toml", "w", encoding="utf-8") as f:
        f.write(text)


def query(port, text):
    url = f"http://127.0.0.1:{port}/query?" + urllib.parse.urlencode({"db": "plantroom", "epoch": "ms", "q": text})
    request = urllib.request.Request(url, method="POST")
    return json.load(urllib.request.urlopen(request, timeout=30))


def main():
    binary, minutes = os.path.abspath(sys.argv[1]), float(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else int(time.time())
    dice = random.Random(seed)
    d = tempfile.mkdtemp(prefix="plantroom-deaths-")
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Devices)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    mqtt_port, store_port, other = free_port(), free_port(), free_port()
    with open(f"{d}/m.conf", "w", encoding="utf-8") as f:
        f.write(f"listener {mqtt_port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {d}/\n"
                "user root\nmax_queued_messages 0\nmax_inflight_messages 0\n")
    with open(f"{d}/i.conf", "w", encoding="utf-8") as f:
        f.write(f'reporting-disabled = true\nbind-address = "127.0.0.1:{other}"\n[meta]\ndir = "{d}/meta"\n[data]\ndir = "{d}/data"\n'
                f'wal-dir = "{d}/wal"\n[monitor]\nstore-enabled = false\n[http]\nbind-address = "127.0.0.1:{store_port}"\nlog-enabled = false\n')
    mqtt_proxy, store_proxy = Proxy(mqtt_port), Proxy(store_port)
    configuration(f"{d}/config", server.server_address[1], mqtt_proxy.port, store_proxy.port)
    broker = Part("broker", ["mosquitto", "-c", f"{d}/m.conf"], f"{d}/broker.log", mqtt_port)
    store = Part("store", ["influxd", "-config", f"{d}/i.conf"], f"{d}/store.log", store_port)
    asked = [binary, "--config", f"{d}/config", "--state", f"{d}/state"]
    gateway = Part("gateway", [*asked, "run"], f"{d}/gateway.log")
    for part in (broker, store):
        part.start()
    query(store_port, "CREATE DATABASE plantroom")
    # What the broker has acknowledged waits for this subscriber: its session outlives both.
    out = open(f"{d}/arrived.txt", "ab")
    subscriber = subprocess.Popen(["mosquitto_sub", "-p", str(mqtt_port), "-i", "watcher", "-c", "-q", "1", "-V", "mqttv5", "-x", "86400",
                                   "-v", "-t", "plantroom/test/+/telemetry"], stdout=out, stderr=subprocess.DEVNULL)
    time.sleep(1)
    gateway.start()
    deaths = {}
    end = time.time() + 60 * minutes
    while time.time() < end:
        time.sleep(dice.uniform(1, 8))
        what = dice.choice(["broker stopped", "store killed", "gateway killed", "gateway stopped", "gateway hung", "broker hung",
                            "store hung", "mqtt cut", "store cut", "mqtt held", "store held"])
        deaths[what] = deaths.get(what, 0) + 1
        away = dice.uniform(0.1, 6)
        name, how = what.split()
        part = {"broker": broker, "store": store, "gateway": gateway}.get(name)
        if how in ("cut", "held"):
            proxy = mqtt_proxy if name == "mqtt" else store_proxy
            if how == "cut":
                proxy.cut()
            else:
                proxy.held.clear()
                time.sleep(away)
                proxy.held.set()
        elif how == "hung":
            part.process.send_signal(signal.SIGSTOP)
            time.sleep(away)
            part.process.send_signal(signal.SIGCONT)
        else:
            if name == "store":
                store_proxy.cut()
            part.end(signal.SIGKILL if how == "killed" else signal.SIGTERM)
            time.sleep(away)
            part.start()
    print("deaths:", dict(sorted(deaths.items())), "seed", seed, flush=True)
    for _ in range(600):
        time.sleep(1)
        said = subprocess.run([*asked, "status", "--format", "json"], capture_output=True, text=True, check=False).stdout
        sinks = json.loads(said)["sinks"] if said.startswith("{") else []
        if sinks and all(s["up"] and s["lag"] < 200 and s["missing"] == 0 for s in sinks):
            break
    else:
        print("something is still behind after ten minutes:", said)
    gateway.end(signal.SIGTERM)
    time.sleep(3)
    subscriber.terminate()
    out.close()
    sys.exit(count(d, asked, store_port, [broker, store]))


def count(d, asked, store_port, parts):
    arrived, twice, unordered = {}, 0, 0
    for line in open(f"{d}/arrived.txt", encoding="utf-8"):
        found = re.match(r"plantroom/test/(counter-\d+)/telemetry (.*)", line)
        if not found:
            continue
        message = json.loads(found[2])
        value = message["values"].get("x_n")
        if value is None:
            continue
        last_seq, values = arrived.setdefault(found[1], [0, []])
        if message["seq"] <= last_seq:
            twice += 1
            continue
        arrived[found[1]][0] = message["seq"]
        unordered += bool(values) and value <= values[-1]
        values.append(value)
    missing_mqtt = missing_store = more = total = stored_twice = 0
    for n in range(1, DEVICES + 1):
        rows = subprocess.run([*asked, "history", f"counter-{n}.x_n", "--from", "1d", "--format", "csv"],
                              capture_output=True, text=True, check=True).stdout.splitlines()[1:]
        history = [int(r.split(",")[1]) for r in rows if r.split(",")[1]]
        total += len(history)
        series = query(store_port, f"SELECT x_n FROM environment WHERE device = 'counter-{n}'")["results"][0].get("series")
        stored = [int(v[1]) for v in series[0]["values"]] if series else []
        stored_twice += len(stored) - len(set(stored))
        missing_mqtt += len(set(history) - set(arrived.get(f"counter-{n}", [0, []])[1]))
        missing_store += len(set(history) - set(stored))
        more += len(set(stored) - set(history))
    for part in parts:
        part.end(signal.SIGKILL)
    print(f"{sum(Devices.counts)} reads answered, {total} values in the history, {sum(len(v) for _, v in arrived.values())} delivered by MQTT "
          f"({twice} twice), {missing_mqtt} of the history missing there, {unordered} out of order; {missing_store} missing in the store, "
          f"{stored_twice} twice, {more} that a kill took from the history before it was committed")
    if missing_mqtt or missing_store or unordered or stored_twice:
        print("kept for a look:", d)
        return 1
    shutil.rmtree(d)
    return 0


if __name__ == "__main__":
    main()
