//! Sending spans: to a collector that speaks OTLP over HTTP, in batches, from a queue of bounded length.
//!
//! Batching and the format are the SDK's, HTTP is `hyper`'s. Owns the count of what becomes of spans, and the connection. A thread of
//! the SDK's waits for each batch to be taken; what is sent runs on the runtime.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::http::uri::Scheme;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use opentelemetry_http::{HttpClient, HttpError, ResponseBodyTooLarge};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanExporter as Exporter};
use parking_lot::Mutex;
use prost::Message;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Settings;
use crate::tls;

/// Where a collector takes traces.
const PATH: &str = "/v1/traces";
/// How long a batch is tried again.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long each attempt may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long a span waits for others, at most.
const GATHER: Duration = Duration::from_secs(1);
/// How long what is said of a full queue is not said again.
const SAID_AGAIN: Duration = Duration::from_secs(60);
/// Spans of one batch.
const BATCH: usize = 512;
/// Bytes of an answer that are read.
const ANSWER_BYTES: usize = 64 << 10;
/// As much of a reason is logged: a collector may have put anything in it.
const REASON_CHARACTERS: usize = 200;

/// What became of spans.
#[derive(Debug, Clone)]
pub(crate) struct Figures(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    queued: AtomicUsize,
    queue_max: usize,
    exported: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    /// The last batch was not taken, and that was said.
    failing: AtomicBool,
    /// When it was last said that some found no room.
    full_said: Mutex<Option<Instant>>,
    said: Mutex<Said>,
}

/// What came of the last attempt to send a batch, which the SDK does not say.
#[derive(Debug, Default)]
struct Said {
    /// Why there was no answer, or what the collector has to say to its own.
    reason: Option<String>,
    /// Spans that it refused of a batch that it took.
    refused: u64,
}

impl Figures {
    pub(super) fn new(queue_max: usize) -> Figures {
        Figures(Arc::new(Counts {
            queued: AtomicUsize::new(0),
            queue_max,
            exported: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            failing: AtomicBool::new(false),
            full_said: Mutex::default(),
            said: Mutex::default(),
        }))
    }

    /// Spans that wait, or are being sent.
    pub(crate) fn queued(&self) -> usize {
        self.0.queued.load(Relaxed)
    }

    /// How many may.
    pub(crate) fn queue_max(&self) -> usize {
        self.0.queue_max
    }

    /// Spans that were taken, that were not, and that found no room.
    pub(crate) fn sent(&self) -> [(&'static str, u64); 3] {
        let Counts { exported, failed, dropped, .. } = &*self.0;
        [("exported", exported.load(Relaxed)), ("failed", failed.load(Relaxed)), ("dropped", dropped.load(Relaxed))]
    }

    /// Whether there is room for so many more, which is taken then: a part of a request's spans is worth nothing.
    pub(super) fn enter(&self, spans: usize) -> bool {
        let most = self.0.queue_max;
        let room = |queued| Some(queued + spans).filter(|after| *after <= most);
        let entered = self.0.queued.fetch_update(Relaxed, Relaxed, room).is_ok();
        if !entered {
            self.0.dropped.fetch_add(spans as u64, Relaxed);
            let mut said = self.0.full_said.lock();
            if said.is_none_or(|at| at.elapsed() >= SAID_AGAIN) {
                *said = Some(Instant::now());
                tracing::warn!(
                    "trace-queue is full: spans are dropped until the collector has taken some (said once a minute)"
                );
            }
        }
        entered
    }

    fn leave(&self, spans: usize, result: &OTelSdkResult) {
        let counts = &*self.0;
        counts.queued.fetch_sub(spans, Relaxed);
        let Said { reason, refused } = std::mem::take(&mut *counts.said.lock());
        let failed = if result.is_ok() { refused.min(spans as u64) } else { spans as u64 };
        counts.failed.fetch_add(failed, Relaxed);
        counts.exported.fetch_add(spans as u64 - failed, Relaxed);
        if failed == 0 {
            if counts.failing.swap(false, Relaxed) {
                tracing::info!("traces are taken again");
            }
        } else if !counts.failing.swap(true, Relaxed) {
            // Once until it is better: the figures say how many are lost.
            let reason = reason.or_else(|| result.as_ref().err().map(ToString::to_string)).unwrap_or_default();
            let reason: String = reason.chars().take(REASON_CHARACTERS).collect();
            tracing::warn!(reason, "traces are not taken by the collector");
        }
    }

    fn say(&self, said: Said) {
        *self.0.said.lock() = said;
    }
}

/// Begins to gather and send, within the runtime that sends. Only spans may come here that have entered the figures.
///
/// # Errors
/// What of the settings cannot be used.
pub(super) fn start(settings: &Settings, figures: &Figures) -> Result<BatchSpanProcessor, String> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Sender::new(settings, figures)?)
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}{PATH}", settings.endpoint.trim_end_matches('/')))
        .with_timeout(PATIENCE)
        .with_retry_policy(RetryPolicy::recommended().with_max_retries(usize::MAX))
        .build()
        .map_err(|why| format!("traces: {why}"))?;
    let batches = BatchConfigBuilder::default()
        // What finds no room there was turned away before.
        .with_max_queue_size(settings.queue)
        .with_max_export_batch_size(BATCH.min(settings.queue))
        .with_scheduled_delay(GATHER)
        .build();
    let exporter = Watched { exporter, figures: figures.clone() };
    Ok(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
}

/// The SDK's exporter, with a count of what it did.
#[derive(Debug)]
struct Watched {
    exporter: SpanExporter,
    figures: Figures,
}

impl Exporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let result = self.exporter.export(batch).await;
        self.figures.leave(spans, &result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// HTTP to the collector: a connection for each batch.
#[derive(Clone)]
struct Sender {
    runtime: Handle,
    /// None for `http`.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    headers: Vec<(HeaderName, HeaderValue)>,
    figures: Figures,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl Sender {
    fn new(settings: &Settings, figures: &Figures) -> Result<Sender, String> {
        let uri: Uri = settings.endpoint.parse().map_err(|why| format!("trace-endpoint: {why}"))?;
        let tls = if is_secure(&uri) {
            let trusted = tls::trusting("trace-ca-cert-file", &settings.ca_cert_file)?;
            let name = ServerName::try_from(host(&uri).to_owned());
            let name = name.map_err(|_| "trace-endpoint: its host is no name that a certificate could be for")?;
            Some((TlsConnector::from(Arc::new(trusted)), name))
        } else if settings.ca_cert_file.as_os_str().is_empty() {
            None
        } else {
            return Err("trace-ca-cert-file is set and trace-endpoint is not https".to_owned());
        };
        let headers = headers(&settings.headers.0)?;
        Ok(Sender { runtime: Handle::current(), tls, headers, figures: figures.clone() })
    }

    /// Blocks while the collector's name is looked up, for which this thread has nothing else to do.
    async fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let uri = request.uri();
        let port = uri.port_u16().unwrap_or(if self.tls.is_some() { 443 } else { 80 });
        let addresses: Vec<SocketAddr> = (host(uri), port).to_socket_addrs()?.collect();
        let sender = self.clone();
        // Whoever awaits this is a thread without a runtime.
        let sent = self.runtime.spawn(async move { timeout(ATTEMPT, sender.send(&addresses, request)).await });
        sent.await?.map_err(|_| HttpError::from("no answer in time"))?
    }

    async fn send(&self, addresses: &[SocketAddr], request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let socket = connect(addresses).await?;
        let uri = request.uri();
        let authority = uri.authority().ok_or("the endpoint has no host")?.as_str();
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        // Made anew: the SDK adds headers that the environment has for collectors, of which this need not be one.
        let mut own = Request::post(path).header(HOST, authority).header(CONTENT_TYPE, "application/x-protobuf");
        if let Some(headers) = own.headers_mut() {
            self.headers.iter().for_each(|(name, value)| drop(headers.insert(name.clone(), value.clone())));
        }
        let own = own.body(Full::new(request.into_body()))?;
        match &self.tls {
            Some((tls, name)) => exchange(tls.connect(name.clone(), socket).await?, own).await,
            None => exchange(socket, own).await,
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.post(request).await;
        self.figures.say(match &answer {
            Ok(answer) if answer.status().is_success() => refused(answer.body()),
            Ok(answer) => Said { reason: Some(format!("it answers {}", answer.status())), refused: 0 },
            Err(error) if error.is::<ResponseBodyTooLarge>() => {
                Said { reason: Some(format!("its answer is longer than {ANSWER_BYTES} bytes")), refused: 0 }
            }
            Err(error) => Said { reason: Some(error.to_string()), refused: 0 },
        });
        answer
    }
}

/// What a collector says of spans that it did not take of a batch that it took.
fn refused(body: &Bytes) -> Said {
    let answer = ExportTraceServiceResponse::decode(body.clone()).unwrap_or_default();
    let Some(partly) = answer.partial_success else { return Said::default() };
    Said { reason: Some(partly.error_message), refused: u64::try_from(partly.rejected_spans).unwrap_or(0) }
}

/// Connects to the first address that answers; one that does not leaves time for the others.
async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let share = ATTEMPT / 2 / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    let mut failed = io::Error::other("its name has no address");
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => failed = error,
            Err(_) => failed = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(failed)
}

/// One request and its answer, on a connection that is closed then.
async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answered = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES).collect().await.map_err(|error| {
            // The SDK does not try again then: the collector has answered.
            if error.is::<LengthLimitError>() { ResponseBodyTooLarge::new().into() } else { error }
        })?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    };
    tokio::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        // It may have ended right after the answer.
        _ = connection => answered.await,
    }
}

fn is_secure(uri: &Uri) -> bool {
    uri.scheme() == Some(&Scheme::HTTPS)
}

/// A name or an address, without the brackets of an IPv6 one.
fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

/// Reads `name=value`, one after the other with commas between. Values are sent as they are.
///
/// # Errors
/// What is no header, or one that is not to be chosen. It does not say its value.
pub(crate) fn headers(text: &str) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let one = |part: &str| {
        let (name, value) = part.split_once('=').ok_or("trace-headers takes name=value, with commas between")?;
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| "trace-headers has a wrong name")?;
        if [CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING].contains(&name) {
            return Err("trace-headers has a name that is not to be chosen");
        }
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| "trace-headers has a wrong value")?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    text.split(',').filter(|part| !part.trim().is_empty()).map(one).collect::<Result<_, &str>>().map_err(str::to_owned)
}

/// Reads where the collector is: `http://host:port`, or `https`; nothing is nowhere.
///
/// # Errors
/// Why it cannot be.
pub(crate) fn endpoint(text: &str) -> Result<String, String> {
    let wrong = || "argument must be a URL such as http://127.0.0.1:4318".to_owned();
    if text.is_empty() {
        return Ok(String::new());
    }
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let spoken = uri.scheme() == Some(&Scheme::HTTP) || is_secure(&uri);
    if !spoken || host(&uri).is_empty() || text.contains(['?', '#']) {
        return Err(wrong());
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("passwords do not belong in it: trace-headers takes them".to_owned());
    }
    let port = uri.authority().and_then(|authority| authority.as_str().rsplit_once(':'));
    let has_port = port.is_some_and(|(_, port)| !port.contains(']'));
    if has_port && uri.port_u16().is_none_or(|port| port == 0) {
        return Err(wrong());
    }
    if uri.path().trim_end_matches('/').ends_with(PATH) {
        return Err(format!("{PATH} is added to it"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_urls() {
        for good in
            ["", "http://127.0.0.1:4318", "https://collector.example/otlp/", "http://[::1]:4318", "http://[::1]"]
        {
            assert_eq!(endpoint(good).as_deref(), Ok(good));
        }
        for wrong in [
            "127.0.0.1:4318",
            "grpc://a:1",
            "http://",
            "http:///v1",
            "http://a/?b",
            "http://a/#b",
            "http://u:p@a",
            "http://a b",
            "http://a/v1/traces/",
            "http://a:43l8",
            "http://a:70000",
            "http://a:",
            "http://[::1]:0",
        ] {
            assert!(endpoint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_sealed_is_told_by_the_scheme_in_any_case() {
        for (text, secure) in [("HTTPS://a", true), ("https://a:1", true), ("http://a", false), ("HTTP://https", false)]
        {
            assert_eq!(is_secure(&endpoint(text).unwrap().parse().unwrap()), secure, "{text}");
        }
        assert_eq!(host(&"http://[::1]:4318".parse().unwrap()), "::1");
    }

    #[test]
    fn headers_are_pairs_and_no_error_shows_their_values() {
        assert_eq!(headers("").unwrap(), []);
        let read = headers("authorization=Bearer a=b, x-scope = 1,").unwrap();
        assert_eq!(read.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["authorization", "x-scope"]);
        assert_eq!(read[0].1, "Bearer a=b");
        for wrong in ["secret", "a b=secret", "a=secret\nb", "Host=secret"] {
            let error = headers(wrong).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn spans_that_find_no_room_are_counted() {
        let figures = Figures::new(5);
        assert_eq!([figures.enter(1), figures.enter(5), figures.enter(4)], [true, false, true]);
        figures.leave(2, &Ok(()));
        assert_eq!(figures.sent(), [("exported", 2), ("failed", 0), ("dropped", 5)]);
        figures.say(Said { reason: Some("too old".to_owned()), refused: 2 });
        figures.leave(3, &Ok(()));
        assert_eq!(figures.sent(), [("exported", 3), ("failed", 2), ("dropped", 5)]);
        assert!(figures.enter(3));
        assert_eq!((figures.queued(), figures.queue_max()), (3, 5));
    }
}
