//! Names for people in the arena.

use crate::fault::FaultKind;

/// Who asks.
pub const REQUESTER: &str = "Rosa";
/// Who watches.
pub const WATCHERS: [&str; 3] = ["Wanda", "Walt", "Wilma"];
/// Who sends the calls that are open to everybody.
pub const KEEPER: &str = "Kit";
/// Who deployed the contracts.
pub const DEPLOYER: &str = "Deployer";

const HONEST: [&str; 32] = [
    "Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Iris", "Jan", "Kira", "Leo", "Mia",
    "Olga", "Pia", "Quin", "Rhea", "Sam", "Tess", "Uma", "Vik", "Xena", "Yara", "Zoe", "Abel",
    "Bea", "Carl", "Dora", "Emil", "Fay", "Gus", "Hana",
];

/// Name of the `index`-th honest provider.
pub fn honest(index: usize) -> String {
    numbered(&HONEST, index)
}

/// Name of the `index`-th party with this fault.
pub fn liar(fault: FaultKind, index: usize) -> String {
    match fault {
        FaultKind::Weight => numbered(&["Mallory", "Mordred", "Morgana"], index),
        FaultKind::OneUlp => numbered(&["Ulf", "Ursula"], index),
        FaultKind::SmallerModel => numbered(&["Tiny", "Tim"], index),
        FaultKind::WrongTrace => numbered(&["Faker", "Fiona"], index),
        FaultKind::NoResult => numbered(&["Noah", "Nora"], index),
        FaultKind::Withhold => numbered(&["Mute", "Mona"], index),
        FaultKind::FalseChallenge => numbered(&["Fergus", "Frida"], index),
        FaultKind::LyingReferee => numbered(&["Loki", "Lara"], index),
        FaultKind::LazyAuditor => numbered(&["Lazar", "Lotte"], index),
        FaultKind::SockPuppet => numbered(&["Sid", "Sally"], index),
    }
}

fn numbered(names: &[&str], index: usize) -> String {
    match names.get(index) {
        Some(name) => (*name).to_owned(),
        None => format!("{}-{}", names[index % names.len()], index / names.len() + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn nobody_shares_a_name() {
        let mut names: Vec<String> = (0..70).map(honest).collect();
        for fault in FaultKind::ALL {
            names.extend((0..5).map(|i| liar(fault, i)));
        }
        names.extend(WATCHERS.map(str::to_owned));
        names.extend([REQUESTER, KEEPER, DEPLOYER].map(str::to_owned));
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }
}
