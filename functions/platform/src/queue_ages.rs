//! Ages of the oldest messages in queues. SQS reports them to CloudWatch only.
//!
//! CloudWatch bills each metric that a request reads, so only queues that are not empty are read.

use std::{collections::BTreeMap, time::Duration};

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::{
    primitives::DateTime,
    types::{Dimension, Metric, MetricDataQuery, MetricStat, ScanBy},
};
use shared::{clock::Timestamp, config, telemetry};

/// How far back a value may be. SQS reports one a minute, up to two minutes late.
const WINDOW: Duration = Duration::from_secs(300);

/// Seconds of one value, the shortest that SQS reports.
const PERIOD_SECONDS: i32 = 60;

/// Access to the ages of a shop's queues.
#[derive(Clone, Debug)]
pub struct QueueAges {
    client: aws_sdk_cloudwatch::Client,
    /// Start of the name of each queue.
    shop: String,
}

impl QueueAges {
    pub fn new(config: &SdkConfig, shop: impl Into<String>) -> Self {
        Self { client: aws_sdk_cloudwatch::Client::new(config), shop: shop.into() }
    }

    /// Returns the access of a deployed shop; `None` where CloudWatch has no metrics of queues.
    pub fn from_env(config: &SdkConfig) -> Option<Self> {
        config::optional("QUEUE_AGES").map(|_| Self::new(config, config::required("STACK")))
    }

    /// Returns how many seconds the oldest message of each of these queues had waited when SQS last
    /// reported it. Queues without a recent value are absent. A message that was received three
    /// times is not counted by SQS.
    ///
    /// # Errors
    /// The causes, if CloudWatch fails.
    pub async fn read(
        &self,
        queues: Vec<String>,
        now: Timestamp,
    ) -> Result<BTreeMap<String, u64>, String> {
        let queries = queues.iter().enumerate().map(|(number, queue)| self.query(number, queue));
        let end = DateTime::from_millis(now.milliseconds());
        let start = DateTime::from_secs(end.secs() - WINDOW.as_secs().cast_signed());
        let call = self
            .client
            .get_metric_data()
            .set_metric_data_queries(Some(queries.collect()))
            .start_time(start)
            .end_time(end)
            .scan_by(ScanBy::TimestampDescending);
        let answer = call.send().await.map_err(|error| telemetry::causes(&error))?;
        let results = answer.metric_data_results.unwrap_or_default();
        let mut latest: BTreeMap<String, f64> = results
            .into_iter()
            .filter_map(|result| Some((result.id?, *result.values?.first()?)))
            .collect();
        let age = |(number, queue)| Some((queue, latest.remove(&id(number))? as u64));
        Ok(queues.into_iter().enumerate().filter_map(age).collect())
    }

    fn query(&self, number: usize, queue: &str) -> MetricDataQuery {
        let name = Dimension::builder().name("QueueName").value(format!("{}-{queue}", self.shop));
        let metric = Metric::builder()
            .namespace("AWS/SQS")
            .metric_name("ApproximateAgeOfOldestMessage")
            .dimensions(name.build());
        let values =
            MetricStat::builder().metric(metric.build()).period(PERIOD_SECONDS).stat("Maximum");
        MetricDataQuery::builder().id(id(number)).metric_stat(values.build()).build()
    }
}

/// The id of a query, which must begin with a lower-case letter.
fn id(number: usize) -> String {
    format!("q{number}")
}
