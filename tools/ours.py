"""This gateway as a peer of the yardstick: copy into its peers/ folder. PLANTROOM names the binary, PLANTROOM_REPO the checkout."""
import json
import os
import subprocess
import sys

from peers import Command, Peer, decode_generic


class Ours(Peer):
    name, rtu = "ours", True
    note = "one JSON message a device and cycle, QoS 1, journal on"

    def prepare(self, job):
        repo = os.environ.get("PLANTROOM_REPO", ".")
        binary = os.environ.get("PLANTROOM", f"{repo}/target/release/plantroom")
        site = job.dir / "site"
        baud = [str(job.baud)] if job.serial else []
        subprocess.run([sys.executable, f"{repo}/tools/bench_config.py", job.dir / "job.json", site, *baud], check=True)
        return Command([binary, "--config", site, "--state", job.dir / "state", "run"])

    def decode(self, topic, payload):
        # Only the values: the reasons of bad points are named after them too.
        if not topic.endswith("/telemetry"):
            return []
        return decode_generic(topic, json.dumps(json.loads(payload)["values"]))
