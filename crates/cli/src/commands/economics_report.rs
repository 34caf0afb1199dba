//! `gavel economics report`: the page of the economics, simulated again.

use std::path::Path;

use gavel_economics::Assumptions;
use gavel_economics::report::{Report, ReportError, Sizes, fill};
use serde_json::json;

use crate::args_economics::ReportArgs;
use crate::failure::{Context as _, Exit, Failure};
use crate::network::block_on;
use crate::output::{BAD, GOOD, Output, paint};

const PAGE: &str = "economics.md";

pub(crate) fn run(args: &ReportArgs, out: Output) -> Result<Exit, Failure> {
    let place = args.out.join(PAGE);
    let page = std::fs::read_to_string(&place).at(place.display())?;
    // before minutes of work: whether the page has its places is seen in the end only
    let told = |what: String| out.progress(what);
    let report = block_on(async {
        let made = Report::make(&Assumptions::default(), &Sizes::default(), told).await;
        made.map_err(|e: ReportError| Failure::new(e))
    })?;
    let files = fill(&page, &report).map_err(Failure::new)?;
    let mut differ = Vec::new();
    for file in &files {
        let at = args.out.join(&file.path);
        let there = std::fs::read_to_string(&at).unwrap_or_default();
        if there == file.text {
            continue;
        }
        differ.push(file.path.clone());
        if !args.check {
            write(&at, &file.text)?;
        }
    }
    let edges = report.figures.edges.iter().chain(&report.figures.waking);
    let off = edges.map(|e| e.off().abs());
    let worst = off.fold(0.0, f64::max);
    out.facts(&[
        ("files", files.len().to_string()),
        (
            "edges",
            format!("at most {:.2} % from the closed form", worst * 100.0),
        ),
    ]);
    for path in &differ {
        let what = if args.check { "is another" } else { "written" };
        out.line(format!("{path} {what}"));
    }
    let is_wrong = args.check && !differ.is_empty();
    match is_wrong {
        true => out.line(format!(
            "{} run it without --check and look at what changed",
            paint(BAD, "✗")
        )),
        false => out.line(paint(GOOD, "✓")),
    }
    out.json(&json!({
        "files": files.iter().map(|f| &f.path).collect::<Vec<_>>(),
        "changed": differ,
        "worst_off": worst,
    }))?;
    Ok(match is_wrong {
        true => Exit::False,
        false => Exit::Done,
    })
}

fn write(at: &Path, text: &str) -> Result<(), Failure> {
    if let Some(folder) = at.parent() {
        std::fs::create_dir_all(folder).at(folder.display())?;
    }
    std::fs::write(at, text).at(at.display())
}
