//! Telemetry: JSON log lines, and the trace id that connects them.
//!
//! One invocation writes one line with a `type` such as `request` or `message`. All other lines are
//! warnings or errors. Every line contains the `trace_id`, which starts with the HTTP request and
//! continues through every queue to the mail.

use std::{
    collections::BTreeMap,
    fmt,
    io::Write,
    sync::atomic::{AtomicBool, Ordering},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};
use tracing_subscriber::{Layer, layer::Context, prelude::*, registry::LookupSpan};

use crate::{
    clock::Clock,
    config,
    ids::{Ids, OrderId},
};

/// A W3C trace context (`traceparent`): `00-<trace id>-<parent id>-<flags>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Trace(String);

impl Trace {
    pub fn start(ids: &Ids) -> Self {
        let random = ids.bytes::<24>();
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        Self(format!("00-{}-{}-01", hex(&random[..16]), hex(&random[16..])))
    }

    /// Parses a `traceparent` header. Returns `None` if it is malformed; the caller then starts a
    /// new trace, as the W3C recommendation requires.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, parent, flags] = parts[..] else { return None };
        let is_hex = |part: &str, length| {
            part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let not_zero = |part: &str| part.bytes().any(|b| b != b'0');
        let valid = version == "00"
            && is_hex(trace, 32)
            && not_zero(trace)
            && is_hex(parent, 16)
            && not_zero(parent)
            && is_hex(flags, 2);
        valid.then(|| Self(text.to_owned()))
    }

    /// Returns the trace id, which all log lines and messages of a request share.
    pub fn id(&self) -> &str {
        self.0.get(3..35).unwrap_or_default()
    }

    /// Returns the value of the `traceparent` header.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for Trace {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<Trace> for String {
    fn from(trace: Trace) -> Self {
        trace.0
    }
}

/// Whether log lines are written. Tests do not write any.
static STARTED: AtomicBool = AtomicBool::new(false);

/// Starts writing JSON lines to standard output, from the level in `LOG_LEVEL` (default `info`).
/// Later calls have no effect.
pub fn start() {
    let level = config::optional("LOG_LEVEL")
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::INFO);
    STARTED.store(true, Ordering::Relaxed);
    let _ = tracing_subscriber::registry()
        .with(JsonLines { clock: Clock::System }.with_filter(level))
        .try_init();
}

/// Creates the span of the work on one stored record, for a run that works on many records. Its
/// lines continue the record's own trace and not the trace of the run.
pub fn record_span(order_id: &OrderId, trace: &Trace) -> tracing::Span {
    tracing::info_span!("record", %order_id, trace_id = trace.id())
}

/// Returns whether log lines are written.
pub(crate) fn is_started() -> bool {
    STARTED.load(Ordering::Relaxed)
}

/// Formats an error's chain of causes in one line: "could not put the order: timed out: connection
/// refused".
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// A layer that writes each event as a flat JSON object with its own fields and those of its spans.
struct JsonLines {
    clock: Clock,
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, Value>);

impl Fields {
    fn insert(&mut self, field: &Field, value: Value) {
        // The runtime's span names Lambda's invocation id `requestId`. `request_id` is the id that
        // the caller knows.
        let name = if field.name() == "requestId" { "lambda_request_id" } else { field.name() };
        self.0.insert(name, value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, Value::String(value.to_owned()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value.into());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLines {
    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: Context<'_, S>,
    ) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        write_line(&Value::Object(self.line(event, &context)));
    }
}

impl JsonLines {
    /// Builds the JSON object of one event.
    fn line<S: Subscriber + for<'a> LookupSpan<'a>>(
        &self,
        event: &Event<'_>,
        context: &Context<'_, S>,
    ) -> Map<String, Value> {
        let mut line = Map::new();
        line.insert("timestamp".into(), self.clock.now().to_string().into());
        line.insert("level".into(), event.metadata().level().as_str().into());
        line.insert("logger".into(), event.metadata().target().into());
        for span in context
            .event_scope(event)
            .into_iter()
            .flat_map(tracing_subscriber::registry::Scope::from_root)
        {
            if let Some(fields) = span.extensions().get::<Fields>() {
                line.extend(
                    fields.0.iter().map(|(name, value)| ((*name).to_owned(), value.clone())),
                );
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        line.extend(fields.0.into_iter().map(|(name, value)| (name.to_owned(), value)));
        line
    }
}

/// Writes a line to standard output.
pub(crate) fn write_line(line: &Value) {
    // A function that cannot write its log continues: the failure cannot be reported.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Returns the lines that `action` logs on this thread.
#[cfg(test)]
pub(crate) fn captured(action: impl FnOnce()) -> Vec<Value> {
    let capture = Capture::default();
    let _recording = capture.record();
    action();
    capture.lines()
}

/// Keeps the lines that [`JsonLines`] would write.
#[cfg(test)]
#[derive(Clone, Default)]
pub(crate) struct Capture(std::sync::Arc<std::sync::Mutex<Vec<Value>>>);

#[cfg(test)]
impl Capture {
    /// Keeps the lines of this thread until the guard is dropped.
    pub(crate) fn record(&self) -> tracing::subscriber::DefaultGuard {
        // Without a subscriber of all threads, a test that reaches a callsite first, without a
        // capture, would turn its lines off for the others.
        static ALL_THREADS: std::sync::Once = std::sync::Once::new();
        ALL_THREADS.call_once(|| {
            drop(tracing_subscriber::registry().with(LevelFilter::INFO).try_init());
        });
        let lines = self.clone().with_filter(LevelFilter::INFO);
        tracing::subscriber::set_default(tracing_subscriber::registry().with(lines))
    }

    pub(crate) fn lines(&self) -> Vec<Value> {
        self.0.lock().expect("one thread").clone()
    }
}

#[cfg(test)]
impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Capture {
    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: Context<'_, S>,
    ) {
        JsonLines { clock: Clock::System }.on_new_span(attributes, id, context);
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let line = JsonLines { clock: Clock::System }.line(event, &context);
        self.0.lock().expect("one thread").push(Value::Object(line));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn log_line_has_only_the_callers_request_id() {
        let line = captured(|| {
            let runtime = tracing::info_span!("Lambda runtime invoke", requestId = "of-lambda");
            let ours = tracing::info_span!(parent: &runtime, "invocation", request_id = "of-the-caller", operation = "create-order");
            ours.in_scope(|| tracing::info!(status = 201, "request answered"));
        })
        .pop()
        .expect("one line");
        assert_eq!(
            (&line["request_id"], &line["lambda_request_id"]),
            (&json!("of-the-caller"), &json!("of-lambda"))
        );
        assert_eq!(
            (&line["operation"], &line["status"], &line["message"]),
            (&json!("create-order"), &json!(201), &json!("request answered"))
        );
        assert_eq!(line.get("requestId"), None);
    }

    #[test]
    fn lines_about_a_record_have_its_trace_instead_of_that_of_the_run() {
        let order_id = crate::ids::derive(&["order"]);
        let trace = Trace::start(&Ids::seeded(1));
        let lines = captured(|| {
            let run =
                tracing::info_span!("invocation", request_id = "run", trace_id = "of-the-run");
            run.in_scope(|| {
                record_span(&order_id, &trace).in_scope(|| tracing::info!("commands sent again"));
                tracing::info!("message processed");
            });
        });
        assert_eq!(
            (&lines[0]["trace_id"], &lines[0]["order_id"], &lines[0]["request_id"]),
            (&json!(trace.id()), &json!(order_id), &json!("run"))
        );
        assert_eq!((&lines[1]["trace_id"], lines[1].get("order_id")), (&json!("of-the-run"), None));
    }

    #[test]
    fn trace_continues_only_from_a_valid_header() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(
            Trace::parse(text).map(|trace| trace.id().to_owned()),
            Some(text[3..35].to_owned())
        );
        let zero = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
        for bad in [
            "",
            "00-abc-def-01",
            &text.to_uppercase(),
            &zero,
            &format!("{text}-more"),
            &"9".repeat(10_000),
        ] {
            assert_eq!(Trace::parse(bad), None);
        }
        let started = Trace::start(&Ids::default());
        assert_eq!(Trace::parse(started.as_str()), Some(started));
    }
}
