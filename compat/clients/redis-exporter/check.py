"""prometheus-redis-exporter against a server, as a user of few rights: what it reads by INFO, CONFIG GET, SLOWLOG, LATENCY, CLIENT LIST and
SCAN is compared with what is so."""

import contextlib
import re
import subprocess

import redis

from checks import check, equal, host, own, port, refusal
from programs import answers, becomes, fetch, free_port, said, samples, start

# Which nobody else uses here.
database = 11
client = redis.Redis(host=host, port=port, db=database, decode_responses=True, socket_timeout=5)
user, password, key = own("exporter"), "it is not secret", own("key")
page = f"http://127.0.0.1:{free_port()}/metrics"
version = subprocess.run(["prometheus-redis-exporter", "-version"], capture_output=True, text=True, check=True)
print("version", re.search(r"Exporter (\S+)", version.stdout + version.stderr)[1])


def figures(family, shown=None, **labels):
    """Those of a family, of samples that have these labels: as it is shown now, or was."""
    shown = shown or samples(fetch(page))
    return [figure for found, figure in shown if found["__name__"] == f"redis_{family}" and labels.items() <= found.items()]


def figure(family, shown=None, **labels):
    """The only one; 0 where there is none yet."""
    found = figures(family, shown, **labels)
    equal(len(found) <= 1, True)
    return found[0] if found else 0


def setting(name):
    return client.config_get(name)[name]


@contextlib.contextmanager
def changed(name, value):
    """It is another for a while."""
    before = setting(name)
    client.config_set(name, value)
    try:
        yield
    finally:
        client.config_set(name, before)


def begins():
    commands = ["ping", "auth", "select", "info", "config|get", "slowlog|get", "slowlog|len", "latency|latest", "latency|histogram"]
    commands += ["client|list", "client|setname", "scan", "type", "strlen", "get"]
    client.acl_setuser(user, enabled=True, passwords=[f"+{password}"], keys=[f"{own('')}*"], commands=[f"+{one}" for one in commands])
    start(
        "exporter",
        "prometheus-redis-exporter",
        "-debug",
        f"-redis.addr=redis://{host}:{port}",
        f"-redis.user={user}",
        f"-redis.password={password}",
        f"-web.listen-address={page.split('/')[2]}",
        "-export-client-list",
        "-include-config-metrics",
        "-ping-on-connect",
        f"-count-keys=db{database}={own('*')}",
        f"-check-single-keys=db{database}={key}",
    )
    becomes(True, lambda: answers(page))


def the_server_is_up():
    becomes(1, lambda: figure("up"))
    equal(figures("exporter_last_scrape_error", err=""), [0])
    equal(figures("target_scrape_request_errors_total"), [0])


def what_server_it_is():
    info = client.info("server")
    labels = {name: str(info[name]) for name in ("redis_version", "redis_mode", "run_id", "process_id", "tcp_port")}
    equal(figures("instance_info", role="master", **labels), [1])
    equal(abs(figure("uptime_in_seconds") - info["uptime_in_seconds"]) <= 2, True)


def commands_are_counted():
    def counts():
        of_echo = [figure(f"commands_{name}total", cmd="echo") for name in ("", "rejected_calls_")]
        return [*of_echo, figure("commands_failed_calls_total", cmd="getrange"), figure("errors_total", err="ERR")]

    before = counts()
    for _ in range(17):
        client.echo("a")
    for _ in range(3):
        refusal(client.execute_command, "ECHO")
    for _ in range(2):
        refusal(client.execute_command, "GETRANGE", key, "a", "b")
    equal([after - count for after, count in zip(counts(), before)], [17, 3, 2, 5])


def durations_are_counted():
    equal(figure("latency_percentiles_usec_count", cmd="echo") >= 17, True)
    spent, (half, most) = figure("commands_duration_seconds_total", cmd="echo"), figures("latency_percentiles_usec", cmd="echo")[:2]
    equal((0 < spent < 10, 0 < half <= most), (True, True))


def keys_of_a_database():
    label = f"db{database}"
    before = figure("db_keys", db=label), figure("db_keys_expiring", db=label)
    client.set(key, "12345")
    for at in range(6):
        client.set(own(f"expires:{at}"), "a", ex=100 if at < 3 else None)
    equal([figure("db_keys", db=label), figure("db_keys_expiring", db=label)], [before[0] + 7, before[1] + 3])
    # Redis looks at it now and then.
    becomes(True, lambda: 90 < figure("db_avg_ttl_seconds", db=label) <= 100)
    equal(figure("keys_count", db=label, key=own("*")), 7)
    equal([figure("key_size", db=label, key=key), figure("key_value", db=label, key=key)], [5, 12345])


def settings():
    equal(figure("config_maxclients"), int(setting("maxclients")))
    with changed("slowlog-max-len", 77):
        equal(figure("config_value", key="slowlog-max-len"), 77)
    expected = {name: float(value) for name, value in client.config_get("*").items() if re.fullmatch(r"\d+", value)}
    equal(len(expected) > 20, True)
    shown = {labels["key"]: figure for labels, figure in samples(fetch(page)) if labels["__name__"] == "redis_config_value"}
    equal({name: shown.get(name) for name in expected}, expected)


def slow_commands():
    before = client.slowlog_len()
    with changed("slowlog-log-slower-than", 0):
        client.echo("a")
    equal(client.slowlog_len() > before or before == int(setting("slowlog-max-len")), True)

    def differences():
        last, length = client.slowlog_get(1)[0], client.slowlog_len()
        expected = {"slowlog_length": length, "slowlog_last_id": last["id"], "last_slow_execution_duration_seconds": last["duration"] / 1e6}
        shown = samples(fetch(page))
        return [(name, figure(name, shown), value) for name, value in expected.items() if figure(name, shown) != value]

    # They are read anew where something else is slow meanwhile.
    becomes([], differences)


def what_took_long():
    many = {own(f"many:{at}"): "a" for at in range(10000)}
    with changed("latency-monitor-threshold", 1):
        client.mset(many)
        client.delete(*many)
    events = client.execute_command("LATENCY", "LATEST")
    equal(len(events) > 0, True)
    for name, unix, milliseconds, _ in events:
        equal(figure("latency_spike_last", event_name=name), unix)
        equal(figure("latency_spike_duration_seconds", event_name=name), milliseconds / 1000)
    client.execute_command("LATENCY", "RESET")


def connections():
    before = figure("connected_clients"), figure("connections_received_total")
    others = [redis.Redis(host=host, port=port, db=database, client_name=own(f"name:{at}")) for at in range(3)]
    for other in others:
        other.ping()
    # Its own of each time are counted as well, and those of the time before may still be there.
    equal(figure("connected_clients") >= before[0] + 2, True)
    equal(figure("connections_received_total") >= before[1] + 3, True)
    for at in range(3):
        equal(figures("connected_clients_details", name=own(f"name:{at}"), db=str(database), flags="N", cmd="ping"), [1])
    equal(len(figures("connected_clients_details", name="redis_exporter", cmd="client|list")) >= 1, True)
    for other in others:
        other.close()
    becomes([], lambda: figures("connected_clients_details", name=own("name:0")))


def subjects():
    before = [figure(f"pubsub_{kind}") for kind in ("channels", "patterns")]
    listener = client.pubsub()
    listener.subscribe(own("a"), own("b"))
    listener.psubscribe(own("*"))
    for _ in range(3):
        listener.get_message(timeout=5)
    equal([figure(f"pubsub_{kind}") for kind in ("channels", "patterns")], [before[0] + 2, before[1] + 1])
    equal(len(figures("connected_clients_details", flags="P")) >= 1, True)
    listener.close()


def bytes_and_memory():
    before = figure("net_input_bytes_total"), figure("net_output_bytes_total")
    client.set(own("large"), "a" * 1000000)
    client.get(own("large"))
    equal([1000000 <= figure(f"net_{way}_bytes_total") - was < 2000000 for way, was in zip(("input", "output"), before)], [True, True])
    used = client.info("memory")["used_memory"]
    equal(0.5 < figure("memory_used_bytes") / used < 2, True)


def nothing_is_complained_of():
    lines = [line for line in said("exporter") if re.search(r" err: |level=(warn|error|fatal)", line)]
    # Of a string it asks first whether it is a HyperLogLog, which it may not.
    equal([line for line in lines if not re.search("pfcount", line, re.IGNORECASE)], [])


def leaves_nothing_behind():
    client.delete(*client.keys(own("*")))
    equal(client.keys(own("*")), [])
    client.acl_deluser(user)
    becomes(0, lambda: figure("up"))


check(
    "exporter:",
    [
        begins,
        the_server_is_up,
        what_server_it_is,
        commands_are_counted,
        durations_are_counted,
        keys_of_a_database,
        settings,
        slow_commands,
        what_took_long,
        connections,
        subjects,
        bytes_and_memory,
        nothing_is_complained_of,
        leaves_nothing_behind,
    ],
)
