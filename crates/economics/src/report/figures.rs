//! What is simulated for the report.

use std::num::NonZero;
use std::sync::Arc;

use super::{Report, ReportError, scenario};
use crate::agents::{self, Agent, Kind};
use crate::contracts;
use crate::market::{Market, Response, Step};
use crate::sim::{closed_form, closed_form_of_traps};
use crate::{Assumptions, solve};
use gavel_settlement::amount::TOKEN;
use gavel_settlement::params::Tokens;

/// Audit rates that are tried, in percent of the closed form.
const RATES: [u32; 11] = [50, 80, 90, 95, 98, 100, 102, 105, 110, 120, 200];

/// Shares of traps that are tried, in percent of the closed form.
const TRAPS: [u32; 5] = [0, 50, 90, 110, 200];
/// The audit rate at which they are, over p*.
const ABOVE: f64 = 1.2;

/// How much is simulated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    /// Tasks of each market of the curve.
    pub curve_tasks: u64,
    /// Lies that are caught in each market in which an edge is looked for: chance moves it by one over the root of it.
    pub edge_catches: f64,
    /// Tasks of the market of all kinds.
    pub market_tasks: u64,
    /// Its providers.
    pub market_providers: usize,
    /// Tasks of each generation of the best responses.
    pub generation_tasks: u64,
    /// Most generations.
    pub generations: usize,
    /// Tasks on the contracts.
    pub contract_tasks: u64,
    /// Providers there.
    pub contract_providers: usize,
    /// Markets of that size in the abstract.
    pub small_markets: u64,
    /// Threads.
    pub threads: Option<NonZero<usize>>,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes {
            curve_tasks: 10_000_000,
            edge_catches: 30_000.0,
            market_tasks: 10_000_000,
            market_providers: 100_000,
            generation_tasks: 250_000,
            generations: 30,
            contract_tasks: 2_000,
            contract_providers: 110,
            small_markets: 64,
            threads: None,
        }
    }
}

/// A point of the curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// In percent of p*.
    pub percent: u32,
    /// The audit rate.
    pub rate_ppm: u32,
    /// Providers that cheat in the end.
    pub cheating: f64,
    /// Auditors that look away in the end.
    pub sleeping: f64,
    /// Wrong results.
    pub wrong: u64,
    /// Of these, caught.
    pub caught: u64,
}

/// An edge that was looked for, and where the closed form says it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// Which number was changed.
    pub what: &'static str,
    /// To what.
    pub value: f64,
    /// Where the closed form says.
    pub expected_ppm: f64,
    /// Where it was found.
    pub found_ppm: u32,
}

impl Edge {
    /// How far it is from the closed form.
    pub fn off(&self) -> f64 {
        f64::from(self.found_ppm) / self.expected_ppm - 1.0
    }
}

/// The curve and the sweeps.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// The closed form at the assumptions.
    pub expected_ppm: f64,
    /// The share of cheats by audit rate.
    pub curve: Vec<Point>,
    /// Edges by r, d, b and S, each over the others' defaults.
    pub edges: Vec<Edge>,
    /// Shares of traps at which looking away ceases to pay, by what is changed.
    pub waking: Vec<Edge>,
    /// Who looks away and who cheats in the end by the share of traps, above p*: percent of the closed form's share, the share, both.
    pub vigilance: Vec<(u32, u32, f64, f64)>,
    /// What the solver asks for by tasks that may be open at once: tasks, rate for one fault, rate for all, rate that is taken.
    pub exposure: Vec<(u32, u128, u128)>,
}

/// Kinds with the honest at a share and the others at equal ones.
pub fn kinds(honest: f64) -> Vec<Kind> {
    let all = agents::all();
    let rest = (1.0 - honest) / (all.len() - 1).max(1) as f64;
    let kind = |(i, agent): (usize, Arc<dyn Agent>)| Kind {
        agent,
        share: if i == 0 { honest } else { rest },
    };
    all.into_iter().enumerate().map(kind).collect()
}

impl Report {
    /// Simulates everything; `each` is told what is being done.
    ///
    /// # Errors
    /// Nothing solves the assumptions, or a market could not be played.
    pub async fn make(
        assumed: &Assumptions,
        sizes: &Sizes,
        mut each: impl FnMut(String),
    ) -> Result<Report, ReportError> {
        let solution = solve(assumed)?;
        let figures = figures(assumed, sizes, &mut each)?;
        each("a market of all kinds".to_owned());
        let market = Market {
            tasks: sizes.market_tasks,
            providers: sizes.market_providers,
            threads: sizes.threads,
            ..Market::new(assumed, &solution, kinds(0.9))
        };
        let played = market.play(|_| {})?;
        let mut told = |name: &str, generation: usize, step: &Step| {
            let honest = step.shares.first().copied().unwrap_or_default();
            each(format!(
                "{name}: generation {generation}, {:.1} % honest",
                honest * 100.0
            ));
        };
        let small = Market {
            tasks: sizes.generation_tasks,
            providers: sizes.market_providers.min(20_000),
            kinds: kinds(0.5),
            ..market.clone()
        };
        let solved = small.respond(sizes.generations, |g, s| told("at the solved rate", g, s))?;
        let mut weak = small.clone();
        // audits of newcomers as of all others
        weak.params.audit.ratePpm = (figures.expected_ppm / 20.0) as u32;
        weak.params.audit.probationTasks = 0;
        weak.params.audit.recordTasks = 0;
        let weak: Response =
            weak.respond(sizes.generations, |g, s| told("at a twentieth of p*", g, s))?;
        let on_chain = Market {
            tasks: sizes.contract_tasks,
            providers: sizes.contract_providers,
            kinds: kinds(0.5),
            ..market.clone()
        };
        let contracts = contracts::play(&on_chain, |tasks| {
            each(format!(
                "{tasks} of {} tasks on the contracts",
                sizes.contract_tasks
            ));
        })
        .await?;
        each("as many markets of that size in the abstract".to_owned());
        let small = contracts::spread(&on_chain, sizes.small_markets)?;
        Ok(Report {
            assumed: assumed.clone(),
            solution,
            figures,
            market,
            played,
            solved,
            weak,
            contracts,
            small,
        })
    }
}

fn figures(
    assumed: &Assumptions,
    sizes: &Sizes,
    each: &mut impl FnMut(String),
) -> Result<Figures, ReportError> {
    let solution = solve(assumed)?;
    let mut base = scenario(assumed, &solution, sizes.curve_tasks);
    base.threads = sizes.threads;
    let expected = closed_form(&base);
    let mut curve = Vec::new();
    for percent in RATES {
        each(format!("the curve at {percent} % of p*"));
        let rate = (expected * f64::from(percent) / 100.0).round() as u32;
        let outcome = base.at_rate(rate.min(1_000_000)).play(|_| {});
        curve.push(Point {
            percent,
            rate_ppm: rate,
            cheating: last(&outcome.cheating),
            sleeping: last(&outcome.sleeping),
            wrong: outcome.wrong,
            caught: outcome.caught,
        });
    }
    let mut edges = Vec::new();
    for (what, value, changed) in swept(assumed) {
        each(format!("the edge at {what} = {value}"));
        let mut at = scenario(&changed, &solve(&changed)?, 0);
        at.threads = sizes.threads;
        let expected_ppm = closed_form(&at);
        let sees =
            f64::from(changed.detection_bps) / 1e4 * (1.0 - f64::from(changed.colluding_bps) / 1e4);
        at.tasks = (sizes.edge_catches / (0.9 * sees * expected_ppm / 1e6)) as u64;
        edges.push(Edge {
            what,
            value,
            expected_ppm,
            found_ppm: at.kink(|_, _| {}),
        });
    }
    let mut vigilance = Vec::new();
    for percent in TRAPS {
        each(format!("traps at {percent} % of their edge"));
        let share = closed_form_of_traps(&base) * f64::from(percent) / 100.0;
        let mut at = base.at_rate((expected * ABOVE) as u32);
        at.traps_ppm = share as u32;
        let outcome = at.play(|_| {});
        let (asleep, cheat) = (last(&outcome.sleeping), last(&outcome.cheating));
        vigilance.push((percent, at.traps_ppm, asleep, cheat));
    }
    let mut exposure = Vec::new();
    for open in [1, 2, 4, 8, 16, 32] {
        let changed = Assumptions {
            exposure: open,
            audit_rate_most_ppm: 1_000_000,
            ..assumed.clone()
        };
        if let Ok(solved) = solve(&changed) {
            exposure.push((open, solved.rate_one_fault, solved.rate_exposure));
        }
    }
    Ok(Figures {
        expected_ppm: expected,
        curve,
        edges,
        waking: waking(assumed, sizes, each)?,
        vigilance,
        exposure,
    })
}

fn last(shares: &[f64]) -> f64 {
    shares.last().copied().unwrap_or_default()
}

/// Where auditors wake, by the friends that the sealer has among the finders, what an audit sees and what it costs. All results are audited:
/// the edge is a share of those that are.
fn waking(
    assumed: &Assumptions,
    sizes: &Sizes,
    each: &mut impl FnMut(String),
) -> Result<Vec<Edge>, ReportError> {
    let base = Assumptions {
        audit_rate_most_ppm: 1_000_000,
        ..assumed.clone()
    };
    let blind = Assumptions {
        detection_bps: 5_000,
        ..base.clone()
    };
    let dear = Assumptions {
        cost: Tokens(2 * base.cost.0),
        ..base.clone()
    };
    let twice = dear.cost.0 as f64 / TOKEN as f64;
    let all = [
        ("friends of the sealer", 0.0, 0, &base),
        ("friends of the sealer", 1.0, 1, &base),
        ("friends of the sealer", 2.0, 2, &base),
        ("d", 0.5, 0, &blind),
        ("cost of a run", twice, 0, &dear),
    ];
    let mut edges = Vec::new();
    for (what, value, friends, changed) in all {
        each(format!("auditors at {what} = {value}"));
        let mut at = scenario(changed, &solve(changed)?, 0).at_rate(1_000_000);
        (at.threads, at.friends) = (sizes.threads, friends);
        let expected_ppm = closed_form_of_traps(&at);
        at.tasks = (sizes.edge_catches / (expected_ppm / 1e6)) as u64;
        edges.push(Edge {
            what,
            value,
            expected_ppm,
            found_ppm: at.waking(|_, _| {}),
        });
    }
    Ok(edges)
}

/// One number changed at a time.
fn swept(assumed: &Assumptions) -> Vec<(&'static str, f64, Assumptions)> {
    let base = Assumptions {
        audit_rate_most_ppm: 1_000_000,
        ..assumed.clone()
    };
    let share = |bps: u16| f64::from(bps) / 1e4;
    let mut all = Vec::new();
    for colluding_bps in [0, 2_000, 4_000, 6_000] {
        let changed = Assumptions {
            colluding_bps,
            ..base.clone()
        };
        all.push(("r", share(colluding_bps), changed));
    }
    for detection_bps in [10_000, 7_000, 4_000, 2_000] {
        let changed = Assumptions {
            detection_bps,
            ..base.clone()
        };
        all.push(("d", share(detection_bps), changed));
    }
    for burn_bps in [5_000, 6_500, 8_000, 10_000] {
        // b is what is not burned
        let changed = Assumptions {
            burn_bps,
            ..base.clone()
        };
        all.push(("b", share(10_000 - burn_bps), changed));
    }
    for stake in [250, 500, 1_000, 4_000] {
        let changed = Assumptions {
            stake: Tokens(stake * TOKEN),
            ..base.clone()
        };
        all.push(("S", stake as f64, changed));
    }
    all
}
