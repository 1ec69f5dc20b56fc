//! The HTTP port (`http-port`): `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever watches the process.
//!
//! Owns its connections, which are not clients: they are in no list, and nothing that holds clients back holds them; `door` says how many
//! there are, `patience` how long each has to take its answer. What is ready is `health`'s, what is measured is [`crate::scrape`]'s. It
//! listens before the data are open, so that a start that takes long can be told from one that hangs.
//!
//! Invariant: nothing here changes anything, and nobody holds more than a bounded number of answers for a bounded time.

pub mod console;
mod door;
mod health;
mod patience;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use crate::listener::{BindError, bind_port, is_loopback};
use crate::scrape::{self, Scrapes};
use crate::server::Server;
use door::Door;
use patience::Patient;

/// The settings of this port.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table of settings documents each by its name")]
pub struct Settings {
    pub port: u16,
    pub bind: Vec<IpAddr>,
    pub collections_max: usize,
    pub lag_s_max: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { port: 0, bind: vec![IpAddr::from([127, 0, 0, 1])], collections_max: 100, lag_s_max: 30 }
    }
}

/// What all its connections share.
#[derive(Debug, Default)]
pub struct Port {
    /// The server, once it is there.
    server: OnceLock<Arc<Server>>,
    scrapes: Scrapes,
    door: Arc<Door>,
}

impl Port {
    /// The server is there. Said once.
    pub fn started(&self, server: &Arc<Server>) {
        let _ = self.server.set(Arc::clone(server));
    }
}

/// How long a request's head may take, counted from when the connection is there or its last answer was given: so an idle connection ends
/// by it as well, and a scraper that comes less often makes another one each time. And how long whoever asked may take to take its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How old a connection may become; a scraper that keeps it makes another one then.
const AGE_MAX: Duration = Duration::from_secs(300);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;
/// How long is waited where no connection can be accepted.
const AGAIN: Duration = Duration::from_millis(50);
/// What a connection is told for which there is no room.
const TOO_MANY: &str =
    "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 21\r\n\r\ntoo many connections\n";

const TEXT: &str = "text/plain; charset=utf-8";

/// Binds the port on every address of the setting `http-bind`; nothing where there is no port.
///
/// # Errors
/// An address that cannot be listened on.
pub fn bind(settings: &crate::config::Settings) -> Result<Vec<TcpListener>, BindError> {
    let Settings { port, bind, .. } = &settings.http;
    if *port == 0 { Ok(Vec::new()) } else { Ok(bind_port(bind, *port, settings.tcp_backlog)?.0) }
}

/// Serves until the runtime ends: also while the server stops, which is then what it says.
pub async fn accept(listener: TcpListener, port: Arc<Port>) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let Some(place) = port.door.enter(peer.ip()) else {
                    tracing::debug!(%peer, "closed: too many connections to http-port");
                    // One attempt: a new socket's buffer is empty, and nobody waits for it.
                    let _ = SockRef::from(&socket).send(TOO_MANY.as_bytes());
                    continue;
                };
                let port = Arc::clone(&port);
                tokio::spawn(async move {
                    serve(socket, peer, port).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to http-port");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn serve(socket: TcpStream, peer: SocketAddr, port: Arc<Port>) {
    let Ok(local) = socket.local_addr() else { return };
    let is_local = is_loopback(local.ip());
    let service = service_fn(move |request: Request<Incoming>| {
        let port = Arc::clone(&port);
        async move {
            let is_meant = !is_local || names_this_machine(request.uri(), request.headers());
            let server = port.server.get().filter(|server| console::is_for(request.uri().path(), server));
            // A proxy beside it may pass on the name that it is asked by: whoever wants in by that has to know a password.
            if let Some(server) = server.filter(|server| is_meant || !server.acl.is_open()) {
                return Ok::<_, Infallible>(console::answer(request, peer, local, server).await);
            }
            if !is_meant {
                return Ok(text(StatusCode::MISDIRECTED_REQUEST, MISDIRECTED));
            }
            Ok(answer(request.method(), request.uri().path(), peer, &port).await)
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(Patient::new(socket, PATIENCE)), service)
    );
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                tracing::debug!(%peer, %error, "a connection to http-port");
            }
        }
        () = tokio::time::sleep(AGE_MAX) => {
            connection.as_mut().graceful_shutdown();
            // Whoever does not read by then is cut off.
            let _ = tokio::time::timeout(PATIENCE, connection.as_mut()).await;
        }
    }
}

/// Whether a request on an address that only this machine has is meant for it: a page of somebody else's name that was made to lead here
/// (DNS rebinding) has a browser on this machine ask by that name.
fn names_this_machine(uri: &Uri, headers: &HeaderMap) -> bool {
    let is_own = |authority: &Authority| {
        let host = authority.host();
        let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        host.eq_ignore_ascii_case("localhost") || literal.parse::<IpAddr>().is_ok()
    };
    let named = |value: &HeaderValue| Authority::try_from(value.as_bytes()).is_ok_and(|authority| is_own(&authority));
    uri.authority().is_none_or(is_own) && headers.get_all(HOST).iter().all(named)
}

async fn answer(method: &Method, path: &str, peer: SocketAddr, port: &Port) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered\n");
        put(&mut refused, ALLOW, "GET, HEAD");
        return refused;
    }
    let server = port.server.get();
    match (path, server) {
        // The runtime answers; whether the server should be asked for anything is /readyz's.
        ("/healthz", _) => text(StatusCode::OK, "ok\n"),
        ("/readyz", None) => text(StatusCode::SERVICE_UNAVAILABLE, "loading: the data are being opened\n"),
        ("/readyz", Some(server)) => {
            let why = health::reasons(server);
            if why.is_empty() {
                text(StatusCode::OK, "ready\n")
            } else {
                text(StatusCode::SERVICE_UNAVAILABLE, &(why.join("\n") + "\n"))
            }
        }
        // Names of collections are shown, so the door is the one that the other ports have.
        ("/metrics", Some(server)) if is_kept_from(server, peer) => {
            text(StatusCode::FORBIDDEN, "protected-mode: no password is set, so only this machine is shown /metrics\n")
        }
        ("/metrics", _) => match scrape::text(&port.scrapes, server.cloned()).await {
            Ok(shown) => whole(StatusCode::OK, scrape::CONTENT_TYPE, shown),
            Err(error) => {
                tracing::error!(%error, "/metrics");
                text(StatusCode::INTERNAL_SERVER_ERROR, "the figures cannot be shown; see the server's log\n")
            }
        },
        _ => text(StatusCode::NOT_FOUND, NOT_FOUND),
    }
}

fn is_kept_from(server: &Server, peer: SocketAddr) -> bool {
    server.config.load().protected_mode && server.acl.is_open() && !is_loopback(peer.ip())
}

const MISDIRECTED: &str = "this address is asked by the name localhost or by a number\n";
const NOT_FOUND: &str = "here are /metrics, /healthz and /readyz\n";

fn text(status: StatusCode, what: &str) -> Response<Full<Bytes>> {
    whole(status, TEXT, Bytes::copy_from_slice(what.as_bytes()))
}

fn whole(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    put(&mut response, CONTENT_TYPE, kind);
    // What is shown is of this moment.
    put(&mut response, CACHE_CONTROL, "no-store");
    response
}

fn put(response: &mut Response<Full<Bytes>>, name: HeaderName, value: &'static str) {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(method: Method, path: &str) -> Response<Full<Bytes>> {
        answer(&method, path, SocketAddr::from(([127, 0, 0, 1], 1)), &Port::default()).await
    }

    #[tokio::test]
    async fn before_the_data_are_open_it_lives_and_is_not_ready() {
        for (method, path, status) in [
            (Method::GET, "/healthz", 200),
            (Method::HEAD, "/readyz", 503),
            (Method::GET, "/metrics", 200),
            (Method::GET, "/", 404),
            (Method::POST, "/metrics", 405),
        ] {
            assert_eq!(asked(method, path).await.status(), status, "{path}");
        }
    }

    #[track_caller]
    fn check_host(uri: &str, host: &[&str], expected: bool) {
        let mut headers = HeaderMap::new();
        for host in host {
            headers.append(HOST, host.parse().unwrap());
        }
        assert_eq!(names_this_machine(&uri.parse().unwrap(), &headers), expected, "{uri} {host:?}");
    }

    #[test]
    fn other_names_are_not_answered() {
        for host in ["localhost", "LOCALHOST:9121", "127.0.0.1", "127.0.0.1:9121", "[::1]:9121", "10.1.2.3"] {
            check_host("/metrics", &[host], true);
        }
        check_host("/metrics", &[], true);
        for host in ["example.com", "127.0.0.1.example.com", "localhost.example.com:9121", "", "::1", "a b"] {
            check_host("/metrics", &[host], false);
        }
        check_host("/metrics", &["localhost", "example.com"], false);
        check_host("http://example.com/metrics", &["localhost"], false);
        check_host("http://localhost:9121/metrics", &["localhost"], true);
    }

    #[test]
    fn the_answer_without_room_is_whole() {
        let (head, body) = TOO_MANY.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("content-length: {}", body.len())));
    }
}
