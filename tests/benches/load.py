"""What several benches share: documents made for indexes, and many clients that keep a server busy.

The clients do as little as they can, so that the server is what is measured: requests are made beforehand, and
a reply is counted by its length, which is known beforehand too (a trial run parses every reply and keeps its length).
A reply of any other length ends the run. `busy` is the share of a processor the clients took: near 1.0 they are the limit.
"""
import itertools
import json
import random
import select
import socket
import time


def request(*words):
    """One command in RESP."""
    parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def compact(value):
    return json.dumps(value, separators=(",", ":"))


def documents(count, seed=7, first=0):
    """Documents of about 350 bytes. `n` is each of 0..count once, in random order; `tag` one of 1000, `day` one of 366."""
    draw = random.Random(seed)
    order = list(range(first, first + count))
    draw.shuffle(order)
    for position, n in enumerate(order):
        k = first + position
        day = draw.randrange(366)
        yield {"_id": k, "n": n, "day": day, "tag": f"t{draw.randrange(1000)}", "email": f"c{n:09d}@example.com",
               "score": draw.randrange(1, 1_000_000) / 1000, "active": draw.random() < 0.5,
               "created": {"$date": f"2024-{1 + day // 31:02d}-{1 + day % 28:02d}T{n % 24:02d}:00:00Z"},
               "address": {"street": f"{k % 997} St James Square", "city": "London", "zip": "SW1Y 4JH"},
               "bio": "%0110x" % draw.getrandbits(440)}


class Connection:
    """One client that sends a command and parses its reply, for what is looked at rather than counted."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb", 1 << 20)
        self.length = 0

    def __call__(self, *words):
        return self.exchange(request(*words))

    def exchange(self, raw):
        self.length = 0
        self.socket.sendall(raw)
        return self.parse()

    def parse(self):
        line = self.file.readline()
        self.length += len(line)
        kind, rest = line[:1], line[1:-2]
        if kind in b"+" and line:
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            if size < 0:
                return None
            self.length += size + 2
            return self.file.read(size + 2)[:-2]
        if kind == b"*":
            return [self.parse() for _ in range(int(rest))]
        raise SystemExit(f"the server said {line.decode(errors='replace').strip() or 'nothing'}")


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.left = 0


def batches(exchanges, pipeline):
    """Joins (request, length of its reply) into what a client sends at once; the last batch may be smaller."""
    exchanges = iter(exchanges)
    while group := list(itertools.islice(exchanges, pipeline)):
        yield b"".join(raw for raw, _ in group), sum(length for _, length in group), len(group)


def keep_busy(port, clients, work, seconds=None):
    """Every client sends a batch, waits for all its replies and takes the next, until `work` or the time is used up.

    What is under way then is still waited for, and counted. Returns requests a second and `busy`."""
    work = iter(work)
    everyone = [Client(port) for _ in range(clients)]
    by_number = {client.socket.fileno(): client for client in everyone}
    poll = select.epoll()
    buffer = memoryview(bytearray(1 << 20))
    done = waiting = 0
    begin, begin_busy = time.perf_counter(), time.process_time()
    deadline = begin + seconds if seconds else float("inf")
    for number, client in by_number.items():
        poll.register(number, select.EPOLLIN)
        if batch := next(work, None):
            raw, client.left, size = batch
            client.socket.sendall(raw)
            waiting += 1
            done += size
    while waiting:
        for number, _ in poll.poll():
            client = by_number[number]
            got = client.socket.recv_into(buffer)
            client.left -= got
            if client.left > 0 and got:
                continue
            if client.left < 0 or not got:
                said = bytes(buffer[:got][-300:]).decode(errors="replace")
                raise SystemExit(f"a reply of unexpected length, its end: {said!r}")
            batch = next(work, None) if time.perf_counter() < deadline else None
            if batch is None:
                waiting -= 1
                # An idle client's number stays registered: nothing comes from it any more.
                continue
            raw, client.left, size = batch
            client.socket.sendall(raw)
            done += size
    took = time.perf_counter() - begin
    busy = (time.process_time() - begin_busy) / took
    for client in everyone:
        client.socket.close()
    return done / took, busy
