//! Names for people in the arena.

use gavel_node::Fault;

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
pub fn liar(fault: Fault, index: usize) -> String {
    match fault {
        Fault::Weight => numbered(&["Mallory", "Mordred", "Morgana"], index),
        Fault::OneUlp => numbered(&["Ulf", "Ursula"], index),
        Fault::SmallerModel => numbered(&["Tiny", "Tim"], index),
        Fault::WrongTrace => numbered(&["Faker", "Fiona"], index),
        Fault::NoResult => numbered(&["Noah", "Nora"], index),
        Fault::Withhold => numbered(&["Mute", "Mona"], index),
        Fault::FalseChallenge => numbered(&["Fergus", "Frida"], index),
        Fault::LyingReferee => numbered(&["Loki", "Lara"], index),
        Fault::LazyAuditor => numbered(&["Lazar", "Lotte"], index),
        Fault::SockPuppet => numbered(&["Sid", "Sally"], index),
        Fault::CheaperQuantisation => numbered(&["Quentin", "Quilla"], index),
        Fault::ChangedToken => numbered(&["Tamsin", "Toby"], index),
        Fault::SkippedSteps => numbered(&["Skip", "Skye"], index),
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
        for fault in Fault::ALL {
            names.extend((0..5).map(|i| liar(fault, i)));
        }
        names.extend(WATCHERS.map(str::to_owned));
        names.extend([REQUESTER, KEEPER, DEPLOYER].map(str::to_owned));
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    }
}
