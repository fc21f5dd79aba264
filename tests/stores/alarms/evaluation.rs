//! What CloudWatch does with metric lines: extracts datapoints, and evaluates alarms on them.
//!
//! Sources: "Embedded metric format specification", "Alarm evaluation" and "Using metric math",
//! Amazon CloudWatch User Guide. Every alarm on the shop's metrics treats missing data as not
//! breaching.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde_json::Value;
use shared::metrics::NAMESPACE;
use tests::template;

/// The properties of an alarm that the evaluation supports, and those without an effect on it.
const PROPERTIES: [&str; 12] = [
    "AlarmActions",
    "AlarmDescription",
    "ComparisonOperator",
    "Dimensions",
    "EvaluationPeriods",
    "MetricName",
    "Metrics",
    "Namespace",
    "Period",
    "Statistic",
    "Threshold",
    "TreatMissingData",
];

/// A metric as CloudWatch identifies it. The same name with other dimensions is another metric.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Metric {
    namespace: String,
    name: String,
    dimensions: BTreeMap<String, String>,
}

impl Metric {
    /// The metric of an alarm, or of a term of its metric math.
    fn of(watched: &Value) -> Self {
        let dimensions = list(&watched["Dimensions"]);
        Self {
            namespace: text(&watched["Namespace"]),
            name: text(&watched["MetricName"]),
            dimensions: dimensions.map(|one| (text(&one["Name"]), text(&one["Value"]))).collect(),
        }
    }
}

/// A value that CloudWatch extracts from a line.
struct Datapoint<'a> {
    metric: Metric,
    milliseconds: i64,
    value: f64,
    line: &'a Value,
}

/// The datapoints of lines in the embedded metric format.
fn datapoints(lines: &[Value]) -> Vec<Datapoint<'_>> {
    let mut datapoints = Vec::new();
    for line in lines {
        let milliseconds = line["_aws"]["Timestamp"].as_i64().expect("a line has a timestamp");
        for directive in list(&line["_aws"]["CloudWatchMetrics"]) {
            for names in list(&directive["Dimensions"]) {
                let dimensions: BTreeMap<String, String> =
                    list(names).map(text).map(|name| (name.clone(), text(&line[&name]))).collect();
                datapoints.extend(list(&directive["Metrics"]).map(|definition| {
                    let name = text(&definition["Name"]);
                    let value = line[&name].as_f64().expect("a metric has a value");
                    let (namespace, dimensions) =
                        (text(&directive["Namespace"]), dimensions.clone());
                    let metric = Metric { namespace, name, dimensions };
                    Datapoint { metric, milliseconds, value, line }
                }));
            }
        }
    }
    datapoints
}

/// A statistic of a metric, multiplied by a factor.
#[derive(Debug)]
struct Term {
    metric: Metric,
    statistic: String,
    period_milliseconds: i64,
    factor: f64,
}

impl Term {
    fn new(watched: &Value, statistic: &Value, period: &Value, factor: f64) -> Self {
        Self {
            metric: Metric::of(watched),
            statistic: text(statistic),
            period_milliseconds: period.as_i64().expect("a period in seconds") * 1000,
            factor,
        }
    }

    /// The terms of `SUM([5 * FILL(e0, 0), FILL(s, 0)])`, the metric math of the alarms of releases.
    fn of_sum(metrics: &Value) -> Vec<Self> {
        let expression = list(metrics).find_map(|one| one["Expression"].as_str()).expect("math");
        let sum = expression.strip_prefix("SUM([").and_then(|rest| rest.strip_suffix(", 0)])"));
        let terms = sum.unwrap_or_else(|| panic!("{expression} is not a sum of filled terms"));
        let term = |term: &str| {
            let (factor, id) = term.split_once("FILL(").expect("a filled term");
            let factor = if factor.is_empty() { "1 * " } else { factor };
            let factor = factor.strip_suffix(" * ").and_then(|digits| digits.parse::<f64>().ok());
            let source = list(metrics).find(|one| one["Id"] == id).expect("a metric of the term");
            let source = &source["MetricStat"];
            Self::new(
                &source["Metric"],
                &source["Stat"],
                &source["Period"],
                factor.expect("a factor"),
            )
        };
        terms.split(", 0), ").map(term).collect()
    }

    /// The value of the period with this number since 1970; `None` without datapoints.
    fn value(&self, datapoints: &[Datapoint<'_>], period: i64) -> Option<f64> {
        let of_period = datapoints.iter().filter(|datapoint| {
            datapoint.metric == self.metric
                && datapoint.milliseconds.div_euclid(self.period_milliseconds) == period
        });
        let values = of_period.map(|datapoint| datapoint.value);
        let statistic = match self.statistic.as_str() {
            "Sum" => values.reduce(|sum, value| sum + value),
            "Maximum" => values.reduce(f64::max),
            other => panic!("the evaluation does not know the statistic {other}"),
        };
        statistic.map(|statistic| statistic * self.factor)
    }
}

/// An alarm as its template declares it.
#[derive(Debug)]
pub struct Alarm {
    terms: Vec<Term>,
    /// Whether the metric math replaces a missing value by 0.
    fills: bool,
    evaluation_periods: i64,
    operator: String,
    threshold: f64,
}

/// Why an alarm fires: the value of its last period, and the last line of that period.
#[derive(Clone, Debug, PartialEq)]
pub struct Breach {
    value: f64,
    condition: String,
    line: Value,
}

impl fmt::Display for Breach {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.value, self.condition, self.line)
    }
}

impl Alarm {
    /// The alarm with this logical id.
    ///
    /// # Panics
    /// If it does not exist, or has a property that the evaluation does not know.
    pub fn of(id: &str) -> Self {
        let template = template::template();
        Self::parse(&template.resolve(&template.resource(id)["Properties"]))
    }

    fn parse(properties: &Value) -> Self {
        for name in properties.as_object().expect("an alarm has properties").keys() {
            assert!(PROPERTIES.contains(&name.as_str()), "the evaluation does not know {name}");
        }
        assert_eq!(properties["TreatMissingData"], "notBreaching");
        let fills = properties["Metrics"].is_array();
        let terms = if fills {
            Term::of_sum(&properties["Metrics"])
        } else {
            vec![Term::new(properties, &properties["Statistic"], &properties["Period"], 1.0)]
        };
        let period = terms[0].period_milliseconds;
        assert!(terms.iter().all(|term| term.period_milliseconds == period), "{terms:?}");
        Self {
            terms,
            fills,
            evaluation_periods: properties["EvaluationPeriods"].as_i64().expect("a number"),
            operator: text(&properties["ComparisonOperator"]),
            threshold: properties["Threshold"].as_f64().expect("a number"),
        }
    }

    /// The service whose metric the alarm watches.
    ///
    /// # Panics
    /// If it watches only metrics of AWS.
    pub fn service(&self) -> &str {
        let mut metrics = self.terms.iter().map(|term| &term.metric);
        let of_shop = metrics.find(|metric| metric.namespace == NAMESPACE);
        &of_shop.expect("a metric of the shop").dimensions["service"]
    }

    /// Why the alarm fires on these lines; `None` if it does not.
    pub fn breach(&self, lines: &[Value]) -> Option<Breach> {
        let datapoints = datapoints(lines);
        let period_of = |datapoint: &Datapoint<'_>| {
            datapoint.milliseconds.div_euclid(self.terms[0].period_milliseconds)
        };
        let is_watched = |datapoint: &Datapoint<'_>| {
            self.terms.iter().any(|term| term.metric == datapoint.metric)
        };
        let periods: BTreeSet<i64> =
            datapoints.iter().filter(|datapoint| is_watched(datapoint)).map(period_of).collect();
        let last = periods.into_iter().find(|last| {
            let first = last - self.evaluation_periods + 1;
            (first..=*last).all(|period| self.breaches(self.value(&datapoints, period)))
        })?;
        let mut in_last = datapoints
            .iter()
            .filter(|datapoint| is_watched(datapoint) && period_of(datapoint) == last);
        Some(Breach {
            value: self.value(&datapoints, last)?,
            condition: format!("{} {}", self.operator, self.threshold),
            line: in_last.next_back()?.line.clone(),
        })
    }

    /// The sum of all terms in a period; `None` if a term has no datapoints and is not filled.
    fn value(&self, datapoints: &[Datapoint<'_>], period: i64) -> Option<f64> {
        let missing = self.fills.then_some(0.0);
        self.terms.iter().map(|term| term.value(datapoints, period).or(missing)).sum()
    }

    fn breaches(&self, value: Option<f64>) -> bool {
        value.is_some_and(|value| match self.operator.as_str() {
            "GreaterThanThreshold" => value > self.threshold,
            "GreaterThanOrEqualToThreshold" => value >= self.threshold,
            other => panic!("the evaluation does not know the operator {other}"),
        })
    }
}

/// Whether an alarm watches a metric of the shop, alone or in metric math.
pub fn watches_the_shop(properties: &Value) -> bool {
    let in_math = list(&properties["Metrics"]).map(|one| &one["MetricStat"]["Metric"]);
    in_math.chain([properties]).any(|watched| watched["Namespace"] == NAMESPACE)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

mod examples {
    use serde_json::json;

    use super::*;

    /// An alarm on the sum of `Errors` of `orders` in each minute.
    fn alarm(evaluation_periods: u32, threshold: u32) -> Alarm {
        Alarm::parse(&json!({
            "Namespace": "Ferrocart",
            "MetricName": "Errors",
            "Dimensions": [{ "Name": "service", "Value": "orders" }],
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": evaluation_periods,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "Threshold": threshold,
            "TreatMissingData": "notBreaching",
        }))
    }

    fn line(second: i64, service: &str, errors: u32) -> Value {
        let metrics = json!([{ "Name": "Errors", "Unit": "Count" }]);
        let directive =
            json!({ "Namespace": "Ferrocart", "Dimensions": [["service"]], "Metrics": metrics });
        let aws = json!({ "Timestamp": second * 1000, "CloudWatchMetrics": [directive] });
        json!({ "_aws": aws, "service": service, "Errors": errors })
    }

    #[test]
    fn values_of_one_period_and_metric_are_added() {
        let fires = |lines: &[Value]| alarm(1, 5).breach(lines).map(|breach| breach.value);
        assert_eq!(fires(&[line(60, "orders", 2), line(119, "orders", 3)]), Some(5.0));
        assert_eq!(fires(&[line(59, "orders", 2), line(60, "orders", 3)]), None, "two minutes");
        assert_eq!(fires(&[line(60, "orders", 2), line(61, "users", 3)]), None, "two metrics");
        let mut other = line(60, "orders", 3);
        other["_aws"]["CloudWatchMetrics"][0]["Dimensions"][0] = json!(["service", "stack"]);
        assert_eq!(fires(&[line(60, "orders", 2), other]), None, "other dimensions");
    }

    #[test]
    fn every_evaluated_period_must_breach() {
        let fires = |seconds: [i64; 3]| {
            let lines = seconds.map(|second| line(second, "orders", 1));
            alarm(3, 1).breach(&lines).map(|breach| breach.line)
        };
        assert_eq!(fires([0, 60, 120]), Some(line(120, "orders", 1)));
        assert_eq!(fires([0, 60, 180]), None, "a period without data does not breach");
        assert_eq!(fires([0, 1, 2]), None);
    }

    #[test]
    fn filled_sum_needs_no_datapoint_of_each_term() {
        let term = |id: &str, service: &str| {
            let dimensions = json!([{ "Name": "service", "Value": service }]);
            let metric = json!({ "Namespace": "Ferrocart", "MetricName": "Errors", "Dimensions": dimensions });
            json!({ "Id": id, "MetricStat": { "Metric": metric, "Stat": "Sum", "Period": 60 } })
        };
        let sum = json!({ "Id": "sum", "Expression": "SUM([5 * FILL(e0, 0), FILL(s, 0)])" });
        let alarm = Alarm::parse(&json!({
            "Metrics": [sum, term("e0", "orders"), term("s", "users")],
            "EvaluationPeriods": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "Threshold": 5,
            "TreatMissingData": "notBreaching",
        }));
        let fires = |lines: &[Value]| alarm.breach(lines).map(|breach| breach.value);
        assert_eq!(fires(&[line(0, "orders", 1)]), Some(5.0));
        assert_eq!(fires(&[line(0, "users", 4)]), None);
        assert_eq!(fires(&[line(0, "orders", 1), line(1, "users", 4)]), Some(9.0));
    }
}
