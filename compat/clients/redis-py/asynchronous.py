"""redis.asyncio: connecting, strings, pipelines, transactions, pub/sub, and many tasks at once."""

import asyncio
import json

import redis
import redis.asyncio

from checks import equal, host, own, port, until_async


def checks(connect, protocol):
    """The checks of one protocol."""
    key, channel = own("async"), own("async:news")

    def open_client(**options):
        return redis.asyncio.Redis(host=host, port=port, protocol=protocol, decode_responses=True, **options)

    async def asyncio_strings():
        async with open_client(client_name="compat") as client:
            equal(await client.client_getname(), "compat")
            equal((await client.set(key, "é", ex=100), await client.get(key), await client.ttl(key)), (True, "é", 100))
            names = {own(f"async:{at}") for at in range(100)}
            await client.mset(dict.fromkeys(names, 1))
            equal({name async for name in client.scan_iter(match=own("async:*"), count=20)}, names)
            equal(await client.delete(key, *names), 101)

    async def asyncio_many_tasks():
        pool = redis.asyncio.BlockingConnectionPool(host=host, port=port, protocol=protocol, max_connections=8)
        async with redis.asyncio.Redis(connection_pool=pool) as client:
            await asyncio.gather(*(client.incr(key) for _ in range(500)))
            equal(await client.getdel(key), b"500")
        await pool.aclose()

    async def asyncio_transactions():
        async with open_client() as client:
            async with client.pipeline(transaction=True) as pipe:
                equal(await pipe.set(key, 1).incr(key).execute(), [True, 2])
                await pipe.watch(key)
                await client.set(key, "theirs")
                pipe.multi()
                pipe.set(key, "mine")
                try:
                    await pipe.execute()
                except redis.WatchError:
                    pass
                else:
                    raise AssertionError("EXEC went through")
            equal(await client.getdel(key), "theirs")

    async def asyncio_pubsub():
        async with open_client() as client:
            async with client.pubsub(ignore_subscribe_messages=True) as subscriber:
                await subscriber.subscribe(channel)
                await subscriber.psubscribe(own("async:n*"))

                async def both():
                    return await client.publish(channel, "ready") == 2

                await until_async(both)
                for at in range(100):
                    await client.publish(channel, at)
                heard = []
                async for message in subscriber.listen():
                    if message["type"] == "message" and message["data"] != "ready":
                        heard.append(message["data"])
                    if len(heard) == 100:
                        break
                equal(heard, [str(at) for at in range(100)])

    async def asyncio_documents():
        async with open_client() as client:
            name = f"compat_py_async{protocol}"
            await client.execute_command("DOC.DROP", name)
            write = [client.execute_command("DOC.UPDATE", name, '{"_id":"n"}', '{"$inc":{"n":1}}', "UPSERT") for _ in range(50)]
            await asyncio.gather(*write)
            equal(json.loads(await client.execute_command("DOC.GET", name, "n")), {"_id": "n", "n": 50})
            equal(await client.execute_command("DOC.DROP", name), 1)

    async def asyncio_json():
        async with open_client() as client:
            equal(await client.json().set(key, "$", {"a": [1, 2, {"b": None}]}), True)
            equal(await client.json().get(key, "$.a[2]"), [{"b": None}])
            equal(await client.json().delete(key), 1)

    return [asyncio_strings, asyncio_many_tasks, asyncio_transactions, asyncio_pubsub, asyncio_documents, asyncio_json]
