"""Through TLS, with and without a certificate of the client's own, which names its user. Nothing where the server was not started by
compat/run."""

import os

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from checks import equal, own, refusal

port, directory = os.environ.get("COMPAT_TLS_PORT"), os.environ.get("COMPAT_TLS_DIR")


def file(name):
    return os.path.join(directory, name)


def checks(connect, protocol):
    if not port:
        return []

    def options(ca="ca.pem", shown=None):
        certificate = {"ssl_certfile": file(f"{shown}.pem"), "ssl_keyfile": file(f"{shown}.key")} if shown else {}
        return {
            "host": "localhost",
            "port": int(port),
            "protocol": protocol,
            "decode_responses": True,
            "socket_timeout": 5,
            # A connection that is refused is not tried again and again.
            "retry": Retry(NoBackoff(), 0),
            "ssl": True,
            "ssl_ca_certs": file(ca),
            "ssl_check_hostname": True,
            **certificate,
        }

    def commands_pipelines_and_large_values_through_tls():
        client, large = redis.Redis(**options()), "x" * (5 << 20)
        equal(client.set(own("tls"), large), True)
        equal(client.get(own("tls")) == large, True)
        pipeline = client.pipeline(transaction=False)
        for number in range(1000):
            pipeline.echo(str(number))
        equal(pipeline.execute(), [str(number) for number in range(1000)])
        equal(client.delete(own("tls")), 1)
        equal(client.acl_whoami(), "default")
        client.close()

    def messages_through_tls():
        client = redis.Redis(**options())
        listener = client.pubsub(ignore_subscribe_messages=True)
        listener.subscribe(own("news"))
        while client.publish(own("news"), "of today") == 0:
            pass
        message = None
        while message is None:
            message = listener.get_message(timeout=5)
        equal(message["data"], "of today")
        listener.close()
        client.close()

    def the_certificate_names_the_user():
        admin = connect()
        admin.acl_setuser("ada", enabled=True, nopass=True, categories=["+@all"], keys=["*"])
        client = redis.Redis(**options(shown="ada"))
        equal(client.acl_whoami(), "ada")
        client.close()
        admin.acl_deluser("ada")
        admin.close()

    def no_certificate_where_one_is_asked_for():
        admin = connect()
        admin.config_set("tls-auth-clients", "yes")
        try:
            for shown in (None, "foreign/ada"):
                # What it hears depends on what reaches it first, the alert or the end of the connection.
                with redis.Redis(**options(shown=shown)) as client:
                    error = refusal(client.ping)
                assert isinstance(error, (redis.ConnectionError, OSError)), f"{type(error)}: {error}"
            with redis.Redis(**options(shown="ada")) as client:
                equal(client.ping(), True)
        finally:
            admin.config_set("tls-auth-clients", "optional")
            admin.close()

    def a_server_of_another_authority_is_not_believed():
        with redis.Redis(**options(ca="foreign/ca.pem")) as client:
            error = refusal(client.ping)
        equal("certificate verify failed" in str(error), True)

    async def asynchronous_through_tls():
        client = redis.asyncio.Redis(**{**options(), "retry": AsyncRetry(NoBackoff(), 0)})
        equal(await client.set(own("tls"), "v"), True)
        equal(await client.delete(own("tls")), 1)
        await client.aclose()

    return [
        commands_pipelines_and_large_values_through_tls,
        messages_through_tls,
        the_certificate_names_the_user,
        no_certificate_where_one_is_asked_for,
        a_server_of_another_authority_is_not_believed,
        asynchronous_through_tls,
    ]
