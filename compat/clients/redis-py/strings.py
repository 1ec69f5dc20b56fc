"""Strings, keys and their expiry, and the iterator of SCAN."""

import datetime
import time

from checks import equal, own, until


def checks(connect, protocol):
    """The checks of one protocol."""
    client = connect()
    raw = connect(decode_responses=False)
    key, other, nothing = own("string"), own("other"), own("nothing")

    def set_and_get():
        equal(client.get(key), None)
        equal(client.set(key, "é\u0000\U0001f600"), True)
        equal(client.get(key), "é\u0000\U0001f600")
        equal(client.set(key, "b", nx=True), None)
        equal(client.set(key, "b", xx=True, get=True), "é\u0000\U0001f600")
        equal(client.setnx(other, "c"), True)
        equal(client.mget(key, nothing, other), ["b", None, "c"])
        equal(client.exists(key, key, nothing), 2)
        equal((client.type(key), client.type(nothing)), ("string", "none"))
        equal(client.delete(key, other), 2)

    def any_bytes():
        every = bytes(range(256))
        raw.set(key.encode() + every, every)
        equal(raw.getdel(key.encode() + every), every)

    def parts_of_strings_and_numbers():
        equal((client.append(key, "Hello"), client.append(key, " World"), client.strlen(key)), (5, 11, 11))
        equal((client.getrange(key, -5, -1), client.setrange(key, 6, "Redis")), ("World", 11))
        equal(client.getset(key, 1), "Hello Redis")
        equal((client.incr(key), client.incrby(key, 40), client.decr(key), client.decrby(key, 1)), (2, 42, 41, 40))
        equal(client.incrbyfloat(key, 0.5), 40.5)
        equal(client.msetnx({key: "a", other: "b"}), False)
        equal(client.mset({key: "a", other: "b"}), True)
        equal((client.renamenx(other, key), client.rename(other, key)), (False, True))
        equal((client.get(key), client.touch(key, nothing), client.unlink(key)), ("b", 1, 1))

    def expiry():
        client.set(key, "a", ex=datetime.timedelta(seconds=100))
        assert 90_000 < client.pttl(key) <= 100_000, client.pttl(key)
        equal((client.set(key, "b", keepttl=True), client.ttl(key)), (True, 100))
        equal((client.persist(key), client.ttl(key), client.ttl(nothing)), (True, -1, -2))
        at = int(time.time()) + 50
        equal((client.expireat(key, at), client.expiretime(key), client.pexpiretime(key)), (True, at, at * 1000))
        equal((client.expire(key, 10, gt=True), client.expire(key, 10, lt=True), client.expire(key, 9, nx=True)), (False, True, False))
        equal(client.getex(key, px=20), "b")
        until(lambda: client.get(key) is None)
        equal(client.setex(key, 100, "c"), True)
        equal((client.pexpire(key, -1), client.exists(key)), (True, 0))
        equal(client.psetex(key, 100_000, "d"), True)
        equal(client.getex(key, persist=True), "d")
        equal((client.ttl(key), client.delete(key)), (-1, 1))

    def scan_iter():
        names = {own(f"scan:{at}") for at in range(300)}
        client.mset(dict.fromkeys(names, 1))
        equal(set(client.scan_iter(match=own("scan:*"), count=50)), names)
        equal(set(client.scan_iter(match=own("scan:*"), _type="string")), names)
        equal(len(client.keys(own("scan:?"))), 10)
        assert client.randomkey() is not None and client.dbsize() >= 300
        equal(client.delete(*names), 300)

    def another_database_has_other_keys():
        with connect(db=4) as fourth:
            fourth.set(key, "there")
            equal((client.get(key), fourth.getdel(key)), (None, "there"))

    return [set_and_get, any_bytes, parts_of_strings_and_numbers, expiry, scan_iter, another_database_has_other_keys]
