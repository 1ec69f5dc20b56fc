"""What the clients in Python share: names of their own, comparing, waiting, and one line a check, each within a time."""

import asyncio
import inspect
import os
import signal
import sys
import time

SECONDS_MAX = 10

host, port = sys.argv[1], int(sys.argv[2])


def own(name):
    """What a name begins with that nobody else uses."""
    return f"compat:{os.getpid()}:{name}"


def equal(got, expected):
    assert got == expected, f"expected {expected!r}, got {got!r}"


def refusal(run, *arguments, **options):
    """The error that a call ends with."""
    try:
        value = run(*arguments, **options)
    except Exception as error:  # whichever it is, the check looks at it
        return error
    raise AssertionError(f"expected an error, got {value!r}")


def until(condition):
    """Waits until a condition holds; the limit is that of the check."""
    while not condition():
        time.sleep(0.005)


async def until_async(condition):
    """The same for a condition that is awaited."""
    while not await condition():
        await asyncio.sleep(0.005)


class Late(Exception):
    """A check takes too long; clients that try again after a TimeoutError do not know it."""


def late(*_):
    raise Late(f"no end in {SECONDS_MAX} seconds")


def check(title, checks):
    """Does each check, a function or a coroutine's; its name says what is checked."""
    signal.signal(signal.SIGALRM, late)
    for one in checks:
        what = f"{title} {one.__name__.replace('_', ' ')}"
        signal.alarm(SECONDS_MAX)
        try:
            if inspect.iscoroutinefunction(one):
                asyncio.run(one())
            else:
                one()
        except Exception as error:  # a check fails by any exception, and the others still run
            print(f"FAIL {what}: {type(error).__name__}: {' '.join(str(error).split())}", flush=True)
        else:
            print(f"ok {what}", flush=True)
        finally:
            signal.alarm(0)
