"""What the checks share that start programs of their own: these end with the check, however it ends. And what is read over HTTP."""

import atexit
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from checks import Late, equal

home = tempfile.mkdtemp(prefix="compat-")
started = []


def start(name, *command, **environment):
    """Starts a program; what it says is added to a file of that name."""
    with open(os.path.join(home, name), "ab") as said:
        process = subprocess.Popen(command, cwd=home, stdout=said, stderr=said, env=os.environ | environment)
    started.append(process)
    return process


def said(name):
    """The lines that it has said."""
    with open(os.path.join(home, name), encoding="utf-8") as lines:
        return lines.read().splitlines()


@atexit.register
def finish():
    for process in started:
        process.kill()
        process.wait()
    shutil.rmtree(home)


# Ended by a signal it ends by itself, so that the rest is done.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def fetch(url):
    """What is answered there."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{url}: {error.code} {error.read().decode()}") from None


def answers(url):
    """Whether somebody does, and well."""
    try:
        fetch(url)
    except (OSError, AssertionError):
        return False
    return True


def becomes(expected, read):
    """Waits until that is read; the limit is that of the check."""
    got = None
    try:
        while (got := read()) != expected:
            time.sleep(0.1)
    except Late:
        equal(got, expected)


def samples(text):
    """What a page in Prometheus's format shows: pairs of a name with its labels, and figures."""
    escaped = {"n": "\n"}
    shown = []
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, figure = re.fullmatch(r"(\w+)(?:{(.*)})? (\S+)", line).groups()
        pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or "")
        unescaped = {key: re.sub(r"\\(.)", lambda found: escaped.get(found[1], found[1]), value) for key, value in pairs}
        shown.append(({"__name__": name, **unescaped}, float(figure)))
    return shown
