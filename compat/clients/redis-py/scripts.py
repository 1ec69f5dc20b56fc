"""The one script that is sent to servers without Lua as well: Laravel's RedisBroadcaster publishes to several channels with it."""

import redis

from checks import equal, own, until

# What Laravel sends, byte for byte: a server may know it by its text.
BROADCAST = """for i = 2, #ARGV do
  redis.call('publish', ARGV[i], ARGV[1])
end"""


def checks(connect, protocol):
    """The checks of one protocol."""
    client = connect()
    channels = [own("laravel:1"), own("laravel:2")]

    def laravel_broadcasts():
        with client.pubsub(ignore_subscribe_messages=True) as subscriber:
            subscriber.subscribe(*channels)
            until(lambda: client.pubsub_numsub(*channels) == [(channel, 1) for channel in channels])
            payload = '{"event":"App\\\\Events\\\\Shipped","data":{"id":1},"socket":null}'
            equal(client.eval(BROADCAST, 0, payload, *channels, own("nobody")), None)
            heard = []
            while len(heard) < 2:
                message = subscriber.get_message(timeout=1)
                if message:
                    heard.append((message["channel"], message["data"]))
            equal(heard, [(channel, payload) for channel in channels])

    def evalsha_of_what_is_unknown():
        try:
            client.evalsha("f" * 40, 0)
        except redis.exceptions.NoScriptError as error:
            equal(str(error), "No matching script. Please use EVAL.")
        else:
            raise AssertionError("no error")

    return [laravel_broadcasts, evalsha_of_what_is_unknown]
