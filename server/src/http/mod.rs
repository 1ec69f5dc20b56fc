//! The HTTP port (`http-port`): `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever watches the process.
//!
//! Owns its connections, which are not clients: they are in no list, and nothing that holds clients back holds them. What is ready is
//! `health`'s, what is measured is [`crate::scrape`]'s. It listens before the data are open, so that a start that takes long can be told
//! from one that hangs.
//!
//! Invariant: nothing here changes anything, and nobody asks for more than a bounded number of answers at once.

mod health;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::listener::{BindError, bind_port, is_loopback};
use crate::scrape;
use crate::server::Server;

/// The settings of this port.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table of settings documents each by its name")]
pub struct Settings {
    pub port: u16,
    pub collections_max: usize,
    pub lag_s_max: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { port: 0, collections_max: 100, lag_s_max: 30 }
    }
}

/// The server, once it is there.
pub type Started = Arc<OnceLock<Arc<Server>>>;

/// Connections at once. Those that come then are closed: scrapers come again.
const CONNECTIONS_MAX: usize = 128;
/// How long a request's head may take, and the last answer of a connection whose time is up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How old a connection may become; a scraper that keeps it makes another one then.
const AGE_MAX: Duration = Duration::from_secs(300);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 16 << 10;
/// How long is waited where no connection can be accepted.
const AGAIN: Duration = Duration::from_millis(50);

const TEXT: &str = "text/plain; charset=utf-8";

/// Binds the port on every address of the setting `bind`; nothing where there is no port.
///
/// # Errors
/// An address that cannot be listened on.
pub fn bind(settings: &crate::config::Settings) -> Result<Vec<TcpListener>, BindError> {
    if settings.http.port == 0 { Ok(Vec::new()) } else { Ok(bind_port(settings, settings.http.port)?.0) }
}

/// Serves until the runtime ends: also while the server stops, which is then what it says.
pub async fn accept(listener: TcpListener, slots: Arc<Semaphore>, started: Started) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else { continue };
                let started = Arc::clone(&started);
                tokio::spawn(async move {
                    serve(socket, peer, started).await;
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to http-port");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// What bounds the connections of all its listeners.
pub fn slots() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(CONNECTIONS_MAX))
}

async fn serve(socket: TcpStream, peer: SocketAddr, started: Started) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let server = started.get().cloned();
        async move { Ok::<_, Infallible>(answer(&method, &path, peer, server).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .max_buf_size(HEAD_BYTES)
            .serve_connection(TokioIo::new(socket), service)
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

async fn answer(method: &Method, path: &str, peer: SocketAddr, server: Option<Arc<Server>>) -> Response<Full<Bytes>> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered\n");
        put(&mut refused, ALLOW, "GET, HEAD");
        return refused;
    }
    let Some(server) = server else {
        return match path {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" | "/metrics" => text(StatusCode::SERVICE_UNAVAILABLE, "loading\n"),
            _ => text(StatusCode::NOT_FOUND, NOT_FOUND),
        };
    };
    // Names of collections are shown, so the door is the one that the other ports have.
    if server.config.load().protected_mode && server.acl.is_open() && !is_loopback(peer.ip()) {
        return text(StatusCode::FORBIDDEN, "protected-mode: no password is set, so only this machine is answered\n");
    }
    match path {
        // The process answers; whether it should be asked for anything is /readyz's.
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => {
            let why = health::reasons(&server);
            if why.is_empty() {
                text(StatusCode::OK, "ready\n")
            } else {
                text(StatusCode::SERVICE_UNAVAILABLE, &(why.join("\n") + "\n"))
            }
        }
        "/metrics" => match scrape::text(&server).await {
            Ok(shown) => whole(StatusCode::OK, scrape::CONTENT_TYPE, shown),
            Err(error) => {
                tracing::error!(%error, "/metrics");
                text(StatusCode::INTERNAL_SERVER_ERROR, "the figures cannot be shown; see the server's log\n")
            }
        },
        _ => text(StatusCode::NOT_FOUND, NOT_FOUND),
    }
}

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

    async fn status(method: Method, path: &str) -> u16 {
        answer(&method, path, SocketAddr::from(([127, 0, 0, 1], 1)), None).await.status().as_u16()
    }

    #[tokio::test]
    async fn before_the_data_are_open_it_lives_and_is_not_ready() {
        assert_eq!(status(Method::GET, "/healthz").await, 200);
        assert_eq!(status(Method::HEAD, "/readyz").await, 503);
        assert_eq!(status(Method::GET, "/metrics").await, 503);
        assert_eq!(status(Method::GET, "/").await, 404);
        assert_eq!(status(Method::POST, "/metrics").await, 405);
    }
}
