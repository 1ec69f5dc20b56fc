"""client.json(), redis-py's interface to RedisJSON."""

import redis

from checks import equal, own, refusal


def checks(connect, protocol):
    """The checks of one protocol."""
    client = connect()
    api = client.json()
    key, other, nothing = own("json"), own("json:other"), own("nothing")
    value = {"name": "Ada", "n": 1, "list": [1, 2, 3], "in": {"n": 2.5, "on": True, "none": None, "text": 'é"\n'}}

    def json_set_and_get():
        equal(api.get(key), None)
        equal(api.set(key, "$", value), True)
        equal(api.get(key), value)
        equal(api.get(key, "$..n"), [1, 2.5])
        equal(api.get(key, ".name"), "Ada")
        equal(api.get(key, "$.n", "$.list[-1:]"), {"$.n": [1], "$.list[-1:]": [3]})
        equal(api.set(key, "$", 1, nx=True), None)
        equal(api.set(key, "$.nothing", 1, xx=True), None)
        equal(client.type(key), "ReJSON-RL")

    def json_mset_mget_and_merge():
        equal(api.mset([(key, "$", value), (other, "$", {"n": 7})]), True)
        equal(api.mget([key, other, nothing], "$.n"), [[1], [7], None])
        equal(api.merge(other, "$", {"a": {"b": 1}, "n": None}), True)
        equal(api.get(other), {"a": {"b": 1}})
        equal(client.delete(other), 1)

    def json_numbers_booleans_and_types():
        equal(api.numincrby(key, "$..n", 1.5), [2.5, 4])
        equal(api.nummultby(key, "$.n", 2), [5])
        equal(api.toggle(key, "$.in.on"), [False])
        flat = api.type(key, "$.*")
        equal(flat[0] if protocol == 3 else flat, ["string", "number", "array", "object"])

    def json_arrays():
        equal(api.arrappend(key, "$.list", 4, "five"), [5])
        equal(api.arrinsert(key, "$.list", 0, 0), [6])
        equal(api.arrlen(key, "$.list"), [6])
        equal(api.arrindex(key, "$.list", 3), [3])
        equal(api.arrpop(key, "$.list", -1), ['"five"'])
        equal(api.arrtrim(key, "$.list", 1, 2), [2])
        equal(api.get(key, "$.list"), [[1, 2]])

    def json_strings_and_objects():
        equal(api.strappend(key, "!", "$.name"), [4])
        equal(api.strlen(key, "$.name"), [4])
        equal(api.objkeys(key, "$.in"), [["n", "on", "none", "text"]])
        equal(api.objlen(key, "$"), [4])
        equal(api.clear(key, "$.list"), 1)
        equal(api.delete(key, "$..n"), 2)
        equal(api.get(key, "$"), [{"name": "Ada!", "list": [], "in": {"on": False, "none": None, "text": 'é"\n'}}])

    def json_errors():
        client.set(other, "a string")
        wrong = refusal(api.get, other)
        client.delete(other)
        assert isinstance(wrong, redis.ResponseError) and "wrong Redis type" in str(wrong), wrong
        missing = refusal(api.set, nothing, "$.a", 1)
        assert "new objects must be created at the root" in str(missing), missing
        equal(api.get(key, "$.nothing"), [])

    def json_in_a_transaction():
        with client.json().pipeline() as pipe:
            equal(pipe.set(key, "$", {"n": 1}).numincrby(key, "$.n", 1).get(key).execute(), [True, [2], {"n": 2}])
        equal(api.delete(key), 1)
        equal(client.exists(key), 0)

    return [
        json_set_and_get,
        json_mset_mget_and_merge,
        json_numbers_booleans_and_types,
        json_arrays,
        json_strings_and_objects,
        json_errors,
        json_in_a_transaction,
    ]
