"""HSU Master under the comparison harness: `hsu` and, for the logs only, `hsu-enhanced`.

BENCH_HSU_MASTER and BENCH_HSU_MASTER_CLI say where the programs are, else PATH;
`cargo xtask bench` sets both. The harness loads every file of the folder that
BENCH_ADAPTERS names and calls what `benchlib.Adapter` describes.
"""
import http.client
import json
import socket
import time
from pathlib import Path

from benchlib import Adapter

MASTER = "BENCH_HSU_MASTER"
CLIENT = "BENCH_HSU_MASTER_CLI"


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket; the connection is kept between two requests."""

    def __init__(self, path):
        super().__init__("localhost")
        self.socket_path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(self.socket_path)


class Hsu(Adapter):
    name = "hsu"
    log_format = "plain"
    notes = "restart always, retry_delay 0s, no retry limit, start_rate unlimited; standard output captured where logs are measured"

    def missing(self):
        for variable, program in ((MASTER, "hsu-master"), (CLIENT, "hsu-master-cli")):
            if not self.which(variable, program):
                return f"{program} not found"
        return None

    def version(self):
        return self.out([self.which(MASTER, "hsu-master"), "--version"])

    def configure(self, c):
        rows = [
            "master:",
            "  log_level: warn",
            f"  base_directory: {quoted(c.run)}",
            f"  force_shutdown_timeout: {c.kill_timeout + 20:g}s",
            "  start_rate: {per_second: unlimited}",
            "log_collection:",
            f"  enabled: {str(c.log).lower()}",
            "  global_aggregation: {enabled: false}",
            "workers:",
        ]
        for i in range(c.n):
            rows += self.worker(c, i)
        c.write(c.conf / "hsu.yaml", "\n".join(rows) + "\n")

    def worker(self, c, i):
        program, *arguments = c.cmd(i)
        policy = "always" if c.autorestart else "never"
        rows = [
            f"- id: {c.name(i)}",
            "  type: managed",
            "  unit:",
            "    managed:",
            f"      metadata: {{name: {c.name(i)}}}",
            "      control:",
            "        execution:",
            f"          executable_path: {quoted(program)}",
            f"          args: [{', '.join(quoted(word) for word in arguments)}]",
            f"          working_directory: {quoted(c.run)}",
            f"        restart_policy: {policy}",
            "        context_aware_restart: {default: {max_retries: 0, retry_delay: 0s, backoff_rate: 1}}",
            f"        graceful_timeout: {c.kill_timeout:g}s",
        ]
        if c.log:
            path = quoted(c.logs / f"{c.name(i)}.log")
            rows += [
                "        log_collection:",
                "          enabled: true",
                "          capture_stdout: true",
                "          capture_stderr: false",
                "          outputs:",
                "            separate:",
                "              stdout:",
                "              - type: file",
                f"                path: {path}",
                f"                format: {self.log_format}",
                f"                rotation: {{max_size: {c.rotate}, max_files: 0}}",
            ]
        return rows

    def argv(self, c):
        return [self.which(MASTER, "hsu-master"), "--config", str(c.conf / "hsu.yaml")]

    def control_socket(self, c):
        return next(Path(c.run).rglob("control.sock"), c.run / "control.sock")

    def status_argv(self, c):
        return [self.which(CLIENT, "hsu-master-cli"), "--socket", str(self.control_socket(c)), "list"]

    def request(self, c, path):
        """A callable that does one request on a connection that stays open."""
        connection = UnixConnection(self.control_socket(c))

        def once():
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"{path}: {answer.status}")
            return json.loads(body)

        return once

    def api(self, c):
        return self.request(c, "/v1/workers")

    def api_one(self, c):
        return self.request(c, f"/v1/workers/{c.name(0)}")

    def bad_config(self, c):
        c.write(c.conf / "bad.yaml", "master:\n  prot: 50055\nworkers:\n- id: a b\n  type: managed\n")
        return [self.which(MASTER, "hsu-master"), "--config", str(c.conf / "bad.yaml")]


class HsuEnhanced(Hsu):
    """The same with a time, a worker and a stream before each line."""

    name = "hsu-enhanced"
    log_format = "enhanced_plain"
    only = {"logs"}
    notes = Hsu.notes + "; its throughput is that of the write side: what is not formatted yet waits in a spool"

    def log_files(self, c):
        """The files once they are at rest.

        The harness waits until they hold as many bytes as were written, which
        lines with a prefix do before all of them are there.
        """
        size, same = -1, 0
        while same < 3:
            files = super().log_files(c)
            now = sum(path.stat().st_size for path in files if path.exists())
            same = same + 1 if now == size else 0
            size = now
            time.sleep(0.05)
        return files


def quoted(value):
    """A YAML scalar in double quotes, which JSON strings are."""
    return json.dumps(str(value))


ADAPTERS = [Hsu(), HsuEnhanced()]
