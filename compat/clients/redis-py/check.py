"""redis-py against a server, under RESP2 and RESP3. A module has the checks of one kind, as a list of functions."""

import warnings

import redis

import asynchronous
import documents
import json_interface
import pubsub
import scripts
import strings
import tls
import transactions
from checks import check, equal, host, own, port

print("version", redis.__version__)
# Of what redis-py 8 deprecates (SETEX, GETSET), programs are full.
warnings.simplefilter("error")
warnings.simplefilter("ignore", DeprecationWarning)

for protocol in (2, 3):

    def connect(protocol=protocol, **options):
        options = {"decode_responses": True, **options}
        return redis.Redis(host=host, port=port, protocol=protocol, socket_timeout=5, **options)

    client = connect()

    def leaves_nothing_behind(client=client):
        equal(client.keys(own("*")), [])

    title = f"RESP{protocol}"
    for kind in (documents, strings, transactions, pubsub, scripts, json_interface, asynchronous, tls):
        check(title, kind.checks(connect, protocol))
    check(title, [leaves_nothing_behind])
    client.close()
