"""Writes documents through redis-py's Sentinel client, and prints what becomes of each write; led by tests/tests/failover.

The argument is an object: `sentinels`, or `server` for a client that knows no other than this one, as pairs of host and
port; `name`, the primary's; `lanes`, the numbers of those that write, each one document after the other, out of `of` in all
programs; `from`, what their values begin after; `documents`, among which they choose, 0 where each write has one of its own;
`wait_ms`, how long a replica is waited for after each, 0 where nobody waits; `timeout_ms` of the client; `pause_ms` after
each write.

A line of the input is the collection that is written to from then on, an empty one has the lanes rest, and the end of the
input ends the program. A line of the output is an object: a lane has come to a collection (`round`), begins to write
(`invoke`), or knows what became of it: `ok`, `fail` where the server refused it, else `unknown`. `at` is the monotonic clock
in nanoseconds.
"""

import json
import os
import random
import sys
import threading
import time

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError
from redis.retry import Retry
from redis.sentinel import Sentinel

options = json.loads(sys.argv[1])
seconds = options["timeout_ms"] / 1000
timeouts = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
if "server" in options:
    # As the other does, it tries nothing a second time: a refusal speaks for the whole write.
    host, port = options["server"]
    client = Redis(host, port, **timeouts, retry=Retry(NoBackoff(), 0))
else:
    sentinels = [tuple(sentinel) for sentinel in options["sentinels"]]
    client = Sentinel(sentinels, **timeouts).master_for(options["name"])

changed = threading.Condition()
collection = ""


def say(**what):
    with changed:
        print(json.dumps({**what, "at": time.monotonic_ns()}), flush=True)


def write(target, document, value):
    """What became of it, and what was said."""
    # Both go over one connection, for which WAIT speaks.
    pipeline = client.pipeline(transaction=False)
    pipeline.execute_command("DOC.SET", target, str(document), json.dumps({"v": value}))
    if options["wait_ms"]:
        pipeline.execute_command("WAIT", 1, options["wait_ms"])
    try:
        written, *waited = pipeline.execute(raise_on_error=False)
    except Exception as error:  # whichever it is, the write may have happened
        return "unknown", f"{type(error).__name__}: {error}"
    if isinstance(written, ResponseError):
        return "fail", str(written)
    if isinstance(written, Exception) or waited and (isinstance(waited[0], Exception) or waited[0] < 1):
        return "unknown", f"{written}, then {waited}"
    return "ok", ""


def lane(number):
    current, value = "", options["from"] * options["of"] + number
    while True:
        with changed:
            if current == collection and not current:
                changed.wait_for(lambda: collection != current)
            moved, current = collection != current, collection
        if moved:
            say(event="round", lane=number, round=current)
        if not current:
            continue
        value += options["of"]
        document = random.randrange(options["documents"]) if options["documents"] else value
        say(event="invoke", lane=number, document=document, value=value)
        event, why = write(current, document, value)
        say(event=event, lane=number, value=value, why=why)
        time.sleep((options["pause_ms"] if event == "ok" else 20) / 1000)


for number in options["lanes"]:
    threading.Thread(target=lane, args=(number,), daemon=True).start()
for line in sys.stdin:
    with changed:
        collection = line.strip()
        changed.notify_all()
# What the threads are in the midst of is nobody's any more.
os._exit(0)
