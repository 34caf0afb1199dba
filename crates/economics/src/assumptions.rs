//! What a deployer knows or assumes, as a file.

use gavel_settlement::Windows;
use gavel_settlement::amount::TOKEN;
use gavel_settlement::params::Tokens;
use serde::{Deserialize, Serialize};

/// What parameters are solved for. Amounts in tokens, shares in basis points. Every key has a default; none is unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Assumptions {
    /// Price ceiling of the dearest task.
    pub price: Tokens,
    /// Least starting price of an auction, as a share of the ceiling: what a cheat forgoes.
    pub price_floor_bps: u16,
    /// What running the dearest task costs an honest machine.
    pub cost: Tokens,
    /// D: what a wrong result of the dearest task is worth to who makes it, the cost saved included.
    pub gain: Tokens,
    /// Stake that a provider has to put up.
    pub stake: Tokens,
    /// Tasks of the price ceiling that one provider may have open at once.
    pub exposure: u32,
    /// d: chance that an honest audit sees a wrong result.
    pub detection_bps: u16,
    /// r: share of the audit capacity that colludes with a cheat.
    pub colluding_bps: u16,
    /// Share of a slash that is burned, at least half.
    pub burn_bps: u16,
    /// Share of the stake beyond the collateral that one wrong result costs.
    pub safety_slash_bps: u16,
    /// Most of the results that may be audited: what the levy may come to.
    pub audit_rate_most_ppm: u32,
    /// First tasks of a provider, which are always audited.
    pub probation_tasks: u32,
    /// Share of the first result after them that is audited; at least the rate that is solved for.
    pub fresh_rate_ppm: u32,
    /// Tasks over which it falls from there to the rate that is solved for.
    pub record_tasks: u32,
    /// Share of all stake at which an attack loses everything, as one over a whole number: 3 is a third.
    pub correlation_multiplier: u16,
    /// What a million of gas costs.
    pub gas_price: Tokens,
    /// What an hour of a provider's machine earns: lost while it is frozen.
    pub hour: Tokens,
    /// Lengths of the windows.
    pub windows: WindowsChoice,
}

/// Lengths of the protocol's windows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WindowsChoice {
    /// Seconds to minutes.
    Fast,
    /// Minutes to hours.
    #[default]
    Normal,
}

impl From<WindowsChoice> for Windows {
    fn from(choice: WindowsChoice) -> Windows {
        match choice {
            WindowsChoice::Fast => Windows::Fast,
            WindowsChoice::Normal => Windows::Normal,
        }
    }
}

impl Default for Assumptions {
    fn default() -> Assumptions {
        Assumptions {
            price: Tokens(10 * TOKEN),
            price_floor_bps: 1_000,
            cost: Tokens(TOKEN),
            gain: Tokens(TOKEN * 12 / 10),
            stake: Tokens(1_000 * TOKEN),
            exposure: 4,
            detection_bps: 10_000,
            colluding_bps: 2_000,
            burn_bps: 5_000,
            safety_slash_bps: 5_000,
            audit_rate_most_ppm: 100_000,
            probation_tasks: 3,
            fresh_rate_ppm: 250_000,
            record_tasks: 20,
            correlation_multiplier: 3,
            gas_price: Tokens(TOKEN / 100),
            hour: Tokens(TOKEN / 2),
            windows: WindowsChoice::default(),
        }
    }
}
