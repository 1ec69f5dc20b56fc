"""Pub/sub: channels, patterns, sharded channels, any bytes, threads, reconnecting, and keyspace notifications."""

import queue

from checks import equal, own, until


def checks(connect, protocol):
    """The checks of one protocol."""
    client = connect()
    channel, second = own("news"), own("second")

    def take(subscriber, count=1):
        """The next messages as (type, pattern, channel, data)."""
        taken = []
        while len(taken) < count:
            message = subscriber.get_message(timeout=1)
            if message is not None:
                taken.append((message["type"], message["pattern"], message["channel"], message["data"]))
        return taken

    def subscribe():
        with client.pubsub() as subscriber:
            equal(client.publish(channel, "nobody listens"), 0)
            subscriber.subscribe(channel, second)
            equal(take(subscriber, 2), [("subscribe", None, channel, 1), ("subscribe", None, second, 2)])
            equal(client.publish(channel, "é"), 1)
            equal(take(subscriber), [("message", None, channel, "é")])
            equal(client.pubsub_numsub(channel, own("none")), [(channel, 1), (own("none"), 0)])
            equal(sorted(client.pubsub_channels(own("*"))), sorted([channel, second]))
            subscriber.subscribe(channel)
            equal(take(subscriber), [("subscribe", None, channel, 2)])
            subscriber.unsubscribe(channel, own("none"))
            equal(take(subscriber, 2), [("unsubscribe", None, channel, 1), ("unsubscribe", None, own("none"), 1)])
            subscriber.unsubscribe()
            equal(take(subscriber), [("unsubscribe", None, second, 0)])
            equal(client.publish(channel, "nobody listens"), 0)

    def psubscribe():
        with client.pubsub() as subscriber:
            subscriber.psubscribe(own("n?ws"))
            subscriber.subscribe(channel)
            equal(take(subscriber, 2), [("psubscribe", None, own("n?ws"), 1), ("subscribe", None, channel, 2)])
            assert client.pubsub_numpat() >= 1
            equal(client.publish(channel, "both"), 2)
            equal(take(subscriber, 2), [("message", None, channel, "both"), ("pmessage", own("n?ws"), channel, "both")])
            equal(client.publish(own("nws"), "none"), 0)
            subscriber.punsubscribe()
            equal(take(subscriber), [("punsubscribe", None, own("n?ws"), 1)])

    def ssubscribe():
        with client.pubsub() as subscriber:
            subscriber.ssubscribe(channel)
            subscriber.subscribe(channel)
            # Each kind has its own count.
            equal(take(subscriber, 2), [("ssubscribe", None, channel, 1), ("subscribe", None, channel, 1)])
            equal((client.spublish(channel, "sharded"), client.publish(channel, "plain")), (1, 1))
            equal(take(subscriber, 2), [("smessage", None, channel, "sharded"), ("message", None, channel, "plain")])
            equal(client.pubsub_shardnumsub(channel), [(channel, 1)])
            equal(client.pubsub_shardchannels(own("*")), [channel])
            subscriber.sunsubscribe(channel)
            equal(take(subscriber), [("sunsubscribe", None, channel, 0)])
            equal(client.spublish(channel, "nobody listens"), 0)

    def messages_of_any_bytes():
        with connect(decode_responses=False) as raw, raw.pubsub(ignore_subscribe_messages=True) as subscriber:
            every = bytes(range(256))
            name = channel.encode() + every
            subscriber.subscribe(name)
            until(lambda: raw.publish(name, b"") == 1)
            raw.publish(name, every)
            equal(take(subscriber, 2), [("message", None, name, b""), ("message", None, name, every)])

    def ping_while_subscribed():
        with connect(decode_responses=False) as raw, raw.pubsub(ignore_subscribe_messages=True) as subscriber:
            subscriber.subscribe(channel)
            until(lambda: client.publish(channel, "before") == 1)
            subscriber.ping("are you there")
            # This one is redis-py's own, and it hands nobody the answer.
            subscriber.ping("redis-py-health-check")
            taken = take(subscriber, 2)
            equal([(kind, data) for kind, _, _, data in taken], [("message", b"before"), ("pong", b"are you there")])
            client.publish(channel, "after")
            equal(take(subscriber), [("message", None, channel.encode(), b"after")])

    def a_thousand_channels():
        channels = [own(f"many:{at}") for at in range(1000)]
        with client.pubsub(ignore_subscribe_messages=True) as subscriber:
            subscriber.subscribe(*channels)
            until(lambda: client.pubsub_numsub(channels[-1]) == [(channels[-1], 1)])
            with client.pipeline(transaction=False) as pipe:
                for each in channels:
                    pipe.publish(each, each)
                equal(pipe.execute(), [1] * 1000)
            equal(take(subscriber, 1000), [("message", None, each, each) for each in channels])

    def handlers_in_a_thread():
        heard = queue.Queue()
        with client.pubsub(ignore_subscribe_messages=True) as subscriber:
            subscriber.subscribe(**{channel: lambda message: heard.put(message["data"])})
            thread = subscriber.run_in_thread(sleep_time=0.1, daemon=True)
            for at in range(1000):
                client.publish(channel, at)
            equal([heard.get(timeout=5) for _ in range(1000)], [str(at) for at in range(1000)])
            thread.stop()
            thread.join(timeout=5)

    def a_connection_that_was_killed_subscribes_again():
        with connect(client_name="to_be_killed") as named, named.pubsub() as subscriber:
            subscriber.subscribe(channel)
            subscriber.psubscribe(own("p*"))
            take(subscriber, 2)
            (killed,) = [one for one in client.client_list(_type="pubsub") if one["name"] == "to_be_killed"]
            equal((killed["sub"], killed["psub"]), ("1", "1"))
            equal(client.client_kill_filter(_id=killed["id"]), 1)
            equal({one[0] for one in take(subscriber, 2)}, {"subscribe", "psubscribe"})
            equal((client.publish(channel, "a"), client.publish(own("p"), "b")), (1, 1))
            equal([one[-1] for one in take(subscriber, 2)], ["a", "b"])

    def keyspace_notifications():
        before = client.config_get("notify-keyspace-events")["notify-keyspace-events"]
        client.config_set("notify-keyspace-events", "KEA")
        key = own("watched")
        with client.pubsub(ignore_subscribe_messages=True) as subscriber:
            subscriber.subscribe(f"__keyspace@0__:{key}")
            until(lambda: client.publish(f"__keyspace@0__:{key}", "ready") == 1)
            client.set(key, 1)
            client.pexpire(key, 5)
            client.set(own("other"), 1)
            until(lambda: client.exists(key) == 0)
            client.mset({key: 1, own("other"): 2})
            client.rename(key, own("other"))
            client.delete(own("other"))
            events = [one[-1] for one in take(subscriber, 6)]
            equal(events, ["ready", "set", "expire", "expired", "set", "rename_from"])
        client.config_set("notify-keyspace-events", before)

    return [
        subscribe,
        psubscribe,
        ssubscribe,
        messages_of_any_bytes,
        ping_while_subscribed,
        a_thousand_channels,
        handlers_in_a_thread,
        a_connection_that_was_killed_subscribes_again,
        keyspace_notifications,
    ]
