#!/usr/bin/env python3
"""Runs a command with localstripe, an emulator of Stripe that moves no money.

    localstripe.py COMMAND...    starts localstripe on a free port, runs COMMAND with LOCALSTRIPE_URL, stops localstripe

localstripe is installed in localstack/.venv, like the emulator. The exit status is that of the command.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

PYTHON = Path(os.path.abspath(__file__)).parent / ".venv" / "bin" / "python"
PATIENCE = 30  # seconds

# localstripe writes its state into one file in /tmp at every change, which all runs share. This disables it.
SERVER = "from localstripe import resources, server; resources.Store.dump_to_disk = lambda store: None; server.start()"


def free_port():
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
        probe.bind(("::", 0))
        return probe.getsockname()[1]


def wait_for(url, server):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/js.stripe.com/v3/", timeout=1).close()
            return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False


def main(command):
    if not command:
        sys.exit(__doc__)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        start = [PYTHON, "-c", SERVER, "--port", str(port), "--from-scratch"]
        server = subprocess.Popen(start, stdout=log, stderr=log)
        try:
            if not wait_for(url, server):
                log.seek(0)
                sys.exit(f"localstripe did not start:\n{log.read().decode(errors='replace')}Run make setup first.")
            return subprocess.run(command, env={**os.environ, "LOCALSTRIPE_URL": url}, check=False).returncode
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
