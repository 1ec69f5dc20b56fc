"""Types a command into redis-cli on a terminal and reads the hint that it shows for the arguments."""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

host, port = sys.argv[1:3]
pid, terminal = pty.fork()
if pid == 0:
    # Without a width redis-cli asks the terminal for one, and nobody is there to answer.
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 250, 0, 0))
    os.environ["TERM"] = "xterm"
    os.environ["HOME"] = "/nonexistent"
    os.execvp("redis-cli", ["redis-cli", "-h", host, "-p", port])

shown = ""


def read_until(pattern, seconds=10):
    """Reads what is shown until the pattern is in it."""
    global shown
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 4096).decode(errors="replace")
            except OSError:
                return False
        if re.search(pattern, re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", shown)):
            return True
    return False


read_until(r"> ")
os.write(terminal, b"DOC.FIND ")
if read_until(r"DOC\.FIND coll filter \[.*LIMIT"):
    print("ok argument hints of DOC.FIND")
else:
    print(f"FAIL argument hints of DOC.FIND: {shown[-200:]!r}")
os.write(terminal, b"\x03\x04")
os.close(terminal)
os.waitpid(pid, 0)
