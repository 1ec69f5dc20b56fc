//! The console (`http-console`): a page at `/console/` from which a person watches and works with the server.
//!
//! Owns who may ask: the guards against other sites' pages, and the cookie. What it shows is files that `assets` has; what it does is
//! commands, which `session` sends over a connection that is a client's like any other. So there is no right here that the user has not
//! got by `AUTH`, and nothing that is not held to limits and audited.
//!
//! Invariant: a request that another site's page can cause is refused before anything is done for it.

mod assets;
mod extent;
mod json;
mod session;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, LOCATION, ORIGIN, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode};
use serde::Deserialize;

use crate::server::Server;
use session::{Answer, Refused, Session};

pub(crate) use session::Sessions;

/// The settings of the console.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table of settings documents each by its name")]
pub struct Settings {
    pub is_on: bool,
    pub sessions_max: usize,
    pub session_timeout_s: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { is_on: false, sessions_max: 32, session_timeout_s: 900 }
    }
}

/// Bytes of a request to log in.
const LOGIN_BYTES: usize = 16 << 10;
/// Bytes of a request that runs a command. Only who is in gets as far as to send so much.
const RUN_BYTES: usize = 4 << 20;
/// How long the rest of a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

const PROTECTED: &str = "protected-mode: no password is set, so only this machine may use the console";
const JSON: &str = "application/json";

type Answered = Response<Full<Bytes>>;

/// The cookie's name. Cookies do not know ports, so each server has its own.
fn cookie_name(server: &Server) -> String {
    format!("veddb_console_{}", server.run_id.get(..8).unwrap_or_default())
}

/// Why a request is not done, and the status that says it.
struct Refusal(StatusCode, String);

fn refuse<T>(status: StatusCode, why: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal(status, why.into()))
}

/// Whether a path is the console's, while it is on.
pub(super) fn is_for(path: &str, server: &Server) -> bool {
    let is_own = path == "/" || path == "/console" || path.starts_with("/console/");
    is_own && server.config.load().console.is_on
}

/// Answers a request for a path of the console.
pub(super) async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    local: SocketAddr,
    server: &Arc<Server>,
) -> Answered {
    let path = request.uri().path().to_owned();
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return match path.as_str() {
            "/" | "/console" => redirect(),
            "/console/session" => whoami(server, request.headers()),
            _ => assets::get(&path).map_or_else(not_found, guarded),
        };
    }
    if *request.method() != Method::POST {
        let mut refused = said(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and POST are answered");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        return refused;
    }
    if !is_of_this_page(request.headers()) {
        return said(StatusCode::FORBIDDEN, "only the console's own page may ask for this, by application/json");
    }
    let asked = match path.as_str() {
        "/console/login" => login(request, peer, local, server).await,
        "/console/run" => run(request, server).await,
        "/console/logout" => Ok(logout(server, request.headers())),
        _ => Ok(not_found()),
    };
    asked.unwrap_or_else(|Refusal(status, why)| said(status, &why))
}

/// Whether a request that does something comes from a page of this server. A form of another site cannot send this type, and a script
/// of one has to ask first, which is never allowed.
fn is_of_this_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let is_same_site = site.is_none_or(|site| matches!(site, b"same-origin" | b"none"));
    kind.eq_ignore_ascii_case(JSON) && is_same_site && has_own_origin(headers)
}

/// Whether the page's origin, where the browser says it, is the host that was asked. The scheme may differ: TLS may end before.
fn has_own_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return true };
    let origin = origin.to_str().ok();
    let origin = origin.and_then(|text| text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")));
    let origin = origin.and_then(|text| text.parse::<Authority>().ok());
    let host = headers.get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    origin.is_some() && origin == host
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    user: String,
    password: String,
}

async fn login(
    request: Request<Incoming>,
    peer: SocketAddr,
    local: SocketAddr,
    server: &Arc<Server>,
) -> Result<Answered, Refusal> {
    let before = session_of(server, request.headers());
    let body = body(request, LOGIN_BYTES).await?;
    let credentials: Credentials = parsed(&body)?;
    let (user, password) = (Bytes::from(credentials.user), Bytes::from(credentials.password));
    let opened = session::open(server, peer, local, user, password).await;
    let (session, cookie) = opened.map_err(|refused| match refused {
        Refused::Command(error) => Refusal(StatusCode::UNAUTHORIZED, error),
        Refused::Protected => Refusal(StatusCode::FORBIDDEN, PROTECTED.to_owned()),
        Refused::Full(error) => Refusal(StatusCode::SERVICE_UNAVAILABLE, error),
    })?;
    if let Some(before) = before {
        server.console.close(&before);
    }
    let mut answer = document(StatusCode::OK, about(&session));
    // The page is reached in the clear unless something before this port speaks TLS, so the cookie cannot ask for that.
    let name = cookie_name(server);
    put_cookie(&mut answer, &format!("{name}={cookie}; HttpOnly; SameSite=Strict; Path=/console"));
    Ok(answer)
}

/// An argument of a command: text, or bytes that are none.
#[derive(Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Bytes { base64: String },
}

/// A command, in the database that the session is in or in another one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Asked {
    Here(Vec<Word>),
    In { db: u8, command: Vec<Word> },
}

async fn run(request: Request<Incoming>, server: &Arc<Server>) -> Result<Answered, Refusal> {
    // Looked at first: a stranger sends no long body.
    let session = session_of(server, request.headers()).ok_or_else(gone)?;
    let body = body(request, RUN_BYTES).await?;
    let (words, db) = match parsed(&body)? {
        Asked::Here(words) => (words, None),
        Asked::In { db, command } => (command, Some(db)),
    };
    let words: Result<Vec<Bytes>, _> = words.into_iter().map(bytes_of).collect();
    let words = words.or_else(|_| refuse(StatusCode::BAD_REQUEST, "an argument is not base64"))?;
    if let Some(why) = session::refusal(&words) {
        return Ok(said(StatusCode::OK, &why));
    }
    match session::run(&session, words, db).await {
        Answer::Reply(frame) => Ok(document(StatusCode::OK, json::reply(&frame))),
        Answer::TooLong { max } => {
            let why = format!("ERR the reply is longer than {max} bytes, which is all that the console shows");
            Ok(said(StatusCode::OK, &why))
        }
        Answer::Odd => Ok(said(StatusCode::OK, "ERR the reply is of a form that the console does not show")),
        Answer::Busy => Ok(said(StatusCode::TOO_MANY_REQUESTS, "too many commands of this session wait already")),
        Answer::Gone => {
            server.console.close(&session);
            Err(gone())
        }
    }
}

fn bytes_of(word: Word) -> Result<Bytes, base64::DecodeError> {
    match word {
        Word::Text(text) => Ok(Bytes::from(text)),
        Word::Bytes { base64 } => STANDARD.decode(base64).map(Bytes::from),
    }
}

fn logout(server: &Server, headers: &HeaderMap) -> Answered {
    if let Some(session) = session_of(server, headers) {
        server.console.close(&session);
    }
    let mut answer = document(StatusCode::OK, "{\"ok\":null}".to_owned());
    let name = cookie_name(server);
    put_cookie(&mut answer, &format!("{name}=; HttpOnly; SameSite=Strict; Path=/console; Max-Age=0"));
    answer
}

/// Who the session's user is; null without one. Not 401, which a browser would show as an error of the page.
fn whoami(server: &Server, headers: &HeaderMap) -> Answered {
    let about = session_of(server, headers).map_or_else(|| "{\"user\":null}".to_owned(), |session| about(&session));
    document(StatusCode::OK, about)
}

fn about(session: &Session) -> String {
    serde_json::json!({ "user": session.user(), "client": session.client_id(), "version": env!("CARGO_PKG_VERSION") })
        .to_string()
}

/// The session of a cookie, while its connection is there.
fn session_of(server: &Server, headers: &HeaderMap) -> Option<Arc<Session>> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let own = cookie_name(server);
    let (_, cookie) = cookies.find(|(name, _)| *name == own)?;
    let session = server.console.find(cookie)?;
    if session.is_over() || session.is_barred() {
        server.console.close(&session);
        return None;
    }
    Some(session)
}

async fn body(request: Request<Incoming>, most: usize) -> Result<Bytes, Refusal> {
    let whole = Limited::new(request.into_body(), most).collect();
    match tokio::time::timeout(PATIENCE, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(_)) => refuse(StatusCode::PAYLOAD_TOO_LARGE, format!("a request has {most} bytes at most")),
        Err(_) => refuse(StatusCode::REQUEST_TIMEOUT, "the rest of the request did not come"),
    }
}

fn parsed<T: for<'a> Deserialize<'a>>(body: &Bytes) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .or_else(|error| refuse(StatusCode::BAD_REQUEST, format!("not what is asked for: {error}")))
}

fn gone() -> Refusal {
    Refusal(StatusCode::UNAUTHORIZED, "there is no session any more: log in".to_owned())
}

fn not_found() -> Answered {
    said(StatusCode::NOT_FOUND, "there is no such thing here")
}

fn redirect() -> Answered {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::FOUND;
    answer.headers_mut().insert(LOCATION, HeaderValue::from_static("/console/"));
    guarded(answer)
}

/// `{"error": ..}`.
fn said(status: StatusCode, why: &str) -> Answered {
    document(status, serde_json::json!({ "error": why }).to_string())
}

fn document(status: StatusCode, text: String) -> Answered {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    guarded(answer)
}

fn put_cookie(answer: &mut Answered, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        answer.headers_mut().insert(SET_COOKIE, value);
    }
}

/// What every answer says to the browser: nothing from elsewhere, in no frame, nothing kept, and no text that becomes markup or script.
const HEADERS: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'none'; \
         base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
];

fn guarded(mut answer: Answered) -> Answered {
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_page(headers: &[(&'static str, &str)], expected: bool) {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.insert(*name, value.parse().unwrap());
        }
        assert_eq!(is_of_this_page(&all), expected, "{headers:?}");
    }

    #[test]
    fn only_the_own_page_may_ask() {
        let (json, host) = (("content-type", "application/json"), ("host", "db:8080"));
        check_page(&[json, host], true);
        check_page(&[("content-type", "Application/JSON; charset=utf-8"), host], true);
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp", ""]
        {
            check_page(&[("content-type", kind), host], false);
        }
        check_page(&[host], false);
        for origin in ["http://db:8080", "https://db:8080", "http://DB:8080"] {
            check_page(&[json, host, ("origin", origin)], true);
        }
        for origin in ["null", "", "http://db", "http://db:8081", "http://db:8080.evil.example", "file://", "db:8080"] {
            check_page(&[json, host, ("origin", origin)], false);
        }
        check_page(&[json, ("origin", "http://db:8080")], false);
        check_page(&[json, host, ("sec-fetch-site", "same-origin")], true);
        for site in ["cross-site", "same-site"] {
            check_page(&[json, host, ("sec-fetch-site", site)], false);
        }
    }
}
