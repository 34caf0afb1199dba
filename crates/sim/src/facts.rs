//! What the guarantees say about a world, from its report.

use crate::{BalanceReport, Facts, PartyFacts, SlashReport, TaskReport};

/// The guarantees' numbers. `spent` is what the requester paid on purpose: results and audits.
pub(crate) fn facts(
    parties: &[PartyFacts],
    tasks: &[TaskReport],
    slashes: &[SlashReport],
    balances: &[BalanceReport],
    spent: u128,
) -> Facts {
    let honest = || parties.iter().filter(|p| p.faults.is_empty());
    let lost_stake = |party: &&PartyFacts| slashes.iter().any(|s| s.party == party.name);
    let slashed: Vec<String> = honest()
        .filter(lost_stake)
        .map(|p| p.name.clone())
        .collect();
    let poorer = |party: &&PartyFacts| {
        let allowed = if party.role == "requester" { spent } else { 0 };
        balances
            .iter()
            .filter(|b| b.party == party.name)
            .any(|b| b.after.total().0 + allowed < b.before.total().0)
    };
    let poorer: Vec<String> = honest().filter(poorer).map(|p| p.name.clone()).collect();
    let attempts = || tasks.iter().flat_map(|task| &task.attempts);
    let wrong = || attempts().filter(|a| a.honest_trace == Some(false));
    Facts {
        honest_slashed: slashed.len() as u32,
        honest_slashed_names: slashed,
        wrong_settled: wrong().filter(|a| a.outcome == "settled").count() as u32,
        honest_poorer: poorer.len() as u32,
        honest_poorer_names: poorer,
        wrong_committed: wrong().count() as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Amount, AttemptReport, Change, Fault, Holdings};

    fn party(name: &str, role: &str, faults: Vec<Fault>) -> PartyFacts {
        PartyFacts {
            name: name.to_owned(),
            role: role.to_owned(),
            address: String::new(),
            faults,
        }
    }

    fn slash(party: &str) -> SlashReport {
        SlashReport {
            party: party.to_owned(),
            task: None,
            kind: "liveness".to_owned(),
            amount: Amount(1),
            split: Vec::new(),
            tombstoned: false,
            at: 0,
        }
    }

    fn balance(party: &str, before: u128, after: u128) -> BalanceReport {
        let wallet = |units| Holdings {
            wallet: Amount(units),
            ..Holdings::default()
        };
        BalanceReport {
            party: party.to_owned(),
            role: String::new(),
            before: wallet(before),
            after: wallet(after),
            change: Change(0),
            tombstoned: false,
        }
    }

    #[test]
    fn only_the_honest_are_protected_and_a_price_is_no_loss() {
        let parties = [
            party("Ada", "provider", vec![]),
            party("Mallory", "provider", vec![Fault::Weight]),
            party("Rosa", "requester", vec![]),
        ];
        let balances = |rosa| {
            [
                balance("Ada", 5, 4),
                balance("Mallory", 5, 0),
                balance("Rosa", 9, rosa),
            ]
        };
        let slashes = [slash("Mallory"), slash("Ada")];
        let found = facts(&parties, &[], &slashes, &balances(7), 2);
        assert_eq!(found.honest_slashed_names, ["Ada"]);
        assert_eq!(found.honest_poorer_names, ["Ada"]);
        let found = facts(&parties, &[], &[], &balances(6), 2);
        assert_eq!(found.honest_poorer_names, ["Ada", "Rosa"]);
    }

    #[test]
    fn a_wrong_result_counts_when_it_settles() {
        let attempt = |honest, outcome: &str| AttemptReport {
            attempt: 0,
            provider: None,
            price: None,
            min_price: Amount(0),
            max_price: Amount(0),
            prediction: None,
            honest_trace: Some(honest),
            outcome: outcome.to_owned(),
        };
        let task = |attempts| TaskReport {
            id: 1,
            input: String::new(),
            prediction: None,
            expected: None,
            state: String::new(),
            attempts,
            paid: Amount(0),
            refund: Amount(0),
        };
        let good = task(vec![attempt(false, "guilty"), attempt(true, "settled")]);
        let found = facts(&[], &[good], &[], &[], 0);
        assert_eq!((found.wrong_committed, found.wrong_settled), (1, 0));
        let bad = task(vec![attempt(false, "settled")]);
        assert_eq!(facts(&[], &[bad], &[], &[], 0).wrong_settled, 1);
    }
}
