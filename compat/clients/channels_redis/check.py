"""channels_redis's RedisPubSubChannelLayer against a server, under RESP2 and RESP3: channels and groups of two processes."""

import asyncio
import contextlib
import importlib.metadata
import logging

import redis.asyncio
from channels_redis.pubsub import RedisPubSubChannelLayer

from checks import check, equal, host, own, port, until_async

print("version", importlib.metadata.version("channels_redis"))


class Logged(logging.Handler):
    """What the layer logs, which is where its errors go."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.messages = []

    def emit(self, record):
        self.messages.append(self.format(record))


logged = Logged()
logging.getLogger().addHandler(logged)


def checks(protocol):
    """The checks of one protocol."""
    prefix = own("asgi")
    group = "room"
    group_channel = f"{prefix}__group__{group}"

    @contextlib.asynccontextmanager
    async def layers():
        """Two layers, as two processes have them, and a client that asks what the server knows."""
        asker = redis.asyncio.Redis(host=host, port=port, protocol=protocol, decode_responses=True)
        address = f"redis://{host}:{port}/0?protocol={protocol}&client_name=compat_layer"
        made = [RedisPubSubChannelLayer(hosts=[f"{address}{at}"], prefix=prefix) for at in range(2)]
        try:
            yield *made, asker
        finally:
            for layer in made:
                await layer.flush()
            await asker.aclose()

    async def subscribers(asker, channel, count):
        async def there_are():
            return await asker.pubsub_numsub(channel) == [(channel, count)]

        await until_async(there_are)

    async def send_and_receive():
        async with layers() as (one, two, _):
            channel = await one.new_channel()
            message = {"type": "test", "text": "é\U0001f600", "bytes": bytes(range(256)), "list": [1, None, 2.5, True]}
            await two.send(channel, message)
            equal(await one.receive(channel), message)
            await one.send(channel, {"type": "itself"})
            equal(await one.receive(channel), {"type": "itself"})

    async def messages_in_order():
        async with layers() as (one, two, _):
            channel = await one.new_channel("chat.")
            for at in range(500):
                await two.send(channel, {"at": at})
            equal([(await one.receive(channel))["at"] for _ in range(500)], list(range(500)))

    async def groups():
        async with layers() as (one, two, asker):
            mine, also_mine, theirs = await one.new_channel(), await one.new_channel(), await two.new_channel()
            await one.group_add(group, mine)
            await one.group_add(group, also_mine)
            await two.group_add(group, theirs)
            await subscribers(asker, group_channel, 2)
            await one.group_send(group, {"n": 1})
            equal(await asyncio.gather(one.receive(mine), one.receive(also_mine), two.receive(theirs)), [{"n": 1}] * 3)
            await two.group_discard(group, theirs)
            await one.group_discard(group, mine)
            await subscribers(asker, group_channel, 1)
            await two.group_send(group, {"n": 2})
            await two.send(theirs, {"n": 3})
            equal([await one.receive(also_mine), await two.receive(theirs)], [{"n": 2}, {"n": 3}])

    async def many_groups():
        async with layers() as (one, two, asker):
            channel = await one.new_channel()
            for at in range(200):
                await one.group_add(f"group{at}", channel)
            await subscribers(asker, f"{prefix}__group__group199", 1)
            for at in range(200):
                await two.group_send(f"group{at}", {"at": at})
            equal([(await one.receive(channel))["at"] for _ in range(200)], list(range(200)))

    async def a_receiver_that_is_cancelled_unsubscribes():
        async with layers() as (one, _, asker):
            channel = await one.new_channel()
            receiving = asyncio.create_task(one.receive(channel))
            await subscribers(asker, channel, 1)
            receiving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await receiving
            await subscribers(asker, channel, 0)

    async def flush_and_go_on():
        async with layers() as (one, two, asker):
            channel = await one.new_channel()
            await one.group_add(group, channel)
            await one.flush()
            await subscribers(asker, channel, 0)
            await subscribers(asker, group_channel, 0)
            channel = await one.new_channel()
            await two.send(channel, {"n": 1})
            equal(await one.receive(channel), {"n": 1})

    async def a_connection_that_was_killed_subscribes_again():
        async with layers() as (one, two, asker):
            channel = await one.new_channel()
            await subscribers(asker, channel, 1)
            listening = await asker.client_list(_type="pubsub")
            (killed,) = [one["id"] for one in listening if one["name"] == "compat_layer0"]
            equal(await asker.client_kill_filter(_id=killed), 1)

            async def heard():
                await two.send(channel, {"n": 1})
                return one.channels[channel].qsize() > 0

            await until_async(heard)
            equal(await one.receive(channel), {"n": 1})
            # The loss of the connection is logged, as it should be.
            equal(len(logged.messages), 1)
            logged.messages.clear()

    async def logs_no_error():
        equal(logged.messages, [])

    return [
        send_and_receive,
        messages_in_order,
        groups,
        many_groups,
        a_receiver_that_is_cancelled_unsubscribes,
        flush_and_go_on,
        a_connection_that_was_killed_subscribes_again,
        logs_no_error,
    ]


for protocol in (2, 3):
    check(f"RESP{protocol}", checks(protocol))
