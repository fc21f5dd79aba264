//! One start of a function: its first event, and the later ones.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::ServerConfig;
use serde_json::Value;
use tests::{aws::Aws, cost};

use crate::{endpoint::Endpoint, process::Process, runtime_api::RuntimeApi, settings};

/// What is started: a function, or a reference.
pub(crate) struct Subject {
    pub(crate) name: String,
    /// The program, and for TLS the one that trusts the endpoint.
    pub(crate) programs: [PathBuf; 2],
    pub(crate) kind: Kind,
    /// The state that each start finds.
    pub(crate) aws: Aws,
    pub(crate) events: Vec<Value>,
}

pub(crate) enum Kind {
    Function,
    Reference {
        /// The certificates that the quick start trusts.
        roots: PathBuf,
    },
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Transport {
    Http,
    Tls,
}

/// The figures of one start. Times are in milliseconds.
pub(crate) struct Sample {
    /// CPU time until the function asks for its first event.
    pub(crate) init: f64,
    pub(crate) init_faults: f64,
    /// CPU time of the first event.
    pub(crate) first: f64,
    /// CPU time of a later event.
    pub(crate) warm: f64,
    /// Durations of the later events without the time of the endpoint.
    pub(crate) durations: Vec<f64>,
    pub(crate) resident_megabytes: f64,
    /// Connections to AWS: until the first answer, and after all events.
    pub(crate) cold_connections: usize,
    pub(crate) connections: usize,
    /// AWS calls of the first event, and the median of the later ones.
    pub(crate) cold_calls: usize,
    pub(crate) warm_calls: usize,
}

impl Subject {
    /// Starts the function, sends its events and stops it.
    pub(crate) fn start(
        &self,
        transport: Transport,
        tls: &Arc<ServerConfig>,
    ) -> Result<Sample, String> {
        let is_tls = transport == Transport::Tls;
        self.sample(is_tls, tls).map_err(|error| format!("{}: {error}", self.name))
    }

    fn sample(&self, is_tls: bool, tls: &Arc<ServerConfig>) -> Result<Sample, String> {
        let failed = |error: std::io::Error| error.to_string();
        let endpoint = Endpoint::start(&self.aws.copy(), is_tls.then_some(tls)).map_err(failed)?;
        let runtime = RuntimeApi::start().map_err(failed)?;
        let variables = self.variables(endpoint.url(), &runtime.address());
        let process =
            Process::start(&self.programs[usize::from(is_tls)], &variables).map_err(failed)?;

        runtime.wait_until_asked()?;
        let ready = process.idle().map_err(failed)?;
        let (first, later) = self.events.split_first().ok_or("has no event")?;
        self.invoke(&runtime, first)?;
        let answered = process.idle().map_err(failed)?;
        let cold = endpoint.take_usage();

        let (mut durations, mut calls, mut connections) = (Vec::new(), Vec::new(), 0);
        for event in later {
            let elapsed = self.invoke(&runtime, event)?;
            let usage = endpoint.take_usage();
            durations.push(elapsed.saturating_sub(usage.busy).as_secs_f64() * 1e3);
            calls.push(usage.calls);
            connections += usage.connections;
        }
        let finished = process.idle().map_err(failed)?;
        calls.sort_unstable();
        Ok(Sample {
            init: ready.milliseconds,
            init_faults: ready.faults,
            first: answered.milliseconds - ready.milliseconds,
            warm: (finished.milliseconds - answered.milliseconds) / later.len() as f64,
            durations,
            resident_megabytes: process.resident_megabytes().map_err(failed)?,
            cold_connections: cold.connections,
            connections: cold.connections + connections,
            cold_calls: cold.calls,
            warm_calls: calls.get(calls.len() / 2).copied().unwrap_or_default(),
        })
    }

    /// Sends an event and waits until the function asks for the next one. Returns the time until
    /// its answer.
    fn invoke(&self, runtime: &RuntimeApi, event: &Value) -> Result<Duration, String> {
        let started = Instant::now();
        let answer = runtime.invoke(event)?;
        let elapsed = started.elapsed();
        if matches!(self.kind, Kind::Function) && !cost::is_processed(&answer) {
            return Err(format!("did not process its event: {answer}"));
        }
        runtime.wait_until_asked()?;
        Ok(elapsed)
    }

    fn variables(&self, endpoint: &str, runtime: &str) -> BTreeMap<String, String> {
        match &self.kind {
            Kind::Function => settings::variables(&self.name, endpoint, runtime),
            Kind::Reference { roots } => {
                let mut variables = settings::lambda(&self.name, "256", endpoint, runtime);
                variables.insert("SSL_CERT_FILE".to_owned(), roots.display().to_string());
                variables
            }
        }
    }
}
