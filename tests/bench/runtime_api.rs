//! The Lambda Runtime API for one process: it hands out one event after the other and takes the
//! answers (`https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html`).

use std::{
    io::{self, BufReader},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Mutex, PoisonError,
        mpsc::{self, Receiver, Sender},
    },
    time::Duration,
};

use serde_json::Value;

use crate::{http, server::Server};

/// Time limit for the next step, longer than any function needs.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the process does.
enum Step {
    /// It asks for the next event, so it is ready or has finished the last one.
    Asked,
    /// It has answered an event.
    Answered(Vec<u8>),
    /// It has reported an error of an invocation or of its start.
    Failed(String),
}

pub(crate) struct RuntimeApi {
    address: SocketAddr,
    events: Sender<String>,
    steps: Receiver<Step>,
    _server: Server,
}

impl RuntimeApi {
    /// Starts the Runtime API on a free port.
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let (events, waiting) = mpsc::channel();
        let (reports, steps) = mpsc::channel();
        let waiting = Mutex::new(waiting);
        let server = Server::start([listener], move |stream| serve(stream, &waiting, &reports));
        Ok(Self { address, events, steps, _server: server })
    }

    /// The value of `AWS_LAMBDA_RUNTIME_API`.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    /// Waits until the process asks for an event.
    pub(crate) fn wait_until_asked(&self) -> Result<(), String> {
        match self.next()? {
            Step::Asked => Ok(()),
            Step::Answered(_) => Err("answered without an event".to_owned()),
            Step::Failed(error) => Err(error),
        }
    }

    /// Sends an event and returns its answer.
    pub(crate) fn invoke(&self, event: &Value) -> Result<Value, String> {
        self.events.send(event.to_string()).map_err(|error| error.to_string())?;
        match self.next()? {
            Step::Answered(body) => {
                serde_json::from_slice(&body).map_err(|error| format!("its answer: {error}"))
            }
            Step::Asked => Err("asked for an event before it answered".to_owned()),
            Step::Failed(error) => Err(error),
        }
    }

    fn next(&self) -> Result<Step, String> {
        self.steps.recv_timeout(PATIENCE).map_err(|_| format!("did nothing for {PATIENCE:?}"))
    }
}

/// Answers the requests of one connection until it ends.
fn serve(stream: TcpStream, events: &Mutex<Receiver<String>>, steps: &Sender<Step>) {
    // An error is the end of the process, which the benchmark kills while it waits for an event.
    let _ended = stream.set_nodelay(true).and_then(|()| answer_all(stream, events, steps));
}

fn answer_all(
    stream: TcpStream,
    events: &Mutex<Receiver<String>>,
    steps: &Sender<Step>,
) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = http::read(&mut stream)? {
        let step = match request.target.rsplit('/').next() {
            Some("next") => Step::Asked,
            Some("response") => Step::Answered(request.body),
            _ => Step::Failed(String::from_utf8_lossy(&request.body).into_owned()),
        };
        let is_question = matches!(step, Step::Asked);
        // Before the response: the process may ask for the next event on another connection.
        steps.send(step).map_err(io::Error::other)?;
        if is_question {
            let event = events.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let event = event.map_err(io::Error::other)?;
            http::write(stream.get_mut(), 200, &HEADERS, event.as_bytes())?;
        } else {
            http::write(stream.get_mut(), 202, &[], b"")?;
        }
    }
    Ok(())
}

/// The deadline is far in the future.
const HEADERS: [(&str, &str); 4] = [
    ("content-type", "application/json"),
    ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
    ("lambda-runtime-deadline-ms", "4102444800000"),
    (
        "lambda-runtime-invoked-function-arn",
        "arn:aws:lambda:us-east-1:000000000000:function:ferrocart-bench",
    ),
];
