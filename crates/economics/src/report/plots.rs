//! The plots of a report.

use super::chart::{Axis, Chart, PlotError, Scale, Series, bars};
use super::{Report, tokens};
use crate::market::Response;

pub(super) fn kink_chart(report: &Report) -> Result<String, PlotError> {
    let points = |of: fn(&super::Point) -> f64| -> Vec<(f64, f64)> {
        let curve = report.figures.curve.iter();
        curve
            .map(|p| (f64::from(p.percent) / 100.0, of(p)))
            .collect()
    };
    let shares = points(|p| p.cheating);
    Chart {
        title: "Who cheats in the end, by audit rate",
        x: Axis {
            label: "audit rate, as a share of p* = D / (d (1-r) (R + (1-b) S))",
            from: 0.4,
            to: 2.1,
            ticks: vec![0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0],
            scale: Scale::Linear,
        },
        y: Axis {
            label: "providers that cheat",
            from: 0.0,
            to: 1.0,
            ticks: vec![0.0, 0.25, 0.5, 0.75, 1.0],
            scale: Scale::Linear,
        },
        series: vec![
            Series {
                name: String::new(),
                points: shares.clone(),
                is_dots: false,
            },
            Series {
                name: String::new(),
                points: shares,
                is_dots: true,
            },
        ],
        mark: Some((1.0, "closed form")),
    }
    .svg()
}

pub(super) fn edges_chart(report: &Report) -> Result<String, PlotError> {
    let edges = &report.figures.edges;
    let least = edges
        .iter()
        .map(|e| e.expected_ppm)
        .fold(f64::MAX, f64::min)
        / 1e4;
    let most = edges.iter().map(|e| e.expected_ppm).fold(0.0, f64::max) / 1e4;
    let (from, to) = (least / 1.5, most * 1.5);
    let ticks: Vec<f64> = [
        0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0,
    ]
    .into_iter()
    .filter(|t| (from..=to).contains(t))
    .collect();
    let axis = |label| Axis {
        label,
        from,
        to,
        ticks: ticks.clone(),
        scale: Scale::Log,
    };
    let mut series = vec![Series {
        name: "closed form".to_owned(),
        points: vec![(from, from), (to, to)],
        is_dots: false,
    }];
    for what in ["r", "d", "b", "S"] {
        let of = edges.iter().filter(|e| e.what == what);
        series.push(Series {
            name: format!("by {what}"),
            points: of
                .map(|e| (e.expected_ppm / 1e4, f64::from(e.found_ppm) / 1e4))
                .collect(),
            is_dots: true,
        });
    }
    Chart {
        title: "Where cheating ceases to pay: simulated against the closed form",
        x: axis("closed form, percent of the results audited"),
        y: axis("simulated, percent"),
        series,
        mark: None,
    }
    .svg()
}

pub(super) fn strategies_chart(report: &Report) -> Result<String, PlotError> {
    let kinds = report.played.kinds.iter().enumerate().skip(1);
    let values: Vec<(String, f64)> = kinds
        .map(|(i, kind)| (kind.name.to_owned(), tokens(report.played.advantage(i))))
        .collect();
    bars(
        "What each kind earns on a task beyond the honest",
        "tokens on a task, lengths by the square root",
        &values,
    )
}

pub(super) fn shares_chart(title: &'static str, response: &Response) -> Result<String, PlotError> {
    let generations = response.steps.len().saturating_sub(1).max(1) as f64;
    let ticks = (0..=generations as u32).filter(|g| g.is_multiple_of(1 + generations as u32 / 10));
    // those that stay small are one line among others
    let mut series: Vec<(f64, Series)> = response
        .names
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let of = response.steps.iter().enumerate();
            let share = |s: &crate::market::Step| s.shares.get(i).copied().unwrap_or_default();
            let points: Vec<(f64, f64)> = of.map(|(g, s)| (g as f64, share(s))).collect();
            let last = points.last().map_or(0.0, |p| p.1);
            let series = Series {
                name: (*name).to_owned(),
                points,
                is_dots: false,
            };
            (last, series)
        })
        .collect();
    series.sort_by(|a, b| b.0.total_cmp(&a.0));
    Chart {
        title,
        x: Axis {
            label: "generation",
            from: 0.0,
            to: generations,
            ticks: ticks.map(f64::from).collect(),
            scale: Scale::Linear,
        },
        y: Axis {
            label: "share of the providers",
            from: 0.0,
            to: 1.0,
            ticks: vec![0.0, 0.25, 0.5, 0.75, 1.0],
            scale: Scale::Linear,
        },
        series: series.into_iter().map(|(_, s)| s).collect(),
        mark: None,
    }
    .svg()
}
