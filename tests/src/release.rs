//! Another release of the shop: the functions of its build, in a process of their own, over the
//! tables, queues, secrets and mails of this process.
//!
//! The program is the example `serve_release` of that release's source. It speaks lines of JSON on
//! its standard input and output; see `protocol.rs`. It has no tables: each AWS call of its functions
//! is answered here, where faults are injected and writes are checked. Only one invocation runs at a
//! time, so the same seed plays the same schedule.
//!
//! The protocol consists of names and JSON alone, because the other side may be an earlier build.

mod protocol;
mod server;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;
use shared::lambda::{Failure, Lambda};

use self::protocol::{Answer, Outcome, Question, Ready};
pub use self::server::serve;
pub(crate) use self::{
    protocol::{AwsAnswer, AwsCall},
    server::Connection,
};
use crate::{
    aws::Aws,
    provider::{Network, RemoteProvider},
    shop::Shop,
};

/// The process of a release. Dropping this value ends the process.
pub struct Release {
    process: Child,
    pipe: Mutex<Pipe>,
    /// The `CreateTable` requests of its templates, by table name.
    pub tables: BTreeMap<String, Value>,
    /// The names of its operations.
    pub operations: Vec<String>,
}

struct Pipe {
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Release {
    /// Starts the program of a release.
    ///
    /// # Panics
    /// If the program does not start, or is not the example `serve_release`.
    pub fn start(program: &Path) -> Self {
        let mut process = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let to = process.stdin.take().expect("its input is a pipe");
        let from = BufReader::new(process.stdout.take().expect("its output is a pipe"));
        let mut pipe = Pipe { to, from };
        let Ready { tables, operations } = pipe.receive();
        Self { process, pipe: Mutex::new(pipe), tables, operations }
    }

    /// Begins a run: its functions forget what they have cached, and their ids begin again.
    pub fn begin(&self) {
        self.lock().send(&Question::Begin);
    }

    /// An operation of this release over the AWS and the clock of `shop`.
    pub fn lambda(self: &Arc<Self>, operation: &str, shop: &Shop) -> Lambda {
        let (release, operation) = (self.clone(), operation.to_owned());
        // Without the functions of the shop, one of which this is.
        let (aws, clock, provider) = (shop.aws.clone(), shop.clock.clone(), shop.provider.clone());
        Arc::new(move |invocation| {
            let question = Question::Invoke {
                operation: operation.clone(),
                event: invocation.event,
                now: clock.now().milliseconds(),
                network: network_name(provider.network()),
            };
            Box::pin(std::future::ready(release.invoke(&aws, &provider, &question)))
        })
    }

    /// Delivers the delayed charge requests of this release to the provider.
    ///
    /// # Panics
    /// If the provider fails.
    pub fn deliver_late_charges(&self, shop: &Shop) {
        let now = shop.clock.now().milliseconds();
        let delivered =
            self.invoke(&shop.aws, &shop.provider, &Question::DeliverLateCharges { now });
        delivered.expect("the provider answers");
    }

    fn invoke(
        &self,
        aws: &Aws,
        provider: &RemoteProvider,
        question: &Question,
    ) -> Result<Value, Failure> {
        let mut pipe = self.lock();
        pipe.send(question);
        loop {
            match pipe.receive() {
                Answer::Call(call) => pipe.send(&aws.answer_call(&call)),
                Answer::Items { table } => pipe.send(&aws.items(&table)),
                Answer::Item { table, key } => pipe.send(&aws.item(&table, &key)),
                Answer::Done(Outcome { answer, unwanted_charges }) => {
                    provider.add_unwanted(unwanted_charges);
                    return answer.map_err(|failure| Failure {
                        is_expected: failure.is_expected,
                        ..Failure::new(failure.kind.leak(), failure.message)
                    });
                }
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Pipe> {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        // It has ended already if these fail.
        let _killed = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl Pipe {
    fn send(&mut self, message: &impl serde::Serialize) {
        let line = serde_json::to_string(message).expect("a message is JSON");
        writeln!(self.to, "{line}").expect("the other release is running");
    }

    fn receive<T: serde::de::DeserializeOwned>(&mut self) -> T {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("the other release is running");
        serde_json::from_str(&line)
            .unwrap_or_else(|error| panic!("the other release sent {line:?}: {error}"))
    }
}

/// Networks by their names, which are the same in every release.
const NETWORKS: [(Network, &str); 7] = [
    (Network::Up, "up"),
    (Network::RequestsLost, "requests_lost"),
    (Network::AnswersLost, "answers_lost"),
    (Network::ChargesDelayed, "charges_delayed"),
    (Network::ChargesRunning, "charges_running"),
    (Network::Unauthorized, "unauthorized"),
    (Network::Forbidden, "forbidden"),
];

fn network_name(network: Network) -> String {
    let (_, name) = NETWORKS.iter().find(|(each, _)| *each == network).expect("it has a name");
    (*name).to_owned()
}

fn network_of(name: &str) -> Network {
    let found = NETWORKS.iter().find(|(_, each)| *each == name);
    found.unwrap_or_else(|| panic!("unknown network {name}")).0
}
