//! A chart of a value over the last hours as SVG: no scripts, a few kilobytes.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::model::text::format_number;

/// A time series to draw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// Name of the drawn point; may be empty.
    pub name: String,
    /// Unit of the values; may be empty.
    pub unit: String,
    /// Milliseconds since 1970, ascending, with the value; `None`: no good value.
    pub values: Vec<(i64, Option<f64>)>,
    /// The alarm limit, drawn as a dashed line.
    pub limit: Option<f64>,
    /// Labels of the first and last moment, in local time.
    pub ends: (String, String),
}

/// Size of the drawing and margins of the plot, in SVG units.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 130.0;
const LEFT: f64 = 52.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 20.0;

/// Renders the SVG; empty if there is no value.
pub fn svg(course: &Chart, zh: bool) -> Markup {
    let good: Vec<f64> = course.values.iter().filter_map(|(_, v)| *v).chain(course.limit).collect();
    let (Some(first), Some(last)) = (course.values.first(), course.values.last()) else { return html! {} };
    if good.len() <= usize::from(course.limit.is_some()) {
        return html! {};
    }
    let low = good.iter().copied().fold(f64::INFINITY, f64::min);
    let high = good.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // A constant value is drawn in the middle.
    let (low, high) = if high > low { (low, high) } else { (low - 1.0, high + 1.0) };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of hours")]
    let x = |at: i64| LEFT + (WIDTH - LEFT - 4.0) * ((at - first.0) as f64) / ((last.0 - first.0).max(1) as f64);
    let y = |v: f64| TOP + (HEIGHT - TOP - BOTTOM) * (high - v) / (high - low);
    let mut line = String::new();
    let mut is_down = false;
    for (at, value) in &course.values {
        let Some(value) = value else {
            is_down = false;
            continue;
        };
        let _infallible = write!(line, "{}{:.1} {:.1}", if is_down { "L" } else { "M" }, x(*at), y(*value));
        is_down = true;
    }
    let label = format!("{} {}", course.name, course.unit);
    let label = label.trim();
    let rule = |at: f64| format!("M{LEFT} {at:.1}H{WIDTH}");
    let text_y = HEIGHT - 4.0;
    html! {
        h2 { (if zh { "近期走势" } else { "course" }) " " (label) }
        svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(label) font-size="12" fill="#333" {
            @for value in [low, high] {
                path d=(rule(y(value))) stroke="#ddd" {}
                text x=(tenths(LEFT - 4.0)) y=(tenths(y(value) + 4.0)) text-anchor="end" { (format_number(value)) }
            }
            @if let Some(limit) = course.limit {
                @let at = y(limit);
                path d=(rule(at)) stroke="#c00000" stroke-dasharray="5 4" {}
                text x=(tenths(LEFT + 4.0)) y=(tenths(if at < 22.0 { at + 13.0 } else { at - 3.0 })) fill="#c00000" {
                    (format_number(limit))
                }
            }
            path d=(line) fill="none" stroke="#0b4a8f" stroke-width="2" stroke-linejoin="round" stroke-linecap="round" {}
            text x=(LEFT) y=(text_y) { (course.ends.0) }
            text x=(WIDTH) y=(text_y) text-anchor="end" { (course.ends.1) }
        }
    }
}

/// A coordinate with one decimal.
fn tenths(x: f64) -> String {
    format!("{x:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_a_gap_and_the_limit_is_there() {
        let values = vec![(0, Some(1.0)), (60_000, None), (120_000, Some(2.0)), (180_000, Some(3.0))];
        let course = Chart {
            unit: "m".into(),
            values,
            limit: Some(2.5),
            ends: ("10:00".into(), "10:03".into()),
            ..Chart::default()
        };
        let text = svg(&course, true).into_string();
        assert!(text.contains("M52.0 110.0M254.7 59.0L356.0 8.0"), "{text}");
        assert!(text.contains("stroke-dasharray") && text.contains(">2.5<") && text.contains("10:03"), "{text}");
        let none = Chart { values: vec![(0, None), (1, None)], limit: Some(1.0), ..Chart::default() };
        assert_eq!(svg(&none, false).into_string(), "");
        assert_eq!(svg(&Chart::default(), false).into_string(), "");
        let same = Chart { values: vec![(0, Some(0.0)), (1, Some(0.0))], ..Chart::default() };
        assert!(svg(&same, false).into_string().contains("M52.0 59.0L356.0 59.0"));
    }
}
