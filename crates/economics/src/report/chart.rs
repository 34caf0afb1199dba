//! Line charts and bars as SVG, by `plotters` without a font: it estimates how wide a text is, so that the bytes are the
//! same wherever they are made.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// The library places by whole units: so many are a pixel.
const UNITS: i32 = 10;
const WIDTH: i32 = 720;
const HEIGHT: i32 = 400;
/// Above what is drawn, for the title.
const TITLE: i32 = 44;
/// At the sides, where nothing is.
const MARGIN: i32 = 12;
/// For the numbers and the name of the axis.
const BELOW: i32 = 46;
/// Beside the lines, where they have names.
const LEGEND: i32 = 160;
/// Of a bar, with what keeps it from the next.
const ROW: i32 = 26;
/// What the library takes a font's size down by.
const FONT: f64 = 1.24;
const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const AXES: RGBColor = RGBColor(0x88, 0x88, 0x88);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
/// Told apart by people who do not see all colours (Okabe and Ito).
const COLOURS: [RGBColor; 11] = [
    RGBColor(0x00, 0x72, 0xb2),
    RGBColor(0xd5, 0x5e, 0x00),
    RGBColor(0x00, 0x9e, 0x73),
    RGBColor(0xcc, 0x79, 0xa7),
    RGBColor(0xe6, 0x9f, 0x00),
    RGBColor(0x56, 0xb4, 0xe9),
    RGBColor(0x7a, 0x51, 0x95),
    RGBColor(0x66, 0x66, 0x66),
    RGBColor(0x33, 0x22, 0x88),
    RGBColor(0x88, 0x22, 0x55),
    RGBColor(0x99, 0x99, 0x33),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What the library says no with; of a picture in memory it never does.
pub(super) type PlotError = DrawingAreaErrorKind<std::io::Error>;

/// How values become places.
#[derive(Clone, Copy)]
pub(super) enum Scale {
    Linear,
    Log,
    /// By the square root on both sides of nothing: small values stay in sight beside large ones.
    Root,
}

/// One axis.
#[derive(Clone)]
pub(super) struct Axis {
    pub(super) label: &'static str,
    pub(super) from: f64,
    pub(super) to: f64,
    /// Where lines and numbers are.
    pub(super) ticks: Vec<f64>,
    pub(super) scale: Scale,
}

impl Axis {
    fn share(&self, value: f64) -> f64 {
        let at = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Log => value.ln(),
            Scale::Root => value.signum() * value.abs().sqrt(),
        };
        (at(value) - at(self.from)) / (at(self.to) - at(self.from))
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (first, last): (i32, i32)) -> i32 {
        first + (self.share(*value) * f64::from(last - first)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        match hint.weight().allow_light_points() {
            true => Vec::new(),
            false => self.ticks.clone(),
        }
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Axis {
    /// Without zeros that say nothing.
    fn format(value: &f64) -> String {
        let text = format!("{value:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
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
    pub(super) fn svg(&self) -> Result<String, PlotError> {
        let names: Vec<&str> = self.series.iter().map(|s| s.name.as_str()).collect();
        let mut says = format!("Across: {}. Up: {}.", self.x.label, self.y.label);
        if names.iter().any(|name| !name.is_empty()) {
            says.push_str(&format!(" Series: {}.", names.join(", ")));
        }
        picture(self.title, &says, HEIGHT, |area| self.draw(area))
    }

    fn draw(&self, area: &Area<'_>) -> Result<(), PlotError> {
        let has_names = self.series.iter().any(|s| !s.name.is_empty());
        let beside = if has_names { LEGEND } else { MARGIN } * UNITS;
        let (area, legend) = area.split_horizontally(WIDTH * UNITS - beside);
        let mut chart = ChartBuilder::on(&area)
            .margin_left(MARGIN * UNITS)
            .x_label_area_size(BELOW * UNITS)
            .y_label_area_size(56 * UNITS)
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        chart
            .configure_mesh()
            .x_desc(self.x.label)
            .y_desc(self.y.label)
            .label_style(font(13.0))
            .axis_style(thin(AXES))
            .bold_line_style(thin(GRID))
            .set_all_tick_mark_size(4 * UNITS)
            .draw()?;
        if let Some((at, what)) = self.mark {
            let across = [(at, self.y.from), (at, self.y.to)];
            let dash = 5 * UNITS;
            chart.draw_series(DashedLineSeries::new(across, dash, dash, thin(AXES)))?;
            let beside = Text::new(what, (6 * UNITS, 4 * UNITS), font(13.0));
            let top = EmptyElement::at((at, self.y.to)) + beside;
            chart.draw_series([top])?;
        }
        let radius = 4 * UNITS;
        let (start, mut row) = (12 * UNITS, ROW * UNITS / 2);
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let (points, dot) = (series.points.iter().copied(), colour.filled());
            let line = colour.stroke_width(2 * UNITS as u32);
            let middle = start + 2 * radius;
            if series.is_dots {
                chart.draw_series(points.map(|at| Circle::new(at, radius, dot)))?;
            } else {
                chart.draw_series(LineSeries::new(points, line))?;
            }
            if series.name.is_empty() {
                continue;
            }
            if series.is_dots {
                legend.draw(&Circle::new((middle, row), radius, dot))?;
            } else {
                let ends = [(start, row), (middle + 2 * radius, row)];
                legend.draw(&PathElement::new(ends, line))?;
            }
            let style = font(13.0).pos(Pos::new(HPos::Left, VPos::Center));
            legend.draw_text(&series.name, &style, (middle + 3 * radius, row))?;
            row += 18 * UNITS;
        }
        Ok(())
    }
}

/// Bars to both sides of nothing, one for each name.
pub(super) fn bars(
    title: &str,
    label: &'static str,
    values: &[(String, f64)],
) -> Result<String, PlotError> {
    let rows = values.len() as i32;
    let least = values.iter().map(|v| v.1).fold(0.0, f64::min);
    let most = values.iter().map(|v| v.1).fold(0.0, f64::max);
    let ticks = [1.0, 10.0, 50.0, 100.0, 200.0, 500.0, 1000.0];
    let ticks = ticks.iter().flat_map(|tick| [-tick, *tick]);
    let ticks = ticks.chain([0.0]).filter(|t| (least..=most).contains(t));
    let x = Axis {
        label,
        from: least,
        // nothing is no range
        to: most.max(least + 1e-9),
        ticks: ticks.collect(),
        scale: Scale::Root,
    };
    // the first one at the top
    let y = Axis {
        label: "",
        from: f64::from(rows),
        to: 0.0,
        ticks: (0..rows).map(|row| f64::from(row) + 0.5).collect(),
        scale: Scale::Linear,
    };
    let names: Vec<String> = values
        .iter()
        .map(|(name, value)| format!("{name} {value:+.2}"))
        .collect();
    let says = format!("{label}: {}.", names.join(", "));
    picture(title, &says, TITLE + BELOW + MARGIN + ROW * rows, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin_right(90 * UNITS)
            .x_label_area_size(BELOW * UNITS)
            .y_label_area_size(140 * UNITS)
            .build_cartesian_2d(x.clone(), y.clone())?;
        let name = |row: &f64| values.get(*row as usize).map_or("", |v| &v.0).to_owned();
        chart
            .configure_mesh()
            .disable_y_mesh()
            .x_desc(label)
            .y_label_formatter(&name)
            .label_style(font(13.0))
            .axis_style(thin(AXES))
            .bold_line_style(thin(GRID))
            .set_all_tick_mark_size(4 * UNITS)
            .draw()?;
        for (row, (_, value)) in (0..rows).zip(values) {
            let (top, middle) = (f64::from(row), f64::from(row) + 0.5);
            let colour = match *value < 0.0 {
                true => COLOURS[1],
                false => COLOURS[0],
            };
            let bar = [(0.0, top + 0.15), (*value, top + 0.85)];
            chart.draw_series([Rectangle::new(bar, colour.filled())])?;
            let style = font(13.0).pos(Pos::new(HPos::Right, VPos::Center));
            let number = Text::new(format!("{value:+.2}"), (84 * UNITS, 0), style);
            chart.draw_series([EmptyElement::at((x.to, middle)) + number])?;
        }
        Ok(())
    })
}

/// A picture with a title, whatever is drawn below it, and words for those who do not see it.
fn picture(
    title: &str,
    says: &str,
    height: i32,
    draw: impl FnOnce(&Area<'_>) -> Result<(), PlotError>,
) -> Result<String, PlotError> {
    let size = ((WIDTH * UNITS) as u32, (height * UNITS) as u32);
    let mut drawn = String::new();
    {
        let root = SVGBackend::with_string(&mut drawn, size).into_drawing_area();
        // dark text on white, whatever the page's colours are
        root.fill(&WHITE)?;
        let (top, below) = root.split_vertically(TITLE * UNITS);
        top.margin(MARGIN * UNITS, 0, 0, 0)
            .titled(title, bold(15.0))?;
        draw(&below.margin(0, MARGIN * UNITS, 0, 0))?;
        root.present()?;
    }
    // the library's own first line has no words and is as many pixels wide as it has units
    let (_, body) = drawn.split_once('\n').unwrap_or_default();
    let (title, says) = (escaped(title), escaped(says));
    let (w, h) = size;
    Ok(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {w} {h}" role="img">
<title>{title}</title>
<desc>{says}</desc>
{body}"#
    ))
}

fn font(pixels: f64) -> TextStyle<'static> {
    let units = pixels * f64::from(UNITS) * FONT;
    ("sans-serif", units).into_font().color(&INK)
}

fn thin(colour: RGBColor) -> ShapeStyle {
    colour.stroke_width(UNITS as u32)
}

fn bold(pixels: f64) -> TextStyle<'static> {
    let units = pixels * f64::from(UNITS) * FONT;
    let font = ("sans-serif", units).into_font().style(FontStyle::Bold);
    font.color(&INK)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of an attribute of each element of a kind.
    fn numbers(svg: &str, element: &str, attribute: &str) -> Vec<f64> {
        let begins = format!("<{element} ");
        let lines = svg.lines().filter(|line| line.starts_with(&begins));
        let values = lines.filter_map(|line| line.split_once(&format!(" {attribute}=\"")));
        values
            .map(|(_, rest)| rest.split('"').next().unwrap().parse().unwrap())
            .collect()
    }

    #[test]
    fn a_chart_is_the_same_every_time_and_escapes_what_it_is_told() {
        let chart = || Chart {
            title: "a < b",
            x: Axis {
                label: "x",
                from: 1.0,
                to: 100.0,
                ticks: vec![1.0, 10.0, 100.0],
                scale: Scale::Log,
            },
            y: Axis {
                label: "y",
                from: 0.0,
                to: 1.0,
                ticks: vec![0.0, 0.5],
                scale: Scale::Linear,
            },
            series: vec![Series {
                name: "dots".into(),
                points: vec![(1.0, 0.0), (10.0, 0.5), (100.0, 1.0)],
                is_dots: true,
            }],
            mark: Some((10.0, "here")),
        };
        let svg = chart().svg().unwrap();
        assert_eq!(svg, chart().svg().unwrap());
        assert!(svg.contains("a &lt; b") && !svg.contains("a < b"));
        let says = "<desc>Across: x. Up: y. Series: dots.</desc>";
        assert!(svg.contains(says), "{svg}");
        // a decade is half of the way; the legend's is the last
        let (x, y) = (numbers(&svg, "circle", "cx"), numbers(&svg, "circle", "cy"));
        assert_eq!((x.len(), y.len()), (4, 4));
        assert!((x[0] + x[2] - 2.0 * x[1]).abs() <= 1.0, "{x:?}");
        assert!((y[0] + y[2] - 2.0 * y[1]).abs() <= 1.0, "{y:?}");
        assert!(x[0] < x[2] && y[0] > y[2] && x[3] > x[2], "{x:?} {y:?}");
        assert!(x.iter().all(|x| *x < f64::from(WIDTH * UNITS)), "{x:?}");
    }

    #[test]
    fn losses_go_to_the_left_of_nothing_and_lengths_by_the_root() {
        let values = [("a".into(), 1.0), ("b".into(), -4.0)];
        let svg = bars("t", "l", &values).unwrap();
        assert!(svg.contains("+1.00") && svg.contains("-4.00"));
        // the first is the ground
        let (x, y) = (numbers(&svg, "rect", "x"), numbers(&svg, "rect", "y"));
        let wide = numbers(&svg, "rect", "width");
        assert_eq!(x.len(), 3);
        assert!(y[1] < y[2], "{y:?}");
        assert!((x[2] + wide[2] - x[1]).abs() <= 1.0, "{x:?} {wide:?}");
        assert!((wide[2] - 2.0 * wide[1]).abs() <= 2.0, "{wide:?}");
    }
}
