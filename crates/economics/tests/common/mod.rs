//! Random assumptions.

use std::ops::{Range, RangeInclusive};

use gavel_economics::{Assumptions, WindowsChoice};
use gavel_settlement::amount::TOKEN;
use gavel_settlement::params::Tokens;
use proptest::prelude::*;

/// Within what assumptions are tried; shares in basis points.
pub(crate) struct Ranges {
    /// In thirds of a token.
    pub(crate) stake: Range<u128>,
    pub(crate) floor: RangeInclusive<u16>,
    pub(crate) detection: RangeInclusive<u16>,
    pub(crate) colluding: Range<u16>,
    pub(crate) slash: RangeInclusive<u16>,
    pub(crate) exposure: Range<u32>,
}

/// Assumptions about money, shares and windows; everything may be audited.
pub(crate) fn assumptions(ranges: Ranges) -> impl Strategy<Value = Assumptions> {
    let money = (1u128..1_000, 1u128..2_000, 1u128..3_000, ranges.stake);
    let shares = (
        ranges.floor,
        ranges.detection,
        ranges.colluding,
        5_000u16..=10_000,
        ranges.slash,
    );
    (money, shares, ranges.exposure, any::<bool>()).prop_map(
        |(
            (price, cost, gain, stake),
            (price_floor_bps, detection_bps, colluding_bps, burn_bps, safety_slash_bps),
            exposure,
            fast,
        )| Assumptions {
            price: Tokens(price * TOKEN / 7),
            price_floor_bps,
            cost: Tokens(cost * TOKEN / 1_000),
            gain: Tokens(gain * TOKEN / 100),
            stake: Tokens(stake * TOKEN / 3),
            exposure,
            detection_bps,
            colluding_bps,
            burn_bps,
            safety_slash_bps,
            audit_rate_most_ppm: 1_000_000,
            windows: match fast {
                true => WindowsChoice::Fast,
                false => WindowsChoice::Normal,
            },
            ..Assumptions::default()
        },
    )
}
