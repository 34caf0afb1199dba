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

/// All of an amount in tokens, to the last unit: "0.000000000000000001".
pub fn exact(units: u128) -> String {
    let (whole, rest) = (units / TOKEN, units % TOKEN);
    let text = format!("{whole}.{rest:0width$}", width = DECIMALS as usize);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Units in an amount of tokens as people write it: digits, and up to 18 behind a point.
///
/// # Errors
/// What was expected, in words: it is written in another way, or more than 128 bits count.
pub fn parse(text: &str) -> Result<u128, String> {
    const WIDTH: usize = DECIMALS as usize;
    let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(rest) || rest.len() > WIDTH {
        return Err(format!(
            "expected tokens such as 250 or 0.5, with at most {DECIMALS} decimals, found {text:?}"
        ));
    }
    let units = format!("{whole}{rest:0<WIDTH$}").parse();
    units.map_err(|_| format!("{text} tokens are more than there can be"))
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
    use proptest::prelude::*;

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
    fn what_is_written_is_read_to_the_unit_and_nothing_else_is() {
        for (units, written) in [
            (0, "0"),
            (1, "0.000000000000000001"),
            (TOKEN / 4, "0.25"),
            (TOKEN * 5 / 4, "1.25"),
            (250 * TOKEN, "250"),
            (u128::MAX, "340282366920938463463.374607431768211455"),
        ] {
            assert_eq!(exact(units), written);
            assert_eq!(parse(written), Ok(units));
        }
        assert_eq!(parse("007.50"), Ok(TOKEN * 15 / 2));
        let more = "340282366920938463463.374607431768211456";
        let digits = "9".repeat(60);
        let wrong = [
            "", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "1.2.3", " 1", "\u{663}",
        ];
        for text in wrong
            .into_iter()
            .chain([more, &digits, "0.0000000000000000001"])
        {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_amount_is_read_as_it_is_written(units: u128) {
            prop_assert_eq!(parse(&exact(units)), Ok(units));
        }
    }

    #[test]
    fn changes_carry_their_sign() {
        let (low, high) = (Amount::tokens(1), Amount::tokens(3));
        assert_eq!(Change::between(low, high).to_string(), "+2");
        assert_eq!(Change::between(high, low).to_string(), "-2");
        assert_eq!(Change::between(low, low).to_string(), "0");
    }
}
