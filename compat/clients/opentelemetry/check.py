"""Traces as OpenTelemetry's own packages see them: a server that sends them, a collector that reads them, a client that is traced itself."""

import os
import sys
import time
from importlib.metadata import version

import redis
from opentelemetry import propagate
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanKind

from checks import check, equal, refusal, until
from programs import free_port, home, said, start
from receiver import Receiver

SERVER, INTERNAL = 2, 1  # SpanKind in OpenTelemetry's definitions
ERROR = 2  # StatusCode
certificates = sys.argv[3]


class Server:
    """A server that sends its traces to a receiver."""

    def __init__(self, name, endpoint, *settings, **environment):
        self.port, directory = free_port(), os.path.join(home, f"{name}-data")
        traces = "--trace-endpoint", endpoint, "--trace-sample", "1"
        binary = os.environ["VEDDB_BIN"]
        self.process = start(name, binary, "server", "--port", str(self.port), "--dir", directory, *traces, *settings, **environment)
        self.client = redis.Redis(port=self.port, protocol=3, decode_responses=True)
        until(self.serves)

    def serves(self):
        try:
            return self.client.ping()
        except redis.ConnectionError:
            return False

    def run(self, *command):
        return self.client.execute_command(*command)


receiver = Receiver()
server = Server(
    "veddb",
    f"http://127.0.0.1:{receiver.port}",
    "--trace-headers",
    "authorization=Bearer opensesame",
    OTEL_SERVICE_NAME="orders-db",
    OTEL_EXPORTER_OTLP_HEADERS="x-other=foreigntoken",
)
# A collection's name is shown where there is one of it.
COLLECTIONS = "docs first goodbye last marker payroll second shared slow traced unsampled untraced"
for collection in COLLECTIONS.split():
    server.run("DOC.CREATE", collection)


def one(name):
    """The only span of this name, once it is there."""
    until(lambda: receiver.named(name))
    time.sleep(0.05)
    equal(len(receiver.named(name)), 1)
    return receiver.named(name)[0]


def traceparent(flags="01", number=1):
    return f"00-{number:032x}-{number:016x}-{flags}"


def a_command_is_a_span():
    before = time.time_ns()
    server.run("DOC.INSERT", "orders", '{"_id":"o1","sum":3}')
    after = time.time_ns()
    span = one("DOC.INSERT orders")
    equal(span.kind, SERVER)
    equal(span.parent, "")
    assert before <= span.begin < span.end <= after, (before, span.begin, span.end, after)
    shown = {name: span.attributes[name] for name in ("db.system.name", "db.operation.name", "db.collection.name", "db.namespace", "user.name")}
    equal(list(shown.values()), ["veddb", "DOC.INSERT", "orders", "0", "default"])
    equal(span.attributes["client.address"], "127.0.0.1")
    equal(span.attributes["client.port"], int(server.client.client_info()["addr"].split(":")[1]))
    equal(span.status.code, 0)


def the_resource_is_the_server():
    span = one("DOC.INSERT orders")
    equal(span.resource["service.name"], "orders-db")
    equal(span.resource["service.instance.id"], server.run("INFO", "server")["run_id"])
    assert span.resource["service.version"]


def a_write_shows_where_its_time_went():
    span = one("DOC.INSERT orders")
    parts = sorted(receiver.children(span), key=lambda part: part.begin)
    equal([part.name for part in parts], ["wait for the committer", "run", "log write", "log sync"])
    equal({part.kind for part in parts}, {INTERNAL})
    for part, following in zip(parts, parts[1:]):
        assert span.begin <= part.begin <= part.end <= following.begin, (part.name, following.name)
    assert parts[-1].end <= span.end
    equal([part.attributes.get("veddb.commit.units") for part in parts], [None, None, 1, 1])


def the_writes_of_a_pipeline_share_their_group():
    pipeline = server.client.pipeline(transaction=False)
    for at in range(20):
        pipeline.execute_command("DOC.SET", "grouped", f"d{at}", "{}")
    pipeline.execute()
    until(lambda: len(receiver.named("DOC.SET grouped")) == 20)
    spans = receiver.named("DOC.SET grouped")
    equal(len({span.trace for span in spans}), 20)
    syncs = [part for span in spans for part in receiver.children(span) if part.name == "log sync"]
    equal(len(syncs), 20)
    assert {part.attributes["veddb.commit.units"] for part in syncs} == {20}, syncs


def a_query_shows_its_plan():
    server.run("IDX.CREATE", "people", "by_age", '{"age":1}')
    pipeline = server.client.pipeline(transaction=False)
    for at in range(1000):
        pipeline.execute_command("DOC.SET", "people", f"p{at}", f'{{"age":{at}}}')
    pipeline.execute()
    few = '{"age":{"$gte":990}}'
    until(lambda: "IXSCAN" in server.run("DOC.EXPLAIN", "FIND", "people", few).split("rejected")[0])
    server.run("DOC.FIND", "people", few)
    span = one("DOC.FIND people")
    equal(span.attributes["veddb.plan"], "IXSCAN by_age")
    equal([span.attributes["veddb.keys_examined"], span.attributes["veddb.docs_examined"]], [10, 10])


def a_long_read_shows_its_thread():
    server.run("DOC.AGGREGATE", "people", '[{"$group":{"_id":null,"sum":{"$sum":"$age"}}}]')
    span = one("DOC.AGGREGATE people")
    equal(sorted(part.name for part in receiver.children(span)), ["wait for a thread", "work"])


def an_error_is_its_code_and_nothing_more():
    server.run("DOC.INSERT", "mistakes", '{"_id":"topsecretid"}')
    equal("DUPKEY" in str(refusal(server.run, "DOC.INSERT", "mistakes", '{"_id":"topsecretid"}')), True)
    until(lambda: len(receiver.named("DOC.INSERT mistakes")) == 2)
    failed = [span for span in receiver.named("DOC.INSERT mistakes") if span.status.code == ERROR]
    equal([(span.attributes["error.type"], span.status.message) for span in failed], [("DUPKEY", "DUPKEY")])


def what_a_gate_refuses_is_a_span_too():
    server.run("ACL", "SETUSER", "clerk", "on", ">pw", "+ping", "+hello", "+auth", "+client")
    clerk = redis.Redis(port=server.port, username="clerk", password="pw")
    refusal(clerk.execute_command, "DOC.GET", "payroll", "1")
    span = one("DOC.GET payroll")
    equal((span.attributes["error.type"], span.attributes["user.name"]), ("NOPERM", "clerk"))


def a_clients_trace_goes_on_in_the_server():
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"http://127.0.0.1:{receiver.port}/v1/traces")))
    tracer = provider.get_tracer("shop")
    with tracer.start_as_current_span("checkout", kind=SpanKind.CLIENT):
        headers = {}
        propagate.inject(headers)
        pipeline = server.client.pipeline(transaction=False)
        pipeline.execute_command("CLIENT", "TRACEPARENT", headers["traceparent"])
        pipeline.execute_command("DOC.SET", "checkouts", "c1", "{}")
        pipeline.execute()
    above, below = one("checkout"), one("DOC.SET checkouts")
    equal((below.trace, below.parent), (above.trace, above.id))
    assert above.begin <= below.begin and below.end <= above.end
    equal({part.trace for part in receiver.children(below)}, {above.trace})


def only_the_next_command_is_of_it():
    server.run("CLIENT", "TRACEPARENT", traceparent(number=7), "vendor=x")
    server.run("DOC.COUNT", "first")
    server.run("DOC.COUNT", "second")
    first, second = one("DOC.COUNT first"), one("DOC.COUNT second")
    equal((first.trace, first.state), (f"{7:032x}", "vendor=x"))
    assert second.trace != first.trace and second.parent == ""


def a_trace_that_is_not_sampled_is_not_sent():
    server.run("CLIENT", "TRACEPARENT", traceparent("00", 8))
    server.run("DOC.COUNT", "unsampled")
    server.run("DOC.COUNT", "marker")
    one("DOC.COUNT marker")
    equal(receiver.named("DOC.COUNT unsampled"), [])


def within_a_transaction_it_is_refused():
    pipeline = server.client.pipeline(transaction=True)
    pipeline.execute_command("CLIENT", "TRACEPARENT", traceparent(number=10))
    pipeline.execute_command("DOC.COUNT", "docs")
    assert "not allowed inside a transaction" in str(refusal(pipeline.execute))


def of_a_transaction_exec_is_meant():
    server.run("CLIENT", "TRACEPARENT", traceparent(number=9))
    server.run("MULTI")
    # An error, after which it goes on.
    refusal(server.run, "MULTI")
    server.run("DOC.SET", "moved", "1", "{}")
    server.run("EXEC")
    until(lambda: [span for span in receiver.named("EXEC") if span.trace == f"{9:032x}"])
    span = receiver.named("EXEC")[-1]
    assert "log sync" in [part.name for part in receiver.children(span)]


def what_is_no_traceparent_is_refused():
    for wrong in ("", "00", traceparent().upper().replace("0", "A"), "00-" + "0" * 32 + "-" + "1" * 16 + "-01"):
        equal(str(refusal(server.run, "CLIENT", "TRACEPARENT", wrong)), "invalid traceparent")


def what_is_slow_is_traced_in_any_case():
    server.run("CONFIG", "SET", "trace-sample", "0", "slowlog-log-slower-than", "0")
    server.run("DOC.COUNT", "slow")
    server.run("CONFIG", "SET", "slowlog-log-slower-than", "-1")
    span = one("DOC.COUNT slow")
    entry = next(entry for entry in slow() if entry[3][1:] == ["slow"])
    more = entry[6]
    equal(more["trace-id"], span.trace)
    equal(more["request-id"], span.attributes["veddb.request.id"])
    server.run("CONFIG", "SET", "trace-slow", "no", "slowlog-log-slower-than", "0")
    server.run("DOC.COUNT", "untraced")
    server.run("CONFIG", "SET", "trace-sample", "1", "trace-slow", "yes", "slowlog-log-slower-than", "10000")
    server.run("DOC.COUNT", "traced")
    one("DOC.COUNT traced")
    equal(receiver.named("DOC.COUNT untraced"), [])


def slow():
    """SLOWLOG GET as it is: redis-py makes six fields of it."""
    raw = redis.Redis(port=server.port, protocol=3, decode_responses=True)
    raw.set_response_callback("SLOWLOG GET", lambda response, **_: response)
    return raw.execute_command("SLOWLOG GET", "20", "FULL")


def the_share_that_is_asked_for_is_traced():
    server.run("CONFIG", "SET", "trace-sample", "0.25", "trace-slow", "no")
    pipeline = server.client.pipeline(transaction=False)
    for _ in range(4000):
        pipeline.execute_command("DOC.COUNT", "shared")
    pipeline.execute()
    server.run("CONFIG", "SET", "trace-sample", "1", "trace-slow", "yes")
    server.run("DOC.COUNT", "last")
    one("DOC.COUNT last")
    # Six standard deviations of a binomial distribution.
    assert abs(len(receiver.named("DOC.COUNT shared")) - 1000) < 165, len(receiver.named("DOC.COUNT shared"))


def no_value_and_no_secret_is_sent():
    server.run("SET", "keyname", "topsecretvalue")
    server.run("CONFIG", "SET", "requirepass", "")
    server.run("DOC.FIND", "docs", '{"name":"topsecretname"}')
    # The collection was forgotten.
    server.run("DOC.FIND", '{"name":"topsecretfilter"}', "{}")
    refusal(server.run, "DOC.GET", "topsecretid")
    stranger = redis.Redis(port=server.port)
    refusal(stranger.execute_command, "AUTH", "topsecretpassword")
    one("SET")
    one("DOC.FIND docs")
    one("DOC.FIND")
    equal(one("DOC.GET").attributes["error.type"], "ERR")
    everything = b"".join(receiver.bodies)
    for secret in (b"topsecret", b"keyname", b">pw", b"opensesame", b"foreigntoken"):
        assert secret not in everything, secret


def headers_are_sent_and_not_logged():
    equal({headers.get("authorization") for headers in receiver.headers if "authorization" in headers}, {"Bearer opensesame"})
    equal([headers for headers in receiver.headers if "x-other" in headers], [])
    equal([line for line in said("veddb") if "opensesame" in line], [])


def what_a_collector_rejects_is_said():
    receiver.rejected = 1
    server.run("DOC.COUNT", "docs")
    until(lambda: [line for line in said("veddb") if "traces are not taken" in line and "they are too old" in line])
    receiver.rejected = 0
    server.run("DOC.COUNT", "docs")
    until(lambda: [line for line in said("veddb") if "traces are taken again" in line])


def a_stop_sends_what_there_is_yet():
    server.run("DOC.COUNT", "goodbye")
    server.process.terminate()
    equal(server.process.wait(), 0)
    one("DOC.COUNT goodbye")


def through_tls():
    secure = Receiver(f"{certificates}/server.pem", f"{certificates}/server.key")
    trusting = Server("trusting", f"https://127.0.0.1:{secure.port}", "--trace-ca-cert-file", f"{certificates}/ca.pem")
    trusting.run("ECHO", "sealed")
    until(lambda: secure.named("ECHO"))


def a_collector_of_another_authority_is_not_believed():
    foreign = Receiver(f"{certificates}/foreign/server.pem", f"{certificates}/foreign/server.key")
    careful = Server("careful", f"https://127.0.0.1:{foreign.port}", "--trace-ca-cert-file", f"{certificates}/ca.pem")
    careful.run("ECHO", "sealed")
    until(lambda: [line for line in said("careful") if "traces are not taken" in line and "invalid peer certificate" in line])
    equal(foreign.bodies, [])


print(f"version opentelemetry-sdk {version('opentelemetry-sdk')}")
check(
    "traces:",
    [
        a_command_is_a_span,
        the_resource_is_the_server,
        a_write_shows_where_its_time_went,
        the_writes_of_a_pipeline_share_their_group,
        a_query_shows_its_plan,
        a_long_read_shows_its_thread,
        an_error_is_its_code_and_nothing_more,
        what_a_gate_refuses_is_a_span_too,
        a_clients_trace_goes_on_in_the_server,
        only_the_next_command_is_of_it,
        a_trace_that_is_not_sampled_is_not_sent,
        within_a_transaction_it_is_refused,
        of_a_transaction_exec_is_meant,
        what_is_no_traceparent_is_refused,
        what_is_slow_is_traced_in_any_case,
        the_share_that_is_asked_for_is_traced,
        no_value_and_no_secret_is_sent,
        headers_are_sent_and_not_logged,
        what_a_collector_rejects_is_said,
        a_stop_sends_what_there_is_yet,
        through_tls,
        a_collector_of_another_authority_is_not_believed,
    ],
)
