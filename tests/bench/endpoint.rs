//! The AWS endpoint of one process: the in-memory AWS over HTTP or TLS. It counts connections and
//! calls, and the time that it takes itself.
//!
//! All services have one address here, so a function may use one connection for two of them. On AWS
//! their hosts differ: such a connection counts once for each service. The CPU time lacks the
//! second handshake.

use std::{
    collections::BTreeSet,
    io::{self, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tests::aws::Aws;

use crate::{http, server::Server};

pub(crate) struct Endpoint {
    url: String,
    counters: Arc<Counters>,
    _server: Server,
}

#[derive(Default)]
struct Counters {
    connections: AtomicUsize,
    calls: AtomicUsize,
    busy: Mutex<Busy>,
}

/// The time in which at least one call was being answered.
#[derive(Default)]
struct Busy {
    in_progress: usize,
    since: Option<Instant>,
    total: Duration,
}

/// What a process has used since the last reading.
pub(crate) struct Usage {
    pub(crate) connections: usize,
    pub(crate) calls: usize,
    /// Time that the endpoint took, without the time of concurrent calls counted twice.
    pub(crate) busy: Duration,
}

impl Endpoint {
    /// Serves `aws` on a free port, under the name `localhost`: like on AWS, the function looks up
    /// a name.
    pub(crate) fn start(aws: &Aws, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        // Where the name has an IPv6 address too, it is tried first.
        let also = TcpListener::bind(("::1", port)).ok();
        let counters = Arc::new(Counters::default());
        let serve = {
            let (aws, counters, tls) = (aws.clone(), counters.clone(), tls.cloned());
            move |stream| {
                // An error is the end of the process, which is killed with its connections open.
                let _ended = match &tls {
                    None => plain(stream).and_then(|stream| answer_all(stream, &aws, &counters)),
                    Some(config) => encrypted(stream, config.clone())
                        .and_then(|stream| answer_all(stream, &aws, &counters)),
                };
            }
        };
        let server = Server::start([Some(listener), also].into_iter().flatten(), serve);
        let scheme = if tls.is_some() { "https" } else { "http" };
        Ok(Self { url: format!("{scheme}://localhost:{port}"), counters, _server: server })
    }

    /// The value of `AWS_ENDPOINT_URL`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Reads the counters and resets them.
    pub(crate) fn take_usage(&self) -> Usage {
        Usage {
            connections: self.counters.connections.swap(0, Ordering::SeqCst),
            calls: self.counters.calls.swap(0, Ordering::SeqCst),
            busy: std::mem::take(&mut self.counters.lock().total),
        }
    }
}

impl Counters {
    fn lock(&self) -> std::sync::MutexGuard<'_, Busy> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let mut busy = self.lock();
        busy.in_progress += 1;
        busy.since.get_or_insert_with(Instant::now);
    }

    fn leave(&self) {
        let mut busy = self.lock();
        busy.in_progress -= 1;
        if busy.in_progress == 0
            && let Some(since) = busy.since.take()
        {
            busy.total += since.elapsed();
        }
    }
}

fn plain(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn encrypted(
    stream: TcpStream,
    config: Arc<ServerConfig>,
) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
    stream.set_nodelay(true)?;
    let connection = ServerConnection::new(config).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, stream))
}

/// Answers the requests of one connection until it ends.
fn answer_all(stream: impl Read + Write, aws: &Aws, counters: &Counters) -> io::Result<()> {
    let (mut stream, mut services) = (BufReader::new(stream), BTreeSet::new());
    while let Some(request) = http::read(&mut stream)? {
        if services.insert(service(&request)) {
            counters.connections.fetch_add(1, Ordering::SeqCst);
        }
        counters.enter();
        let (status, body) = answer(request, aws)?;
        // Before the response: afterwards the process may already ask for its next event.
        counters.leave();
        let headers = [("content-type", "application/x-amz-json-1.0")];
        http::write(stream.get_mut(), status, &headers, &body)?;
    }
    Ok(())
}

/// The service of a call: `DynamoDB_20120810` of `DynamoDB_20120810.GetItem`.
fn service(request: &http::Request) -> String {
    let target = request.header("x-amz-target").unwrap_or_default();
    target.split('.').next().unwrap_or_default().to_owned()
}

fn answer(request: http::Request, aws: &Aws) -> io::Result<(u16, Vec<u8>)> {
    let mut call = HttpRequest::new(SdkBody::from(request.body));
    call.set_method(&request.method).map_err(io::Error::other)?;
    call.set_uri(request.target).map_err(io::Error::other)?;
    for (name, value) in request.headers {
        call.headers_mut().insert(name, value);
    }
    let response = aws.answer(&call).map_err(io::Error::other)?;
    let body = response.body().bytes().unwrap_or_default().to_vec();
    Ok((response.status().as_u16(), body))
}
