"""MULTI, EXEC and WATCH."""

from concurrent.futures import ThreadPoolExecutor

import redis

from checks import equal, own, refusal


def checks(connect, protocol):
    """The checks of one protocol."""
    client = connect()
    key = own("multi")

    def multi_and_exec():
        with client.pipeline() as pipe:
            equal(pipe.set(key, 1).incr(key).get(key).delete(key).execute(), [True, 2, "2", 1])
            equal(pipe.ping().execute(), [True])

    def an_error_inside_exec():
        with client.pipeline() as pipe:
            done, failed, got = pipe.set(key, "text").incr(key).getdel(key).execute(raise_on_error=False)
        equal((done, got), (True, "text"))
        assert isinstance(failed, redis.ResponseError) and "not an integer" in str(failed), failed

    def a_command_that_is_none():
        with client.pipeline() as pipe:
            error = refusal(pipe.set(key, 1).execute_command("NO.SUCH").execute)
        assert "unknown command 'NO.SUCH'" in str(error), error
        equal(client.exists(key), 0)

    def exec_abort():
        with client.client() as single:
            equal(single.execute_command("MULTI"), "OK")
            assert "unknown command" in str(refusal(single.execute_command, "NO.SUCH"))
            error = refusal(single.execute_command, "EXEC")
        assert isinstance(error, redis.exceptions.ExecAbortError), error
        equal(str(error), "Transaction discarded because of previous errors.")

    def watch_where_nobody_came_between():
        with client.pipeline() as pipe:
            pipe.watch(key, own("other"))
            equal(pipe.get(key), None)
            pipe.multi()
            equal(pipe.set(key, "mine").getdel(key).execute(), [True, "mine"])

    def watch_where_somebody_came_between():
        with client.pipeline() as pipe:
            pipe.watch(key)
            client.set(key, "theirs")
            pipe.multi()
            error = refusal(pipe.set(key, "mine").execute)
        assert isinstance(error, redis.WatchError), error
        equal(client.getdel(key), "theirs")

    def unwatch():
        with client.pipeline() as pipe:
            pipe.watch(key)
            client.set(key, "theirs")
            pipe.unwatch()
            pipe.multi()
            equal(pipe.getdel(key).execute(), ["theirs"])

    def transaction_loses_no_increment():
        def add(pipe):
            value = int(pipe.get(key) or 0)
            pipe.multi()
            pipe.set(key, value + 1)

        def work():
            for _ in range(20):
                client.transaction(add, key)

        with ThreadPoolExecutor(3) as workers:
            for done in [workers.submit(work) for _ in range(3)]:
                done.result()
        equal(client.getdel(key), "60")

    return [
        multi_and_exec,
        an_error_inside_exec,
        a_command_that_is_none,
        exec_abort,
        watch_where_nobody_came_between,
        watch_where_somebody_came_between,
        unwatch,
        transaction_loses_no_increment,
    ]
