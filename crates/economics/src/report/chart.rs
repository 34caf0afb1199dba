//! Line charts and bars as SVG, drawn of numbers alone: the same bytes wherever they are made.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 24.0;
/// Beside the lines, where they have names.
const LEGEND: f64 = 140.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 56.0;
/// Told apart by people who do not see all colours (Okabe and Ito).
const COLOURS: [&str; 11] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#666666",
    "#332288", "#882255", "#999933",
];

/// One axis.
pub(super) struct Axis {
    pub(super) label: &'static str,
    pub(super) from: f64,
    pub(super) to: f64,
    /// Where lines and numbers are.
    pub(super) ticks: Vec<f64>,
    pub(super) is_log: bool,
}

impl Axis {
    fn place(&self, value: f64) -> f64 {
        match self.is_log {
            true => (value.ln() - self.from.ln()) / (self.to.ln() - self.from.ln()),
            false => (value - self.from) / (self.to - self.from),
        }
    }
}

/// One line of a chart.
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
    /// Points only: what was measured, beside the line that was computed.
    pub(super) is_dots: bool,
}

/// A chart of lines.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
    /// A line across, with what it is.
    pub(super) mark: Option<(f64, &'static str)>,
}

impl Chart {
    pub(super) fn svg(&self) -> String {
        let mut out = begin(self.title, HEIGHT);
        let has_names = self.series.iter().any(|s| !s.name.is_empty());
        let right = WIDTH - if has_names { LEGEND } else { RIGHT };
        let x = |v: f64| LEFT + self.x.place(v) * (right - LEFT);
        let y = |v: f64| HEIGHT - BOTTOM - self.y.place(v) * (HEIGHT - TOP - BOTTOM);
        let (top, bottom) = (TOP, HEIGHT - BOTTOM);
        for &tick in &self.y.ticks {
            let at = y(tick);
            line(&mut out, (LEFT, at), (right, at), "#ddd");
            text(&mut out, (LEFT - 8.0, at + 4.0), "end", &number(tick));
        }
        for &tick in &self.x.ticks {
            let at = x(tick);
            line(&mut out, (at, bottom), (at, bottom + 5.0), "#888");
            text(&mut out, (at, bottom + 20.0), "middle", &number(tick));
        }
        line(&mut out, (LEFT, bottom), (right, bottom), "#888");
        line(&mut out, (LEFT, top), (LEFT, bottom), "#888");
        text(
            &mut out,
            (LEFT + (right - LEFT) / 2.0, HEIGHT - 14.0),
            "middle",
            self.x.label,
        );
        let middle = (top + bottom) / 2.0;
        let _ = writeln!(
            out,
            r#"<text x="18" y="{middle:.1}" text-anchor="middle" transform="rotate(-90 18 {middle:.1})">{}</text>"#,
            escaped(self.y.label)
        );
        if let Some((at, what)) = self.mark {
            let at = x(at);
            let _ = writeln!(
                out,
                r##"<line x1="{at:.1}" y1="{top:.1}" x2="{at:.1}" y2="{bottom:.1}" stroke="#888" stroke-dasharray="5 4"/>"##
            );
            text(&mut out, (at + 6.0, top + 14.0), "start", what);
        }
        let mut legend = TOP + 14.0;
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let points = series.points.iter().map(|(a, b)| (x(*a), y(*b)));
            if series.is_dots {
                for (a, b) in points {
                    let _ = writeln!(
                        out,
                        r#"<circle cx="{a:.1}" cy="{b:.1}" r="4" fill="{colour}"/>"#
                    );
                }
            } else {
                let path: Vec<String> = points.map(|(a, b)| format!("{a:.1},{b:.1}")).collect();
                let _ = writeln!(
                    out,
                    r#"<polyline points="{}" fill="none" stroke="{colour}" stroke-width="2"/>"#,
                    path.join(" ")
                );
            }
            if !series.name.is_empty() {
                let at = right + 12.0;
                let _ = writeln!(
                    out,
                    r#"<text x="{at:.1}" y="{legend:.1}" text-anchor="start" fill="{colour}">{}</text>"#,
                    escaped(&series.name)
                );
                legend += 17.0;
            }
        }
        out.push_str("</svg>\n");
        out
    }
}

/// Bars to both sides of nothing, one for each name.
pub(super) fn bars(title: &str, label: &str, values: &[(String, f64)]) -> String {
    let row = 26.0;
    let height = TOP + BOTTOM + row * values.len() as f64;
    let mut out = begin(title, height);
    let (from, to) = (150.0, WIDTH - 90.0);
    let least = values.iter().map(|v| v.1).fold(0.0, f64::min);
    let most = values.iter().map(|v| v.1).fold(0.0, f64::max);
    // the root keeps small bars in sight beside large ones
    let root = |v: f64| v.signum() * v.abs().sqrt();
    let span = (root(most) - root(least)).max(1e-9);
    let x = |v: f64| from + (root(v) - root(least)) / span * (to - from);
    for (i, (name, value)) in values.iter().enumerate() {
        let y = TOP + row * i as f64;
        let (a, b) = (x(0.0).min(x(*value)), x(0.0).max(x(*value)));
        let colour = match *value < 0.0 {
            true => COLOURS[1],
            false => COLOURS[0],
        };
        let _ = writeln!(
            out,
            r#"<rect x="{a:.1}" y="{y:.1}" width="{:.1}" height="{:.1}" fill="{colour}"/>"#,
            (b - a).max(1.0),
            row - 8.0
        );
        text(&mut out, (from - 10.0, y + 14.0), "end", name);
        text(
            &mut out,
            (to + 84.0, y + 14.0),
            "end",
            &format!("{value:+.2}"),
        );
    }
    let bottom = height - BOTTOM + 4.0;
    line(&mut out, (x(0.0), TOP - 6.0), (x(0.0), bottom), "#888");
    text(&mut out, (WIDTH / 2.0, height - 18.0), "middle", label);
    out.push_str("</svg>\n");
    out
}

fn begin(title: &str, height: f64) -> String {
    let title = escaped(title);
    format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13" fill="#222" role="img">
<title>{title}</title>
<rect width="{WIDTH}" height="{height}" fill="#fff"/>
<text x="{LEFT}" y="24" font-size="15" font-weight="bold">{title}</text>
"##
    )
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    let _ = writeln!(
        out,
        r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="{colour}"/>"#,
        from.0, from.1, to.0, to.1
    );
}

fn text(out: &mut String, at: (f64, f64), anchor: &str, what: &str) {
    let _ = writeln!(
        out,
        r#"<text x="{:.1}" y="{:.1}" text-anchor="{anchor}">{}</text>"#,
        at.0,
        at.1,
        escaped(what)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// A tick's number, without zeros that say nothing.
fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_is_the_same_every_time_and_escapes_what_it_is_told() {
        let chart = || Chart {
            title: "a < b",
            x: Axis {
                label: "x",
                from: 1.0,
                to: 100.0,
                ticks: vec![1.0, 10.0, 100.0],
                is_log: true,
            },
            y: Axis {
                label: "y",
                from: 0.0,
                to: 1.0,
                ticks: vec![0.0, 0.5],
                is_log: false,
            },
            series: vec![Series {
                name: "line".into(),
                points: vec![(1.0, 0.0), (100.0, 1.0)],
                is_dots: false,
            }],
            mark: Some((10.0, "here")),
        };
        let svg = chart().svg();
        assert_eq!(svg, chart().svg());
        assert!(svg.contains("a &lt; b") && !svg.contains("a < b"));
        // a decade is half of the way
        assert!(svg.contains(r#"points="74.0,344.0 580.0,44.0""#), "{svg}");
        assert!(svg.contains(r#"<line x1="327.0""#), "{svg}");
    }

    #[test]
    fn losses_go_to_the_left_of_nothing() {
        let svg = bars("t", "l", &[("a".into(), 1.0), ("b".into(), -4.0)]);
        assert!(svg.contains("+1.00") && svg.contains("-4.00"));
        let place = |y: &str| {
            let rest = svg.split(&format!("\" y=\"{y}\" width")).next().unwrap();
            rest.rsplit("<rect x=\"")
                .next()
                .unwrap()
                .parse::<f64>()
                .unwrap()
        };
        assert!(place("70.0") < place("44.0"));
    }
}
