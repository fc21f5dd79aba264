//! The cost of a run: AWS calls, and the CPU time of the function without that of the in-memory
//! AWS.

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

/// An AWS client that measures the CPU time of the in-memory services and subtracts it. They run on
/// their caller's thread.
#[derive(Clone, Debug)]
pub struct Meter {
    aws: Aws,
    nanoseconds: Arc<AtomicU64>,
}

impl Meter {
    /// A meter between the functions and `aws`.
    pub fn new(aws: &Aws) -> Self {
        Self { aws: aws.clone(), nanoseconds: Arc::default() }
    }

    /// Settings for the SDK clients of the measured functions.
    pub fn sdk_config(&self) -> SdkConfig {
        self.aws.sdk_config().to_builder().http_client(self.clone()).build()
    }

    /// Microseconds of CPU time that this thread has used outside the in-memory AWS.
    pub fn microseconds(&self) -> u64 {
        (thread_cpu() - self.nanoseconds.load(Ordering::SeqCst)) / 1000
    }
}

/// Nanoseconds of CPU time that this thread has used; see `proc_pid_schedstat(5)`. The kernel adds
/// the present time slice when the thread yields.
pub(crate) fn thread_cpu() -> u64 {
    std::thread::yield_now();
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

/// Default number of records in a catch-up test.
const RECORDS: u32 = 40;

/// The number of records in a catch-up test, from `CATCH_UP_RECORDS`.
///
/// # Panics
/// If `CATCH_UP_RECORDS` is not a number.
#[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of a service")]
pub fn records() -> u32 {
    std::env::var("CATCH_UP_RECORDS")
        .map_or(RECORDS, |text| text.parse().expect("CATCH_UP_RECORDS is a number"))
}

/// The parameters of a sweep, as the template configures it, from which its throughput is computed.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Timeout of the function, in seconds.
    pub timeout: f64,
    /// Minimum time left for starting another record, in seconds.
    pub min_time_left: f64,
    /// Memory size, in megabytes. Lambda allocates one CPU per 1,769 MB.
    pub megabytes: f64,
    /// Number of records processed concurrently.
    pub at_once: f64,
    /// Sequential DynamoDB calls per record.
    pub table_calls: f64,
    /// CPU time per record, in seconds.
    pub cpu: f64,
    /// Provider calls per record, and the maximum that may start per second; `None` if the sweep
    /// does not call the provider.
    pub provider: Option<(f64, f64)>,
}

/// Assumed duration of a DynamoDB call, in seconds.
pub const TABLE_CALL: f64 = 0.005;

/// Assumed duration of a provider call, in seconds.
pub const PROVIDER_CALL: f64 = 0.6;

impl Terms {
    /// Records per hour, and the limiting factor. The schedule starts a run every full minute, and
    /// only one runs at a time.
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
