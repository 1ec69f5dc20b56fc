"""Connecting, INFO, documents, pipelines, pools shared by threads, databases and errors."""

import json
import threading

import redis

from checks import equal, host, port


def checks(connect, protocol):
    """The checks of one protocol."""
    client = connect(client_name="compat")
    raw = connect(decode_responses=False)
    name = f"compat_py{protocol}"
    run = client.execute_command

    def as_map(reply):
        return reply if isinstance(reply, dict) else dict(zip(reply[::2], reply[1::2]))

    def connects():
        equal(client.ping(), True)
        equal(client.client_getname(), "compat")
        assert client.client_id() > 0
        equal(client.client_info()["name"], "compat")

    def says_its_library():
        # Redis keeps it from 7.2.
        assert client.client_info()["lib-name"].startswith("redis-py"), client.client_info()

    def info():
        sections = client.info()
        assert sections["redis_version"] and sections["process_id"] > 0
        equal(client.config_get("databases"), {"databases": "16"})

    def documents():
        run("DOC.DROP", name)
        equal(run("DOC.INSERT", name, json.dumps({"_id": "a", "n": 1, "text": "é\u0000\U0001f600"})), ["a"])
        equal(json.loads(run("DOC.GET", name, "a")), {"_id": "a", "n": 1, "text": "é\u0000\U0001f600"})
        equal(run("DOC.SET", name, "a", '{"n":2}', "IFVER", 1), 2)
        equal(run("DOC.GET", name, "nothing"), None)
        equal(run("DOC.GET", name, "a", "WITHVER"), [2, '{"_id":"a","n":2}'])
        equal(run("DOC.MGET", name, "a", "b"), ['{"_id":"a","n":2}', None])
        equal(as_map(run("DOC.UPDATE", name, "{}", '{"$inc":{"n":5}}')), {"matched": 1, "modified": 1, "upserted": None})
        equal(run("DOC.FIND", name, '{"n":7}'), ['{"_id":"a","n":7}'])
        equal(run("DOC.COUNT", name), 1)
        equal(run("DOC.DEL", name, "a"), 1)

    def bytes_replies():
        raw.execute_command("DOC.SET", name, "b", b'{"x":1}')
        equal(raw.execute_command("DOC.GET", name, "b"), b'{"_id":"b","x":1}')

    def pipelines():
        pipe = client.pipeline(transaction=False)
        for at in range(500):
            pipe.execute_command("DOC.SET", name, f"p{at}", json.dumps({"at": at}))
        pipe.execute_command("DOC.GET", name, "p499", "$.at")
        equal(pipe.execute()[-1], "[499]")
        pipe = client.pipeline(transaction=False)
        pipe.execute_command("DOC.SET", name, "q", "not json")
        pipe.ping()
        first, second = pipe.execute(raise_on_error=False)
        assert isinstance(first, redis.ResponseError) and second is True, (first, second)

    def errors():
        for arguments, code in [
            (["DOC.FIND", name, '{"a":{"$no":1}}'], "BADFILTER"),
            (["DOC.SET", name, "p1", "{}", "IFVER", 9], "CONFLICT"),
            (["DOC.INSERT", name, '{"_id":"p1"}'], "DUPKEY"),
            (["NO.SUCH"], "unknown command"),
        ]:
            try:
                run(*arguments)
            except redis.ResponseError as error:
                assert code in str(error), error
            else:
                raise AssertionError(f"{arguments} is no error")

    def databases():
        other = connect(db=5)
        equal(other.execute_command("DOC.COUNT", name), 0)
        other.close()

    def threads():
        pool = redis.ConnectionPool(host=host, port=port, protocol=protocol, max_connections=8)
        failures = []

        def work(worker):
            shared = redis.Redis(connection_pool=pool)
            try:
                for at in range(100):
                    shared.execute_command("DOC.UPDATE", name, '{"_id":"counter"}', '{"$inc":{"n":1}}', "UPSERT")
            except redis.RedisError as error:
                failures.append((worker, error))

        workers = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        equal(failures, [])
        equal(run("DOC.GET", name, "counter", "$.n"), "[800]")
        pool.disconnect()

    def cleans_up():
        equal(run("DOC.DROP", name), 1)

    return [connects, says_its_library, info, documents, bytes_replies, pipelines, errors, databases, threads, cleans_up]
