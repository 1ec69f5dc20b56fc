"""A collector: takes what is sent by OTLP over HTTP, and reads it with the classes that OpenTelemetry makes of its own definitions."""

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse


def value(any_value):
    """What an attribute is."""
    return getattr(any_value, any_value.WhichOneof("value"))


class Span:
    """A span, as a collector sees it."""

    def __init__(self, span, resource):
        self.name, self.kind = span.name, span.kind
        self.trace, self.id, self.parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
        self.begin, self.end = span.start_time_unix_nano, span.end_time_unix_nano
        self.state, self.status = span.trace_state, span.status
        self.attributes = {pair.key: value(pair.value) for pair in span.attributes}
        self.resource = {pair.key: value(pair.value) for pair in resource.attributes}


class Receiver:
    """Listens on a free port of this machine, through TLS if it gets a certificate and its key."""

    def __init__(self, certificate=None, key=None):
        self.spans, self.bodies, self.headers = [], [], []
        # What it says that it has not taken, of each batch.
        self.rejected = 0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.path != "/v1/traces" or self.headers["content-type"] != "application/x-protobuf":
                    self.send_error(404)
                    return
                request = ExportTraceServiceRequest.FromString(body)
                receiver.bodies.append(body)
                receiver.headers.append(dict(self.headers))
                for spans in request.resource_spans:
                    for scope in spans.scope_spans:
                        receiver.spans += [Span(span, spans.resource) for span in scope.spans]
                answer = ExportTraceServiceResponse()
                if receiver.rejected:
                    answer.partial_success.rejected_spans = receiver.rejected
                    answer.partial_success.error_message = "they are too old"
                answer = answer.SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def named(self, name):
        return [span for span in self.spans if span.name == name]

    def children(self, span):
        return [child for child in self.spans if child.parent == span.id and child.trace == span.trace]
