//! Metrics in the Prometheus text format, for the node exporter's textfile collector.

use std::fmt::Write;

use node::Metric;

/// Renders the metrics (Prometheus, "Exposition formats", "Text-based format").
pub(crate) fn render(metrics: &[Metric]) -> String {
    let mut text = String::new();
    for Metric { name, metric_type, help, samples } in metrics {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", metric_type);
        for sample in samples {
            let labels =
                sample.labels.each_ref().map(|(label, value)| format!("{label}=\"{}\"", escape(value)));
            let _ = writeln!(text, "{name}{{{}}} {}", labels.join(","), sample.value);
        }
    }
    text
}

fn escape(label_value: &str) -> String {
    label_value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
