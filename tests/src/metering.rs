//! What a run costs: calls of AWS, and the CPU time of the function without that of the world that
//! answers it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use aws_config::SdkConfig;
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};

use crate::aws::Aws;

/// A client of AWS that counts the CPU time of the embedded services. They answer on the thread of
/// their caller.
#[derive(Clone, Debug)]
pub struct Meter {
    aws: Aws,
    nanoseconds: Arc<AtomicU64>,
}

impl Meter {
    /// A meter between functions and `aws`.
    pub fn new(aws: &Aws) -> Self {
        Self { aws: aws.clone(), nanoseconds: Arc::default() }
    }

    /// Settings for the clients of what is measured.
    pub fn sdk_config(&self) -> SdkConfig {
        self.aws.sdk_config().to_builder().http_client(self.clone()).build()
    }

    /// Microseconds of CPU time that this thread has used outside of AWS.
    pub fn microseconds(&self) -> u64 {
        (thread_cpu() - self.nanoseconds.load(Ordering::SeqCst)) / 1000
    }
}

/// Nanoseconds of CPU time that this thread has used, see `proc_pid_schedstat(5)`.
fn thread_cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default()
}

impl HttpClient for Meter {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Meter {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let before = thread_cpu();
        let answer = HttpConnector::call(&self.aws, request);
        self.nanoseconds.fetch_add(thread_cpu() - before, Ordering::SeqCst);
        answer
    }
}

/// How many records a test of the catch-up takes, unless `CATCH_UP_RECORDS` says otherwise.
const RECORDS: u32 = 40;

/// How many records a test of the catch-up takes.
///
/// # Panics
/// When `CATCH_UP_RECORDS` is not a number.
#[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of a service")]
pub fn records() -> u32 {
    std::env::var("CATCH_UP_RECORDS")
        .map_or(RECORDS, |text| text.parse().expect("CATCH_UP_RECORDS is a number"))
}

/// A sweep as the template lets it run, for the computation of how long a backlog takes.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Its time limit, in seconds.
    pub timeout: f64,
    /// What must be left of it for another record, in seconds.
    pub min_time_left: f64,
    /// Its memory, in megabytes. Lambda gives one CPU for 1,769 of them.
    pub megabytes: f64,
    /// How many records it works on at once.
    pub at_once: f64,
    /// Calls of DynamoDB for one record, one after the other.
    pub table_calls: f64,
    /// CPU time for one record, in seconds.
    pub cpu: f64,
    /// Calls of the provider for one record, and how many may begin per second; none where it is
    /// not asked.
    pub provider: Option<(f64, f64)>,
}

/// How long one call of DynamoDB takes, in seconds: assumed.
pub const TABLE_CALL: f64 = 0.005;

/// How long one call of the provider takes, in seconds: assumed.
pub const PROVIDER_CALL: f64 = 0.6;

impl Terms {
    /// Records per hour, and what sets the limit. The schedule starts a run on each full minute,
    /// and one works at a time.
    pub fn records_per_hour(self) -> (f64, &'static str) {
        let waiting = self.table_calls * TABLE_CALL
            + self.provider.map_or(0.0, |(calls, _)| calls * PROVIDER_CALL);
        let limits = [
            (self.at_once / waiting, "latency"),
            (self.megabytes / 1769.0 / self.cpu, "CPU"),
            (
                self.provider.map_or(f64::INFINITY, |(calls, per_second)| per_second / calls),
                "provider",
            ),
        ];
        let (per_second, limit) = limits
            .into_iter()
            .min_by(|one, other| one.0.total_cmp(&other.0))
            .expect("there are three");
        let working = self.timeout - self.min_time_left;
        let every = (self.timeout / 60.0).ceil() * 60.0;
        (per_second * 3600.0 * working / every, limit)
    }
}
