//! The dashboards in Grafana's format, for its CloudWatch data source.

use serde_json::{Map, Value, json};
use tests::template::STACK;

use super::{Dashboard, PERIOD, Placed, Series, Widget, dashboards, placed};

/// The Grafana dashboards: path and text.
pub fn files() -> Vec<(String, String)> {
    let file = |dashboard: Dashboard| {
        (format!("localstack/grafana/{}.json", dashboard.name), dashboard_text(&dashboard))
    };
    dashboards().into_iter().map(file).collect()
}

/// The text of a Grafana dashboard, with each target in a line of its own.
fn dashboard_text(dashboard: &Dashboard) -> String {
    let widgets = dashboard.widgets.iter();
    let panels: Vec<String> = placed(widgets.filter(|widget| !widget.is_on_cloudwatch_only()))
        .into_iter()
        .enumerate()
        .map(|(number, placed)| panel_text(number + 1, &placed))
        .collect();
    let text = json!({
        "annotations": { "list": [] },
        "editable": true,
        "graphTooltip": 1,
        "id": null,
        "links": [],
        "panels": "panels",
        "refresh": "1m",
        "schemaVersion": 39,
        "tags": ["ferrocart"],
        "templating": { "list": variables() },
        "time": { "from": "now-6h", "to": "now" },
        "timepicker": {},
        "timezone": "",
        "title": dashboard.title,
        "uid": format!("ferrocart-{}", dashboard.name),
        "version": 1,
    });
    let text = text
        .to_string()
        .replace("\"panels\":\"panels\"", &format!("\"panels\":[\n{}]", panels.join(",\n")));
    format!("{text}\n")
}

/// The variables that a reader of a Grafana dashboard chooses.
fn variables() -> Value {
    let default = json!({ "text": "default", "value": "default" });
    let stack = json!({ "selected": true, "text": STACK, "value": STACK });
    json!([
        {
            "current": {}, "hide": 0, "includeAll": false, "label": "Data source", "multi": false, "name": "datasource",
            "options": [], "query": "cloudwatch", "refresh": 1, "regex": "", "skipUrlSync": false, "type": "datasource",
        },
        {
            "current": default, "datasource": data_source(), "definition": "regions()", "hide": 0, "includeAll": false,
            "label": "Region", "multi": false, "name": "region", "options": [], "query": "regions()", "refresh": 1,
            "regex": "", "skipUrlSync": false, "sort": 0, "type": "query",
        },
        {
            "current": stack, "hide": 0, "label": "Stack", "name": "stack", "options": [stack], "query": STACK,
            "skipUrlSync": false, "type": "textbox",
        },
    ])
}

fn panel_text(id: usize, placed: &Placed<'_>) -> String {
    let position = json!({ "h": placed.height, "w": placed.width, "x": placed.x, "y": placed.y });
    match placed.widget {
        Widget::Heading(title) => {
            let row = json!({
                "collapsed": false, "gridPos": position, "id": id, "panels": [], "title": title, "type": "row",
            });
            row.to_string()
        }
        Widget::Graph(graph) => {
            let targets = graph.series.iter().enumerate();
            let targets: Vec<String> =
                targets.map(|(number, series)| series.grafana(number).to_string()).collect();
            let panel = json!({
                "datasource": data_source(),
                "fieldConfig": {
                    "defaults": { "custom": { "fillOpacity": 10, "spanNulls": false }, "min": 0, "unit": graph.unit.names().1 },
                    "overrides": [],
                },
                "gridPos": position,
                "id": id,
                "options": {
                    "legend": { "calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": true },
                    "tooltip": { "mode": "multi", "sort": "desc" },
                },
                "targets": "targets",
                "title": graph.title,
                "type": "timeseries",
            });
            panel.to_string().replace(
                "\"targets\":\"targets\"",
                &format!("\"targets\":[\n{}]", targets.join(",\n")),
            )
        }
        Widget::AccessLog { title, .. } => panic!("{title} is on CloudWatch only"),
    }
}

fn data_source() -> Value {
    json!({ "type": "cloudwatch", "uid": "${datasource}" })
}

impl Series {
    /// The metric as a target of Grafana's CloudWatch data source.
    fn grafana(&self, number: usize) -> Value {
        let mut dimensions: Map<String, Value> = self
            .dimensions
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.replace("{stack}", "$stack").into()))
            .collect();
        let label = self.by.as_ref().map_or(self.label.clone(), |by| self.label_by(by, "${"));
        if let Some(by) = &self.by {
            dimensions.insert(by.clone(), "*".into());
        }
        json!({
            "datasource": data_source(),
            "dimensions": dimensions,
            "expression": "",
            "id": "",
            "label": label,
            "matchExact": true,
            "metricEditorMode": 0,
            "metricName": self.metric,
            "metricQueryType": 0,
            "namespace": self.namespace,
            "period": PERIOD.to_string(),
            "queryMode": "Metrics",
            "refId": reference(number),
            "region": "$region",
            "statistic": self.statistic,
        })
    }
}

/// The name of a target of a Grafana panel: `A` to `Z`, then `A1` and so on.
fn reference(number: usize) -> String {
    let letter = char::from(b'A' + u8::try_from(number % 26).unwrap());
    if number < 26 { letter.to_string() } else { format!("{letter}{}", number / 26) }
}
