//! The values that a family's open dimensions take.

use std::collections::BTreeMap;
use std::fmt;

use super::MAX_BINDINGS;
use crate::ModelError;

/// Most dimensions of a domain.
const MAX_DIMENSIONS: usize = 16;
/// Longest name of a dimension, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// An open dimension with the extents that it takes: `low`, `low + step`, and so on, not above `high`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dimension {
    /// Its name in the file.
    pub name: String,
    /// Smallest extent.
    pub low: u64,
    /// Largest extent.
    pub high: u64,
    /// From one to the next.
    pub step: u64,
}

impl Dimension {
    /// Number of extents.
    fn len(&self) -> u64 {
        (self.high - self.low) / self.step + 1
    }

    fn position(&self, extent: u64) -> Option<u64> {
        let above = extent.checked_sub(self.low)?;
        (extent <= self.high && above.is_multiple_of(self.step)).then(|| above / self.step)
    }

    /// `LOW`, `LOW..HIGH` or `LOW..HIGH/STEP`.
    fn parse(name: &str, values: &str) -> Result<Dimension, ModelError> {
        let fail = |reason: String| domain_error(name, reason);
        let number = |text: &str| {
            let expected = "expected NAME=EXTENT, NAME=LOW..HIGH or NAME=LOW..HIGH/STEP";
            let number = text.parse::<u64>().ok();
            number.ok_or_else(|| fail(format!("{expected}, found {name}={values}")))
        };
        let (low, high, step) = match values.split_once("..") {
            None => (number(values)?, number(values)?, 1),
            Some((low, rest)) => match rest.split_once('/') {
                None => (number(low)?, number(rest)?, 1),
                Some((high, step)) => (number(low)?, number(high)?, number(step)?),
            },
        };
        if low == 0 || step == 0 || high < low {
            return Err(fail(format!(
                "low and step are at least 1 and high is not below low, found {values}"
            )));
        }
        // so that the same extents have one spelling
        let high = high - (high - low) % step;
        let step = if high == low { 1 } else { step };
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(fail(format!("a name has 1 to {MAX_NAME_BYTES} bytes")));
        }
        Ok(Dimension {
            name: name.to_owned(),
            low,
            high,
            step,
        })
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.low)?;
        if self.high != self.low {
            write!(f, "..{}", self.high)?;
        }
        if self.step != 1 {
            write!(f, "/{}", self.step)?;
        }
        Ok(())
    }
}

/// Dimensions by name; the bindings are their combinations, the last dimension's extents next to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain(Vec<Dimension>);

impl Domain {
    /// `seq=1..512`, `batch=1..8,seq=16..512/16`; the order in which the dimensions are named means nothing.
    ///
    /// # Errors
    /// Another spelling, a name twice, more than [`MAX_BINDINGS`] combinations.
    pub fn parse(text: &str) -> Result<Domain, ModelError> {
        let mut dimensions = text
            .split(',')
            .map(|one| match one.split_once('=') {
                Some((name, values)) => Dimension::parse(name, values),
                None => Dimension::parse(one, ""),
            })
            .collect::<Result<Vec<_>, _>>()?;
        dimensions.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = dimensions.windows(2).find(|p| p[0].name == p[1].name) {
            return Err(domain_error(&pair[0].name, "it is named twice".into()));
        }
        if dimensions.len() > MAX_DIMENSIONS {
            let found = dimensions.len();
            return Err(ModelError::File(format!(
                "a domain has at most {MAX_DIMENSIONS} dimensions, found {found}"
            )));
        }
        let count = dimensions
            .iter()
            .fold(1u64, |n, d| n.saturating_mul(d.len()));
        if count > u64::from(MAX_BINDINGS) {
            return Err(ModelError::File(format!(
                "{text} has {count} bindings, a family has at most {MAX_BINDINGS}; a step takes fewer: NAME=LOW..HIGH/STEP"
            )));
        }
        Ok(Domain(dimensions))
    }

    /// The dimensions, by name.
    pub fn dimensions(&self) -> &[Dimension] {
        &self.0
    }

    /// Number of bindings.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|d| d.len() as u32).product()
    }

    /// Extents of a binding, by name; of the largest one for an index beyond the last.
    pub fn extents(&self, index: u32) -> BTreeMap<String, u64> {
        let mut rest = u64::from(index.min(self.count() - 1));
        let mut extents = BTreeMap::new();
        for d in self.0.iter().rev() {
            extents.insert(d.name.clone(), d.low + rest % d.len() * d.step);
            rest /= d.len();
        }
        extents
    }

    /// The binding with these extents. A dimension that is not among them takes its only value.
    ///
    /// # Errors
    /// An extent outside of the domain, or one that is missing.
    pub fn index_of(&self, extents: &BTreeMap<String, u64>) -> Result<u32, ModelError> {
        self.0
            .iter()
            .try_fold(0u64, |index, d| {
                let position = match extents.get(&d.name) {
                    Some(&extent) => d.position(extent).ok_or_else(|| {
                        domain_error(&d.name, format!("{extent} is outside of the family's {d}"))
                    })?,
                    None if d.len() == 1 => 0,
                    None => {
                        let reason = format!("no input says which of the family's {d} it is");
                        return Err(domain_error(&d.name, reason));
                    }
                };
                Ok(index * d.len() + position)
            })
            .map(|index| index as u32)
    }

    /// `dims:u8 || (length:u8 || name || low:u64 || high:u64 || step:u64)*`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.0.len() as u8];
        for d in &self.0 {
            out.push(d.name.len() as u8);
            out.extend(d.name.as_bytes());
            for word in [d.low, d.high, d.step] {
                out.extend(word.to_be_bytes());
            }
        }
        out
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.0.iter().enumerate() {
            write!(f, "{}{d}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

pub(super) fn domain_error(name: &str, reason: String) -> ModelError {
    ModelError::Boundary {
        what: "dimension",
        name: name.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_are_numbered_row_by_row_and_found_again() {
        let domain = Domain::parse("seq=16..70/16,batch=1..3").unwrap();
        assert_eq!(domain.to_string(), "batch=1..3,seq=16..64/16");
        assert_eq!(domain, Domain::parse("batch=1..3,seq=16..64/16").unwrap());
        assert_eq!(domain.count(), 12);
        for index in 0..12 {
            let extents = domain.extents(index);
            assert_eq!(extents["batch"], 1 + u64::from(index / 4));
            assert_eq!(extents["seq"], 16 * (1 + u64::from(index % 4)));
            assert_eq!(domain.index_of(&extents).unwrap(), index);
        }
        assert_eq!(domain.encode().len(), 1 + (1 + 5 + 24) + (1 + 3 + 24));
        let one = Domain::parse("a=7,b=9..9/4").unwrap();
        assert_eq!((one.to_string().as_str(), one.count()), ("a=7,b=9", 1));
        assert_eq!(one.index_of(&BTreeMap::new()).unwrap(), 0);
    }

    #[test]
    fn what_is_outside_says_what_is_inside() {
        let domain = Domain::parse("seq=16..512/16").unwrap();
        for extent in [0, 15, 17, 528] {
            let found = domain.index_of(&BTreeMap::from([("seq".to_owned(), extent)]));
            let text = found.unwrap_err().to_string();
            assert!(text.contains(&format!(
                "{extent} is outside of the family's seq=16..512/16"
            )));
        }
        let missing = domain.index_of(&BTreeMap::new()).unwrap_err().to_string();
        assert!(missing.contains("no input says"), "{missing}");
    }

    #[test]
    fn other_spellings_and_large_domains_are_refused() {
        for bad in [
            "",
            "seq",
            "seq=",
            "=1..2",
            "seq=0..4",
            "seq=4..3",
            "seq=1..9/0",
            "seq=-1",
            "seq=1..2,seq=3",
            "seq=1..4097",
            "a=1..64,b=1..65",
            "a=1..18446744073709551615",
        ] {
            assert!(Domain::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(
            Domain::parse("a=1..64,b=1..64").unwrap().count(),
            MAX_BINDINGS
        );
        let long = format!("{}=1..2", "n".repeat(256));
        assert!(Domain::parse(&long).is_err());
        let many: Vec<String> = (0..17).map(|i| format!("d{i}=1")).collect();
        assert!(Domain::parse(&many.join(",")).is_err());
    }
}
