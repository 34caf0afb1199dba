//! Who would rather be somebody else: shares of the kinds follow what pays, until nobody wants to switch.

use serde::Serialize;

use super::{Broken, Market, Outcome};

/// The share that a kind keeps though it does not pay: what nobody does would never be seen to pay.
pub(super) const TRIED: f64 = 0.01;
/// How fast shares follow: a kind that earns the cost of a task more on a task than the first grows by this factor's exponential.
const SPEED: f64 = 2.0;
/// Least change of a share that is one.
const STILL: f64 = 0.002;

/// The way to where nobody wants to switch.
#[derive(Clone, Debug, Serialize)]
pub struct Response {
    /// Names of the kinds.
    pub names: Vec<&'static str>,
    /// Each generation, the first as it was put in.
    pub steps: Vec<Step>,
    /// Whether shares came to rest.
    pub is_still: bool,
}

/// One generation.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Shares of the kinds.
    pub shares: Vec<f64>,
    /// What each earned on a task beyond the first kind, in units.
    pub advantages: Vec<f64>,
}

impl Response {
    /// Shares in the end.
    pub fn last(&self) -> Option<&Step> {
        self.steps.last()
    }
}

impl Market {
    /// Lets the shares follow what pays, generation by generation (replicator dynamics), from those it has; no kind falls below one
    /// in a hundred. `each` is told of every generation.
    ///
    /// # Errors
    /// As [`Market::play`].
    pub fn respond(
        &self,
        generations: usize,
        mut each: impl FnMut(usize, &Step),
    ) -> Result<Response, Broken> {
        let mut market = self.clone();
        let mut response = Response {
            names: self.kinds.iter().map(|k| k.agent.name()).collect(),
            steps: Vec::new(),
            is_still: false,
        };
        for generation in 0..generations.max(1) {
            market.seed = self.seed.wrapping_add(generation as u64);
            let played = market.play(|_| {})?;
            let shares: Vec<f64> = market.kinds.iter().map(|k| k.share).collect();
            let advantages = (0..shares.len()).map(|i| played.advantage(i)).collect();
            let step = Step { shares, advantages };
            each(generation, &step);
            let next = revised(&step.shares, &played, market.cost);
            let moved = next.iter().zip(&step.shares);
            response.is_still = moved.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) < STILL;
            response.steps.push(step);
            if response.is_still {
                break;
            }
            for (kind, share) in market.kinds.iter_mut().zip(next) {
                kind.share = share;
            }
        }
        Ok(response)
    }
}

fn revised(shares: &[f64], played: &Outcome, cost: u128) -> Vec<f64> {
    let pays = |i: usize| played.kinds.get(i).map_or(0.0, |k| k.payoff.per_task());
    // in units of what a task costs, so that no currency matters
    let scale = (cost as f64).max(1.0);
    let grow = |(i, share): (usize, &f64)| {
        share * (SPEED * (pays(i) - pays(0)) / scale).clamp(-4.0, 4.0).exp()
    };
    let mut next: Vec<f64> = shares.iter().enumerate().map(grow).collect();
    let sum: f64 = next.iter().sum();
    // those at the floor keep it, and the others share the rest
    for share in &mut next {
        *share /= sum;
    }
    let low: f64 = next.iter().filter(|s| **s < TRIED).count() as f64 * TRIED;
    let high: f64 = next.iter().filter(|s| **s >= TRIED).sum();
    for share in &mut next {
        *share = match *share < TRIED {
            true => TRIED,
            false => *share / high * (1.0 - low),
        };
    }
    next
}
