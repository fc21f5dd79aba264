//! The dashboards as resources of the template of platform.

use std::fmt::Write;

use serde_json::{Value, json};
use tests::shop;

use super::{Dashboard, PERIOD, Placed, Series, Widget, dashboards, placed, services};
use crate::pascal;

/// CloudWatch's limits for a dashboard ("CloudWatch service quotas", Amazon CloudWatch User Guide).
const MAX_WIDGETS: usize = 500;
const MAX_METRICS: usize = 2500;
const MAX_METRICS_OF_A_WIDGET: usize = 500;

impl Series {
    /// The metric in the format of a CloudWatch widget.
    fn cloudwatch(&self, number: usize) -> Value {
        let with_stack = |text: &str| text.replace("{stack}", "${Shop}");
        if let Some(by) = &self.by {
            let names: Vec<&str> = self.dimensions.iter().map(|(name, _)| *name).collect();
            let mut search = format!(
                "{{{},{},{by}}} MetricName=\"{}\"",
                self.namespace,
                names.join(","),
                self.metric
            );
            for (name, value) in &self.dimensions {
                write!(search, " {name}=\"{}\"", with_stack(value)).unwrap();
            }
            return json!([{
                "expression": format!("SEARCH('{search}', '{}', {PERIOD})", self.statistic),
                "id": format!("e{number}"),
                "label": self.label_by(by, "${!"),
            }]);
        }
        let mut metric: Vec<Value> = vec![self.namespace.into(), self.metric.clone().into()];
        for (name, value) in &self.dimensions {
            metric.extend([Value::from(*name), with_stack(value).into()]);
        }
        metric.push(json!({ "label": self.label, "stat": self.statistic }));
        metric.into()
    }
}

/// The body of a CloudWatch dashboard for `Fn::Sub`, with each metric in a line of its own.
fn cloudwatch_body(dashboard: &Dashboard) -> String {
    let region = "${AWS::Region}";
    let widgets = placed(&dashboard.widgets).into_iter().map(|placed| {
        let Placed { x, y, width, height, widget } = placed;
        let (kind, properties, metrics) = match widget {
            Widget::Heading(title) => {
                let properties = json!({ "markdown": format!("## {title}"), "background": "transparent" });
                ("text", properties, Vec::new())
            }
            Widget::AccessLog { title, query } => {
                let with_routes = services().into_iter().filter(|service| {
                    shop::operations().any(|operation| {
                        operation.service == service.as_str() && !operation.routes().is_empty()
                    })
                });
                let groups: Vec<String> = with_routes
                    .map(|service| format!("SOURCE '/aws/lambda/${{Shop}}-{service}'"))
                    .collect();
                let query = format!("{} | {query}", groups.join(" | "));
                ("log", json!({ "query": query, "region": region, "title": title, "view": "table" }), Vec::new())
            }
            Widget::Graph(graph) => {
                let properties = json!({
                    "metrics": "metrics",
                    "period": PERIOD,
                    "region": region,
                    "stacked": false,
                    "title": graph.title,
                    "view": "timeSeries",
                    "yAxis": { "left": { "label": graph.unit.names().0, "min": 0, "showUnits": false } },
                });
                let metrics = graph
                    .series
                    .iter()
                    .enumerate()
                    .map(|(number, series)| series.cloudwatch(number).to_string())
                    .collect();
                ("metric", properties, metrics)
            }
        };
        let widget = json!({
            "height": height, "properties": properties, "type": kind, "width": width, "x": x, "y": y,
        });
        widget
            .to_string()
            .replace("\"metrics\":\"metrics\"", &format!("\"metrics\":[\n{}]", metrics.join(",\n")))
    });
    let widgets: Vec<String> = widgets.collect();
    format!(
        "{{\"periodOverride\":\"inherit\",\"start\":\"-PT6H\",\"widgets\":[\n{}]}}",
        widgets.join(",\n")
    )
}

/// The dashboards as resources of the template of platform.
pub fn resources() -> String {
    let mut text = String::new();
    for dashboard in dashboards() {
        let capital = pascal(dashboard.name);
        writeln!(text, "  {capital}Dashboard:").unwrap();
        writeln!(text, "    Type: AWS::CloudWatch::Dashboard").unwrap();
        writeln!(text, "    Properties:").unwrap();
        writeln!(text, "      DashboardName: !Sub ${{Shop}}-{}", dashboard.name).unwrap();
        writeln!(text, "      DashboardBody: !Sub |").unwrap();
        for line in cloudwatch_body(&dashboard).lines() {
            writeln!(text, "        {line}").unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn dashboards_stay_within_the_limits_of_cloudwatch() {
    for dashboard in dashboards() {
        let body: Value = serde_json::from_str(&cloudwatch_body(&dashboard)).unwrap();
        let widgets = body["widgets"].as_array().unwrap();
        let metrics: Vec<usize> = widgets
            .iter()
            .map(|widget| widget["properties"]["metrics"].as_array().map_or(0, Vec::len))
            .collect();
        let name = dashboard.name;
        assert!(widgets.len() <= MAX_WIDGETS, "{name} has {} widgets", widgets.len());
        assert!(
            metrics.iter().all(|count| *count <= MAX_METRICS_OF_A_WIDGET),
            "{name}: {metrics:?}"
        );
        assert!(metrics.iter().sum::<usize>() <= MAX_METRICS, "{name}: {metrics:?}");
    }
}
