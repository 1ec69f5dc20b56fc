"""Prometheus scrapes a server once a second, as docs/operations.md has it, and evaluates ops/alerts.yml. Both are started here."""

import json
import os
import re
import subprocess
import urllib.parse

import redis

from checks import check, equal, refusal
from programs import answers, becomes, fetch, free_port, home, said, samples, start

veddb = os.environ["VEDDB_BIN"]
repository = os.path.abspath("../../..")
port, metrics, prometheus = free_port(), free_port(), free_port()
client = redis.Redis(port=port, decode_responses=True, socket_timeout=5)
print("version", re.search(r"version (\S+)", subprocess.check_output(["prometheus", "--version"], text=True))[1])


def text(name):
    with open(os.path.join(repository, name), encoding="utf-8") as file:
        return file.read()


def serve(*arguments):
    """Starts the server, on the data that there are."""
    places = "--port", str(port), "--http-port", str(metrics), "--dir", os.path.join(home, "data")
    return start("veddb", veddb, "server", *places, *arguments)


def ask(path, **parameters):
    """What Prometheus answers, without a warning."""
    answer = json.loads(fetch(f"http://127.0.0.1:{prometheus}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))
    equal([answer["status"], answer.get("warnings", [])], ["success", []])
    return answer["data"]


def figure(expression):
    """The figure that it comes to; none where it is not one."""
    rows = ask("query", query=expression)["result"]
    return float(rows[0]["value"][1]) if len(rows) == 1 else None


def rules():
    return [rule for group in ask("rules")["groups"] for rule in group["rules"]]


def state(alert):
    return next(rule["state"] for rule in rules() if rule["name"] == alert)


def targets():
    return [(target["health"], target["lastError"]) for target in ask("targets")["activeTargets"]]


printed = subprocess.check_output([veddb, "docs", "metrics"], text=True)
families = {name: (kind, about) for name, kind, about in re.findall(r"(?m)^\| `(\w+)` \| (\w+) \| .*? \| (.*) \|$", printed)}

scrape = re.search(r"\n(scrape_configs:\n.*?)```", text("docs/operations.md"), re.DOTALL)[1]
with open(os.path.join(home, "prometheus.yml"), "w", encoding="utf-8") as file:
    file.write("global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n")
    file.write(f"rule_files: [{repository}/ops/alerts.yml]\n")
    file.write(scrape.replace("127.0.0.1:9121", f"127.0.0.1:{metrics}"))
server = serve()
start(
    "prometheus",
    "prometheus",
    f"--config.file={home}/prometheus.yml",
    f"--storage.tsdb.path={home}/prometheus-data",
    f"--web.listen-address=127.0.0.1:{prometheus}",
)

echoes = 'veddb_commands_total{command="echo",status="ok"}'


def serves():
    try:
        return client.ping()
    except redis.RedisError:
        return False


def begins():
    becomes(True, serves)
    becomes(True, lambda: answers(f"http://127.0.0.1:{prometheus}/-/ready"))


def the_target_is_up():
    becomes(1, lambda: figure('up{job="veddb"}'))
    equal(targets(), [("up", "")])


def commands_are_counted():
    for _ in range(17):
        client.echo("a")
    for _ in range(3):
        refusal(client.execute_command, "ECHO")
    for _ in range(2):
        refusal(client.execute_command, "GETRANGE", "k", "a", "b")
    becomes(17, lambda: figure(echoes))
    becomes(3, lambda: figure('veddb_commands_total{command="echo",status="rejected"}'))
    becomes(2, lambda: figure('veddb_commands_total{command="getrange",status="failed"}'))
    becomes(2, lambda: figure('veddb_command_errors_total{command="getrange",code="ERR"}'))


def durations_have_quantiles():
    for _ in range(100):
        client.echo("a")
    becomes(117, lambda: figure('veddb_command_duration_seconds_count{command="echo"}'))
    equal(figure('veddb_command_duration_seconds_bucket{command="echo",le="+Inf"}'), 117)
    quantile = 'histogram_quantile(0.99, rate(veddb_command_duration_seconds_bucket{command="echo"}[1m]))'
    equal(0 < figure(quantile) < 1, True)


def names_of_any_letters_are_labels():
    name = '"quoted\\" \\n {é}'
    client.execute_command("DOC.SET", name, "a", '{"n":1}')
    client.execute_command("IDX.CREATE", name, name, '{"n":1}', "SYNC")
    quoted = json.dumps(name)
    becomes(1, lambda: figure(f"veddb_collection_documents{{collection={quoted}}}"))
    becomes(1, lambda: figure(f"veddb_index_entries{{collection={quoted},index={quoted}}}"))


def every_sample_is_stored():
    def named(labels):
        # A label that is empty is none.
        return str(sorted((key, value) for key, value in labels.items() if value and key not in ("instance", "job")))

    shown = {named(labels) for labels, _ in samples(fetch(f"http://127.0.0.1:{metrics}/metrics"))}
    equal(len(shown) > 200, True)

    def differences():
        rows = ask("query", query='{job="veddb",__name__=~"veddb_.+"}')["result"]
        return shown ^ {named(row["metric"]) for row in rows}

    becomes(set(), differences)


def families_have_their_kind_and_description():
    shown = {labels["__name__"] for labels, _ in samples(fetch(f"http://127.0.0.1:{metrics}/metrics"))}
    shown = {name if name in families else re.sub("_(bucket|sum|count)$", "", name) for name in shown}
    equal(len(shown) > 60, True)
    known = {name: [(one["type"], one["help"]) for one in about] for name, about in ask("metadata").items()}
    equal(known, {name: [families[name]] for name in shown})


def the_rules_are_healthy():
    names = re.findall(r"alert: (\w+)", text("ops/alerts.yml"))
    equal(len(names) > 20, True)
    becomes([(name, "ok", None) for name in names], lambda: [(rule["name"], rule["health"], rule.get("lastError")) for rule in rules()])
    equal([rule["name"] for rule in rules() if rule["state"] == "firing"], [])


def the_dashboard_is_answered():
    expressions = [json.loads(found) for found in re.findall(r'"expr": *("(?:[^"\\]|\\.)*")', text("ops/grafana-dashboard.json"))]
    equal(len(expressions) > 40, True)
    for expression in expressions:
        ask("query", query=expression.replace("$instance", ".*").replace("$__rate_interval", "1m"))


def that_it_is_killed_is_seen():
    server.kill()
    becomes("pending", lambda: state("VedDBDown"))
    equal(figure('up{job="veddb"}'), 0)
    becomes([("down", True)], lambda: [(health, "connection refused" in error) for health, error in targets()])


def counters_begin_again():
    # No disk has as much as is to be left free.
    serve("--disk-reserve", "1000000000000000000")
    becomes(True, serves)
    for _ in range(5):
        client.echo("a")
    becomes(5, lambda: figure(echoes))
    equal(figure(f"resets({echoes}[5m])"), 1)
    # 100 and 5 are surely between the first and the last scrape; more is what Prometheus supposes beyond these.
    increase = figure(f"increase({echoes}[5m])")
    equal((105 <= increase < 200, increase), (True, increase))
    becomes("inactive", lambda: state("VedDBDown"))


def no_counter_goes_back():
    parts = {"counter": [""], "histogram": ["_bucket", "_sum", "_count"], "gauge": []}
    for name in (name + part for name, (kind, _) in families.items() for part in parts[kind]):
        equal((name, ask("query", query=f"resets({name}[5m]) > 1")["result"]), (name, []))


def alerts_fire():
    becomes("firing", lambda: state("VedDBDiskFull"))
    equal("NOSPACE" in str(refusal(client.set, "k", "v")), True)
    becomes("firing", lambda: state("VedDBWritesRefused"))


def nothing_is_complained_of():
    equal([line for line in said("prometheus") if "level=info" not in line.lower()], [])


check(
    "Prometheus:",
    [
        begins,
        the_target_is_up,
        commands_are_counted,
        durations_have_quantiles,
        names_of_any_letters_are_labels,
        every_sample_is_stored,
        families_have_their_kind_and_description,
        the_rules_are_healthy,
        the_dashboard_is_answered,
        that_it_is_killed_is_seen,
        counters_begin_again,
        no_counter_goes_back,
        alerts_fire,
        nothing_is_complained_of,
    ],
)
