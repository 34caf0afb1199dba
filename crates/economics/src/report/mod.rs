//! The report: what was simulated, as tables inside a page, files of comma-separated values and plots. The same for a seed, so that a page
//! that was committed can be held against what is computed.

mod chart;
mod figures;
mod page;
mod plots;

use gavel_settlement::amount::TOKEN;

use crate::contracts::Played;
use crate::market::{Broken, Market, Outcome, Response};
use crate::sim::Scenario;
use crate::{Assumptions, Solution, Unsolvable};

pub use figures::{Edge, Figures, Point, Sizes, kinds};
pub use page::fill;

/// A file of the report, by its path below the documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// Nothing solves the assumptions.
    #[error(transparent)]
    Unsolvable(Box<Unsolvable>),
    /// A market could not be played.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The page has no place for a table.
    #[error(
        "the page has no place for the table `{0}`: <!-- table: {0} --> and <!-- end --> on lines of their own"
    )]
    NoPlace(&'static str),
    /// A plot could not be drawn.
    #[error("a plot cannot be drawn: {0}")]
    Plot(String),
}

impl From<chart::PlotError> for ReportError {
    fn from(error: chart::PlotError) -> ReportError {
        ReportError::Plot(error.to_string())
    }
}

impl From<Unsolvable> for ReportError {
    fn from(error: Unsolvable) -> ReportError {
        ReportError::Unsolvable(Box::new(error))
    }
}

/// What a report is made of.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was assumed.
    pub assumed: Assumptions,
    /// What solves it.
    pub solution: Solution,
    /// The curve, the sweeps.
    pub figures: Figures,
    /// A market of all kinds.
    pub market: Market,
    /// What came of it.
    pub played: Outcome,
    /// Where nobody wants to switch, at the solved rate.
    pub solved: Response,
    /// And at a rate far below p*.
    pub weak: Response,
    /// The same market, small, on the contracts, and many times in the abstract.
    pub contracts: Played,
    /// Mean and spread of what each kind earned on a task beyond the honest, in tokens, over the small markets in the abstract.
    pub small: Vec<(f64, f64)>,
}

/// The abstract market of the kink at a set of assumptions.
pub fn scenario(assumed: &Assumptions, solution: &Solution, tasks: u64) -> Scenario {
    Scenario {
        tasks,
        ..Scenario::new(assumed, solution)
    }
}

fn tokens(units: f64) -> f64 {
    units / TOKEN as f64
}
