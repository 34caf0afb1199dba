//! Amounts of tokens as people write and read them.

use crate::network::TOKEN;

/// Decimals of a token.
const DECIMALS: usize = 18;

/// Units of the asset in an amount of tokens: digits, and up to 18 behind a point.
pub(crate) fn parse(text: &str) -> Result<u128, String> {
    let wrong = || format!("expected tokens such as 250 or 0.5, found {text:?}");
    let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(rest) || rest.len() > DECIMALS {
        return Err(wrong());
    }
    let whole: u128 = whole.parse().map_err(|_| wrong())?;
    let rest: u128 = format!("{rest:0<DECIMALS$}").parse().map_err(|_| wrong())?;
    (whole.checked_mul(TOKEN))
        .and_then(|units| units.checked_add(rest))
        .filter(|&units| units < 1 << 96)
        .ok_or_else(|| format!("{text} tokens are more than there can be"))
}

/// An amount for people, in tokens.
pub(crate) fn tokens(units: u128) -> String {
    let (whole, rest) = (units / TOKEN, units % TOKEN);
    let text = format!("{whole}.{:04}", rest / (TOKEN / 10_000));
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_told_in_tokens() {
        for (units, text) in [
            (0, "0"),
            (TOKEN, "1"),
            (10 * TOKEN, "10"),
            (TOKEN * 5 / 4, "1.25"),
            (TOKEN / 10_000, "0.0001"),
        ] {
            assert_eq!(tokens(units), text);
            assert_eq!(parse(text), Ok(units));
        }
        assert_eq!(parse("0.000000000000000001"), Ok(1));
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "1e3",
            "1,5",
            "0.0000000000000000001",
            "1.2.3",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        // 2^96 units are one more than the contracts count
        assert!(parse("79228162514").is_ok());
        assert!(parse("79228162515").is_err());
        assert!(parse(&"9".repeat(60)).is_err());
    }
}
