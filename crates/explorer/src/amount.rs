//! Amounts of the asset, exact to the unit.

use std::fmt;

use serde::{Serialize, Serializer};

/// Decimals of the asset.
pub const DECIMALS: u32 = 18;
/// Units in one whole token.
pub const TOKEN: u128 = 10u128.pow(DECIMALS);

/// An amount in units of the asset (10^-18 of a token). JSON carries it as a decimal string, because it
/// does not fit the numbers of most readers; people see whole tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub u128);

impl Amount {
    /// Whole tokens.
    pub const fn tokens(whole: u128) -> Amount {
        Amount(whole.saturating_mul(TOKEN))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&text(self.0))
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// "1 token", "2.5 tokens".
pub fn tokens(units: u128) -> String {
    match units {
        TOKEN => "1 token".to_owned(),
        _ => format!("{} tokens", Amount(units)),
    }
}

/// A gain or a loss in units of the asset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change(pub i128);

impl Change {
    /// From one amount to another.
    pub fn between(before: Amount, after: Amount) -> Change {
        Change(after.0 as i128 - before.0 as i128)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.0.signum() {
            1 => "+",
            -1 => "-",
            _ => "",
        };
        f.pad(&format!("{sign}{}", text(self.0.unsigned_abs())))
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Whole tokens with at most four decimals, rounded to nearest; a dust amount is not shown as nothing.
fn text(units: u128) -> String {
    const STEP: u128 = TOKEN / 10_000;
    let rounded = (units + STEP / 2) / STEP;
    if rounded == 0 && units > 0 {
        return "<0.0001".to_owned();
    }
    let (whole, fraction) = (rounded / 10_000, rounded % 10_000);
    if fraction == 0 {
        return whole.to_string();
    }
    format!("{whole}.{fraction:04}")
        .trim_end_matches('0')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_tokens_and_programs_see_units() {
        assert_eq!(Amount::tokens(12).to_string(), "12");
        assert_eq!(Amount(TOKEN / 2 + TOKEN).to_string(), "1.5");
        assert_eq!(Amount(TOKEN / 8).to_string(), "0.125");
        assert_eq!(Amount(1).to_string(), "<0.0001");
        assert_eq!(Amount(0).to_string(), "0");
        assert_eq!(format!("{:>6}", Amount::tokens(3)), "     3");
        assert_eq!([tokens(TOKEN), tokens(0)], ["1 token", "0 tokens"]);
        assert_eq!(
            serde_json::to_string(&Amount(TOKEN)).unwrap(),
            "\"1000000000000000000\""
        );
    }

    #[test]
    fn changes_carry_their_sign() {
        let (low, high) = (Amount::tokens(1), Amount::tokens(3));
        assert_eq!(Change::between(low, high).to_string(), "+2");
        assert_eq!(Change::between(high, low).to_string(), "-2");
        assert_eq!(Change::between(low, low).to_string(), "0");
    }
}
