//! The figures of all starts: medians, ratios to the references, the table and the JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use tests::cost::{Budgets, Costs, Limits};

use crate::measure::{Sample, Transport};

/// The figures of a function or a reference. CPU times are in milliseconds.
#[derive(Serialize)]
pub(crate) struct Figures {
    pub(crate) init_cpu: f64,
    pub(crate) init_faults: f64,
    pub(crate) http: OverTransport,
    pub(crate) tls: OverTransport,
    pub(crate) resident_megabytes: f64,
    pub(crate) zip_megabytes: f64,
    /// Connections to AWS of a cold start with its first event, and of all events: the most of any
    /// start.
    pub(crate) cold_connections: usize,
    pub(crate) connections: usize,
}

/// Medians of all starts over one transport.
#[derive(Serialize)]
pub(crate) struct OverTransport {
    pub(crate) first_cpu: f64,
    pub(crate) cold_cpu: f64,
    pub(crate) warm_cpu: f64,
    /// Durations of later events without the time of the endpoint.
    pub(crate) warm_p50: f64,
    pub(crate) warm_p99: f64,
}

/// A function with its counted cost, in relation to the references.
#[derive(Serialize)]
pub(crate) struct Function {
    #[serde(flatten)]
    pub(crate) figures: Figures,
    pub(crate) costs: Costs,
    /// CPU time until it is ready, relative to the empty loop.
    pub(crate) init_ratio: f64,
    /// CPU time over TLS relative to the tuned reference with the same number of calls.
    pub(crate) cold_ratio: f64,
    pub(crate) warm_ratio: f64,
    /// USD for a million warm invocations.
    pub(crate) dollars_per_million: f64,
}

/// The three references. `tuned_calls` is the tuned one with [`CALLS`] calls an event.
pub(crate) struct References<'a> {
    pub(crate) empty_loop: &'a Figures,
    pub(crate) tuned: &'a Figures,
    pub(crate) tuned_calls: &'a Figures,
}

/// Calls of one event of the tuned reference: a function with another number is compared with the
/// line through this and one call.
pub(crate) const CALLS: u8 = 4;

impl Figures {
    pub(crate) fn new(samples: &[(Transport, Sample)], zip_megabytes: f64) -> Self {
        let all: Vec<&Sample> = samples.iter().map(|(_, sample)| sample).collect();
        let of = |wanted: Transport| -> Vec<&Sample> {
            let over = samples.iter().filter(|(transport, _)| *transport == wanted);
            over.map(|(_, sample)| sample).collect()
        };
        let most = |figure: fn(&Sample) -> usize| all.iter().map(|sample| figure(sample)).max();
        Self {
            init_cpu: median(&all, |sample| sample.init),
            init_faults: median(&all, |sample| sample.init_faults),
            http: OverTransport::new(&of(Transport::Http)),
            tls: OverTransport::new(&of(Transport::Tls)),
            resident_megabytes: median(&all, |sample| sample.resident_megabytes),
            zip_megabytes,
            cold_connections: most(|sample| sample.cold_connections).unwrap_or_default(),
            connections: most(|sample| sample.connections).unwrap_or_default(),
        }
    }
}

impl OverTransport {
    fn new(samples: &[&Sample]) -> Self {
        let mut durations: Vec<f64> =
            samples.iter().flat_map(|sample| &sample.durations).copied().collect();
        Self {
            first_cpu: median(samples, |sample| sample.first),
            cold_cpu: median(samples, |sample| sample.init + sample.first),
            warm_cpu: median(samples, |sample| sample.warm),
            warm_p50: quantile(&mut durations, 0.5),
            warm_p99: quantile(&mut durations, 0.99),
        }
    }
}

fn median(samples: &[&Sample], figure: impl Fn(&Sample) -> f64) -> f64 {
    let mut figures: Vec<f64> = samples.iter().map(|sample| figure(sample)).collect();
    quantile(&mut figures, 0.5)
}

fn quantile(figures: &mut [f64], share: f64) -> f64 {
    figures.sort_by(f64::total_cmp);
    let last = figures.len().saturating_sub(1) as f64;
    let at = (last * share).round() as usize;
    figures.get(at).copied().unwrap_or_default()
}

impl References<'_> {
    /// CPU time over TLS of the tuned reference with this number of calls.
    fn of_calls(&self, calls: f64, figure: impl Fn(&OverTransport) -> f64) -> f64 {
        let one = figure(&self.tuned.tls);
        let each = (figure(&self.tuned_calls.tls) - one) / f64::from(CALLS - 1);
        one + each * (calls - 1.0)
    }

    pub(crate) fn relate(
        &self,
        name: &str,
        figures: Figures,
        costs: Costs,
        budgets: &Budgets,
        megabytes: f64,
    ) -> Function {
        let cold = self.of_calls(costs.cold.calls, |tls| tls.cold_cpu);
        let warm = self.of_calls(costs.warm.calls, |tls| tls.warm_cpu);
        Function {
            init_ratio: figures.init_cpu / self.empty_loop.init_cpu,
            cold_ratio: figures.tls.cold_cpu / cold,
            warm_ratio: figures.tls.warm_cpu / warm,
            dollars_per_million: budgets.dollars(
                name,
                &costs.warm,
                figures.tls.warm_cpu,
                megabytes,
            ),
            figures,
            costs,
        }
    }
}

impl Function {
    /// Compares the function with its budget and the limits of all functions.
    pub(crate) fn complaints(&self, name: &str, budgets: &Budgets, limits: &Limits) -> Vec<String> {
        let (budget, figures) = (&budgets.functions[name], &self.figures);
        let connections = figures.cold_connections as f64;
        let ceilings = [
            ("CPU time of its start / empty loop", self.init_ratio, limits.init_ratio),
            ("page faults", figures.init_faults, limits.init_faults * Limits::TOLERANCE),
            (
                "resident MB",
                figures.resident_megabytes,
                budget.resident_megabytes.unwrap_or(limits.resident_megabytes),
            ),
            (
                "MB of its package",
                figures.zip_megabytes,
                budget.zip_megabytes.unwrap_or(limits.zip_megabytes),
            ),
            ("cold start / tuned reference", self.cold_ratio, budget.cold_ratio),
            ("later invocation / tuned reference", self.warm_ratio, budget.warm_ratio),
            ("connections of a cold start", connections, budget.cold_connections),
        ];
        let mut complaints = budgets.complaints(name, &self.costs);
        for (figure, measured, ceiling) in ceilings {
            if measured > ceiling {
                complaints.push(format!("{name}: {figure}: {measured:.2} exceeds {ceiling:.2}"));
            }
        }
        complaints
    }
}

const COLUMNS: [&str; 18] = [
    "CPU ms", "init", "/empty", "http", "tls", "/tuned", "warm", "/tuned", "p50", "p99", "faults",
    "RSS", "zip", "calls", "steps", "conns", "units", "$/M",
];

/// The table of the terminal. Each column is as wide as its widest cell.
pub(crate) fn table(
    references: &BTreeMap<&str, &Figures>,
    functions: &BTreeMap<&str, Function>,
) -> String {
    let mut rows = vec![COLUMNS.map(str::to_owned)];
    rows.extend(references.iter().map(|(name, figures)| row(name, figures, None)));
    rows.extend(functions.iter().map(|(name, it)| row(name, &it.figures, Some(it))));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let line = |row: &[String; 18]| {
        let cells = row.iter().zip(&widths).skip(1).map(|(cell, width)| format!("{cell:>width$}"));
        format!("{:width$}  {}", row[0], cells.collect::<Vec<_>>().join("  "), width = widths[0])
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn row(name: &str, figures: &Figures, function: Option<&Function>) -> [String; 18] {
    let of = |figure: fn(&Function) -> String| function.map(figure).unwrap_or_default();
    let figure = |figure: f64| format!("{figure:.2}");
    [
        name.to_owned(),
        figure(figures.init_cpu),
        of(|it| format!("{:.2}", it.init_ratio)),
        figure(figures.http.cold_cpu),
        figure(figures.tls.cold_cpu),
        of(|it| format!("{:.2}", it.cold_ratio)),
        figure(figures.tls.warm_cpu),
        of(|it| format!("{:.2}", it.warm_ratio)),
        figure(figures.tls.warm_p50),
        figure(figures.tls.warm_p99),
        figures.init_faults.to_string(),
        figure(figures.resident_megabytes),
        figure(figures.zip_megabytes),
        of(|it| format!("{} {}", it.costs.cold.calls, it.costs.warm.calls)),
        of(|it| format!("{} {}", it.costs.cold.steps, it.costs.warm.steps)),
        figures.cold_connections.to_string(),
        of(|it| format!("{} {}", it.costs.warm.read_units, it.costs.warm.write_units)),
        of(|it| format!("{:.2}", it.dollars_per_million)),
    ]
}
