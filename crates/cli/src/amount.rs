//! Amounts of tokens on the command line.

use gavel_settlement::amount::{Amount, parse as units};

/// Units of the asset in an amount of tokens; the contracts count them in 96 bits.
pub(crate) fn parse(text: &str) -> Result<u128, String> {
    match units(text)? {
        units if units < 1 << 96 => Ok(units),
        _ => Err(format!("{text} tokens are more than there can be")),
    }
}

/// An amount for people, in tokens.
pub(crate) fn tokens(units: u128) -> String {
    Amount(units).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_amount_is_more_than_the_contracts_count() {
        // 2^96 units are between the two
        assert!(parse("79228162514").is_ok());
        assert!(parse("79228162515").is_err());
        assert!(parse("no amount").is_err());
    }
}
