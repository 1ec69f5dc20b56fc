"""A pytest plugin: one line a test as compat/suites/run counts them, and skips by the file named in VEDDB_SUITE_SKIPS.

Connections for port 6379, which suites have written in, go to the server that is tested. VEDDB_SUITE_MARK stands before
each name, to tell the protocols apart.
"""

import asyncio.base_events
import os
import re
import socket

import pytest

MARK = os.environ.get("VEDDB_SUITE_MARK", "")

look_up = socket.getaddrinfo
at_once = asyncio.base_events._ipaddr_info


def address(host, port, *args, **kwargs):
    if str(port) == "6379":
        host, port = os.environ["VEDDB_SUITE_HOST"], os.environ["VEDDB_SUITE_PORT"]
    return look_up(host, port, *args, **kwargs)


# asyncio does not look up what is an address already, unless this says that it is none.
def address_at_once(host, port, *args):
    return None if port == 6379 else at_once(host, port, *args)


socket.getaddrinfo = address
asyncio.base_events._ipaddr_info = address_at_once


def entries():
    """Pairs of a test's name, or a /pattern, and the reason that stands above it."""
    reason = ""
    with open(os.environ["VEDDB_SUITE_SKIPS"], encoding="utf-8") as file:
        for line in file.read().splitlines():
            if line.startswith("= "):
                reason = line[2:]
            elif line and not line.startswith("#"):
                yield line, reason


def pytest_configure(config):
    # Nobody sees the tracebacks, and a long one takes seconds to write.
    config.option.tbstyle = "value"


def pytest_collection_modifyitems(items):
    known = list(entries())
    for item in items:
        for name, reason in known:
            hit = re.search(name[1:], item.nodeid) if name.startswith("/") else item.nodeid == name
            if hit:
                item.add_marker(pytest.mark.skip(reason=reason))


def one_line(text):
    return " ".join(str(text).split())[:300]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    name = f"{MARK}{item.nodeid}"
    # Upstream's tests print as they like, so that a line may have begun.
    if report.skipped and report.when in ("setup", "call"):
        print(f"\nskip {name}")
    elif report.failed:
        print(f"\nFAIL {name}: {report.when}: {one_line(call.excinfo.value if call.excinfo else report.longrepr)}")
    elif report.passed and report.when == "call":
        print(f"\nok {name}")
    return report


def pytest_collectreport(report):
    if report.failed:
        print(f"\nFAIL {MARK}{report.nodeid}: collecting: {one_line(report.longrepr)}")
