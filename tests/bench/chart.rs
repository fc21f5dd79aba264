//! The chart of a run as SVG: CPU time of a cold start and of a later invocation over TLS.

use crate::report::Figures;

const ROW: f64 = 20.0;
const TOP: f64 = 46.0;
const WIDTH: f64 = 760.0;
const LABELS: f64 = 168.0;
/// Left edges and widths of the two panels of bars.
const COLD: (f64, f64) = (176.0, 300.0);
const WARM: (f64, f64) = (540.0, 160.0);

/// Colours for light and dark pages.
const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#24292f}\
.head{font-weight:600}.init{fill:#1f6feb}.first{fill:#79b8ff}.warm{fill:#2da44e}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.first{fill:#388bfd66}}";

/// Draws a row for each of these, in their order.
pub(crate) fn draw(rows: &[(&str, &Figures)], title: &str) -> String {
    let most = |figure: fn(&Figures) -> f64| {
        rows.iter().map(|(_, figures)| figure(figures)).fold(f64::MIN_POSITIVE, f64::max)
    };
    let (most_cold, most_warm) =
        (most(|figures| figures.tls.cold_cpu), most(|figures| figures.tls.warm_cpu));
    let height = TOP + ROW * rows.len() as f64 + 8.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n"
    );
    text(&mut svg, 8.0, 16.0, "head", title);
    text(&mut svg, COLD.0, 36.0, "", "cold start: initialization and first event, ms of CPU");
    text(&mut svg, WARM.0, 36.0, "", "later event, ms of CPU");
    for (index, (name, figures)) in rows.iter().enumerate() {
        let top = TOP + ROW * index as f64;
        svg.push_str(&format!(
            "<text x=\"{LABELS}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>\n",
            top + 13.0
        ));
        let scale = COLD.1 / most_cold;
        let init = figures.init_cpu * scale;
        let first = (figures.tls.cold_cpu * scale - init).max(0.0);
        bar(&mut svg, COLD.0, top, init, "init");
        bar(&mut svg, COLD.0 + init, top, first, "first");
        let label = format!("{:.2}", figures.tls.cold_cpu);
        text(&mut svg, COLD.0 + init + first + 5.0, top + 13.0, "", &label);
        let warm = figures.tls.warm_cpu * WARM.1 / most_warm;
        bar(&mut svg, WARM.0, top, warm, "warm");
        let label = format!("{:.2}", figures.tls.warm_cpu);
        text(&mut svg, WARM.0 + warm + 5.0, top + 13.0, "", &label);
    }
    svg.push_str("</svg>\n");
    svg
}

fn bar(svg: &mut String, left: f64, top: f64, width: f64, class: &str) {
    svg.push_str(&format!(
        "<rect class=\"{class}\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"13\"/>\n",
        top + 2.0
    ));
}

fn text(svg: &mut String, left: f64, base: f64, class: &str, text: &str) {
    svg.push_str(&format!(
        "<text class=\"{class}\" x=\"{left:.1}\" y=\"{base:.1}\">{text}</text>\n"
    ));
}
