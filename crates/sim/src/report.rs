//! What a run of the arena shows: one serialisable object with every fact, and the sums that must hold.

use std::collections::BTreeMap;

use gavel_explorer::words::Isolated as IsolatedReport;
use serde::Serialize;

use crate::amount::{Amount, Change};
use gavel_node::Fault;

/// Format of [`Report`] as JSON.
pub const REPORT_FORMAT: u32 = 1;

/// Everything that happened in one world.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`REPORT_FORMAT`].
    pub format: u32,
    /// What the world's randomness followed from.
    pub seed: u64,
    /// Who did what wrong.
    pub faults: Vec<Fault>,
    /// The model that was served.
    pub model: ModelFacts,
    /// Decimals of the asset: amounts are integers in units of 10^-decimals, as strings.
    pub decimals: u32,
    /// Everybody.
    pub parties: Vec<PartyFacts>,
    /// Tasks by id.
    pub tasks: Vec<TaskReport>,
    /// Every claim of every attempt, in order.
    pub claims: Vec<ClaimReport>,
    /// Disputes by id.
    pub disputes: Vec<DisputeReport>,
    /// Challenges that were committed, in order.
    pub challenges: Vec<ChallengeReport>,
    /// Audits that were decided, in order.
    pub audits: Vec<AuditReport>,
    /// Every loss of stake, in order.
    pub slashes: Vec<SlashReport>,
    /// What each party had before the first task and after the last verdict.
    pub balances: Vec<BalanceReport>,
    /// The same for the system as a whole.
    pub ledger: LedgerReport,
    /// Burned in total.
    pub burned: Amount,
    /// Nothing was made and nothing lost: to the unit.
    pub conserved: bool,
    /// Gas by action.
    pub gas: BTreeMap<String, GasReport>,
    /// What the guarantees say about this world.
    pub facts: Facts,
    /// Errors that roles reported and that the next tick healed.
    pub role_errors: Vec<String>,
    /// Rounds of the scheduler.
    pub rounds: u32,
    /// Transactions.
    pub transactions: u32,
    /// Roles that were dropped and rebuilt from nothing.
    pub restarts: u32,
    /// Times that the newest blocks left the chain.
    pub reorgs: u32,
    /// How long it took in the world's time.
    pub virtual_seconds: u64,
    /// Every task final and every dispute closed.
    pub finished: bool,
    /// Whether somebody honest re-executed every result: only then is it promised that nothing wrong settles.
    #[serde(skip)]
    pub watched: bool,
}

/// The model that the arena serves.
#[derive(Clone, Debug, Serialize)]
pub struct ModelFacts {
    /// Its name.
    pub name: String,
    /// Its identity, in hex.
    pub model_id: String,
    /// Operators of its step graph.
    pub operators: u32,
    /// Commit points of a step.
    pub commit_points: u32,
    /// Most steps of a run.
    pub max_steps: u32,
}

/// Somebody in the arena.
#[derive(Clone, Debug, Serialize)]
pub struct PartyFacts {
    /// Name.
    pub name: String,
    /// What it is: "requester", "provider", "watcher", "keeper".
    pub role: String,
    /// Account.
    pub address: String,
    /// What it does wrong; empty for the honest.
    pub faults: Vec<Fault>,
}

/// A task and all its attempts.
#[derive(Clone, Debug, Serialize)]
pub struct TaskReport {
    /// Id.
    pub id: u64,
    /// Picture or input.
    pub input: String,
    /// Label that the accepted output names; none while nothing was accepted.
    pub prediction: Option<String>,
    /// Label that is known to be right.
    pub expected: Option<String>,
    /// Where it ended.
    pub state: String,
    /// Attempts in order.
    pub attempts: Vec<AttemptReport>,
    /// What the requester paid for the result.
    pub paid: Amount,
    /// What went back to the requester.
    pub refund: Amount,
}

/// One way through the auction.
#[derive(Clone, Debug, Serialize)]
pub struct AttemptReport {
    /// From 0.
    pub attempt: u8,
    /// Who claimed it.
    pub provider: Option<String>,
    /// At which price.
    pub price: Option<Amount>,
    /// Price range of the auction.
    pub min_price: Amount,
    /// Price range of the auction.
    pub max_price: Amount,
    /// Label that the committed output names.
    pub prediction: Option<String>,
    /// Whether the committed trace is that of an honest run.
    pub honest_trace: Option<bool>,
    /// How it ended: "settled", "guilty", "reversed", "void", "deadline", "retract", "expired", "cancelled", or "open".
    pub outcome: String,
}

/// A won auction.
#[derive(Clone, Debug, Serialize)]
pub struct ClaimReport {
    /// Task.
    pub task: u64,
    /// Attempt, from 0.
    pub attempt: u8,
    /// Winner.
    pub provider: String,
    /// Price.
    pub price: Amount,
    /// Stake locked.
    pub collateral: Amount,
    /// Served before the normal lane.
    pub retry_lane: bool,
    /// Seconds since the world began.
    pub at: u64,
}

/// A challenge that was committed.
#[derive(Clone, Debug, Serialize)]
pub struct ChallengeReport {
    /// Task.
    pub task: u64,
    /// Who.
    pub challenger: String,
    /// Bond.
    pub bond: Amount,
    /// Seconds since the world began.
    pub at: u64,
    /// Dispute that its reveal opened.
    pub dispute: Option<u64>,
}

/// One transaction in a dispute.
#[derive(Clone, Debug, Serialize)]
pub struct MoveReport {
    /// Who.
    pub who: String,
    /// The contract's name for it.
    pub call: String,
    /// Sentence without its subject.
    pub what: String,
    /// Gas.
    pub gas: u64,
    /// Seconds since the world began.
    pub at: u64,
}

/// A referee's ruling.
#[derive(Clone, Debug, Serialize)]
pub struct RulingReport {
    /// Who ruled.
    pub referee: String,
    /// How.
    pub guilty: bool,
    /// Seconds since the world began.
    pub at: u64,
}

/// A dispute from its opening to its end.
#[derive(Clone, Debug, Serialize)]
pub struct DisputeReport {
    /// Id.
    pub id: u64,
    /// Task.
    pub task: u64,
    /// Attempt.
    pub attempt: u8,
    /// Whose result.
    pub provider: String,
    /// Who challenged.
    pub challenger: String,
    /// Opened by a random audit.
    pub by_audit: bool,
    /// Every transaction, in order.
    pub moves: Vec<MoveReport>,
    /// Rounds of reveal and pick.
    pub rounds: u32,
    /// Where the game ended, if it got there.
    pub isolated: Option<IsolatedReport>,
    /// Referees drawn, in order.
    pub referees: Vec<String>,
    /// The last ruling.
    pub ruling: Option<RulingReport>,
    /// Who appealed.
    pub appeal: Option<String>,
    /// Rounds of reveal and pick below the operator.
    pub appeal_rounds: u32,
    /// The executed step that decided, in words.
    pub step: Option<String>,
    /// "guilty", "cleared", "void", or "open".
    pub verdict: String,
    /// What the contract says why.
    pub reason: String,
    /// Gas of all its moves.
    pub gas: u64,
    /// Seconds since the world began.
    pub opened_at: u64,
    /// Seconds since the world began.
    pub closed_at: Option<u64>,
}

/// A random audit.
#[derive(Clone, Debug, Serialize)]
pub struct AuditReport {
    /// Task.
    pub task: u64,
    /// Attempt.
    pub attempt: u8,
    /// Whether the beacon selected it.
    pub selected: bool,
    /// Auditors drawn, in order.
    pub auditors: Vec<String>,
    /// "not drawn", "matched", "mismatched", "failed", "waived", or "open".
    pub outcome: String,
    /// Dispute that a mismatch opened.
    pub dispute: Option<u64>,
}

/// Where a part of a slash went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShareReport {
    /// Party, "burned", or "task N" for the raised ceiling.
    pub to: String,
    /// As what: the contract's word.
    pub what: String,
    /// How much.
    pub amount: Amount,
}

/// A loss of stake.
#[derive(Clone, Debug, Serialize)]
pub struct SlashReport {
    /// Who lost it.
    pub party: String,
    /// For which task; none for a missed duty.
    pub task: Option<u64>,
    /// "safety" or "liveness".
    pub kind: String,
    /// How much.
    pub amount: Amount,
    /// Every coin of it.
    pub split: Vec<ShareReport>,
    /// Removed for ever with it.
    pub tombstoned: bool,
    /// Seconds since the world began.
    pub at: u64,
}

/// What somebody owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Holdings {
    /// In the wallet.
    pub wallet: Amount,
    /// To be withdrawn from the vault.
    pub credit: Amount,
    /// Free stake.
    pub free: Amount,
    /// Collateral of tasks.
    pub locked: Amount,
    /// Stake on its way out.
    pub unbonding: Amount,
}

impl Holdings {
    /// Stake in all its forms.
    pub fn stake(&self) -> Amount {
        Amount(self.free.0 + self.locked.0 + self.unbonding.0)
    }

    /// All of it.
    pub fn total(&self) -> Amount {
        Amount(self.wallet.0 + self.credit.0 + self.stake().0)
    }
}

/// One party before and after.
#[derive(Clone, Debug, Serialize)]
pub struct BalanceReport {
    /// Who.
    pub party: String,
    /// What it is.
    pub role: String,
    /// Before the first task.
    pub before: Holdings,
    /// After the last verdict.
    pub after: Holdings,
    /// All of it together.
    pub change: Change,
    /// Barred for ever.
    pub tombstoned: bool,
}

/// Every coin of the system by where it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Books {
    /// In everybody's wallets.
    pub wallets: Amount,
    /// Stake of every provider.
    pub stakes: Amount,
    /// Credits in the vault.
    pub credits: Amount,
    /// Pots of tasks: escrow, levies, top-ups.
    pub escrow: Amount,
    /// Pots of challenges, disputes and appeals.
    pub bonds: Amount,
    /// The audit pool.
    pub audit_pool: Amount,
    /// Burned.
    pub burned: Amount,
    /// What the vault holds, as the token says.
    pub vault: Amount,
    /// The token's total supply.
    pub supply: Amount,
}

impl Books {
    /// What the vault should hold: every bucket that lives in it.
    pub fn owed(&self) -> Amount {
        Amount(
            self.stakes.0
                + self.credits.0
                + self.escrow.0
                + self.bonds.0
                + self.audit_pool.0
                + self.burned.0,
        )
    }

    /// The vault holds exactly what its books say, and wallets and vault are the whole supply.
    pub fn balance(&self) -> bool {
        self.owed() == self.vault && self.wallets.0 + self.vault.0 == self.supply.0
    }
}

/// The books before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerReport {
    /// Before the first task.
    pub before: Books,
    /// After the last verdict.
    pub after: Books,
}

impl LedgerReport {
    /// Both books balance and no coin was made or lost between them.
    pub fn conserved(&self) -> bool {
        self.before.balance() && self.after.balance() && self.before.supply == self.after.supply
    }
}

/// Gas of one action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GasReport {
    /// How often.
    pub count: u32,
    /// Least.
    pub min: u64,
    /// Most.
    pub max: u64,
    /// Sum.
    pub total: u64,
}

impl GasReport {
    /// Counts one more.
    pub fn add(&mut self, gas: u64) {
        self.min = if self.count == 0 {
            gas
        } else {
            self.min.min(gas)
        };
        self.max = self.max.max(gas);
        self.count += 1;
        self.total += gas;
    }
}

/// The guarantees, as numbers that should be 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Facts {
    /// Honest parties that lost stake.
    pub honest_slashed: u32,
    /// Who they are.
    pub honest_slashed_names: Vec<String>,
    /// Settled tasks whose trace is not that of an honest run.
    pub wrong_settled: u32,
    /// Honest challengers that did not get their bond back, and honest parties that lost money otherwise.
    pub honest_poorer: u32,
    /// Who they are.
    pub honest_poorer_names: Vec<String>,
    /// Results that were wrong when committed.
    pub wrong_committed: u32,
}

impl Report {
    /// Whether every guarantee held in this world.
    pub fn holds(&self) -> bool {
        self.broken_guarantees().is_empty()
    }

    /// What did not hold, for people; empty when everything [`holds`](Self::holds).
    pub fn broken_guarantees(&self) -> Vec<String> {
        let facts = &self.facts;
        let mut why = Vec::new();
        if !self.conserved {
            why.push("coins were made or lost".to_owned());
        }
        if !self.finished {
            why.push("something was still open at the end".to_owned());
        }
        if facts.honest_slashed > 0 {
            let who = facts.honest_slashed_names.join(", ");
            why.push(format!("honest parties lost stake: {who}"));
        }
        if self.watched && facts.wrong_settled > 0 {
            why.push(format!(
                "wrong results that settled: {}",
                facts.wrong_settled
            ));
        }
        if facts.honest_poorer > 0 {
            let who = facts.honest_poorer_names.join(", ");
            why.push(format!("honest parties lost money: {who}"));
        }
        why
    }

    /// Whether the beacon drew an audit of any wrong result that settled.
    pub fn drew_wrong_settled(&self) -> bool {
        let drawn = |task, attempt| {
            let mut audits = self.audits.iter();
            audits.any(|a| (a.task, a.attempt, a.selected) == (task, attempt, true))
        };
        self.tasks.iter().any(|task| {
            let mut settled = task.attempts.iter().filter(|a| a.outcome == "settled");
            settled.any(|a| a.honest_trace == Some(false) && drawn(task.id, a.attempt))
        })
    }

    /// Balances of a party.
    pub fn balance(&self, name: &str) -> Option<&BalanceReport> {
        self.balances.iter().find(|b| b.party == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books() -> Books {
        Books {
            wallets: Amount(40),
            stakes: Amount(30),
            credits: Amount(10),
            escrow: Amount(5),
            bonds: Amount(4),
            audit_pool: Amount(3),
            burned: Amount(8),
            vault: Amount(60),
            supply: Amount(100),
        }
    }

    #[test]
    fn one_unit_astray_breaks_the_books() {
        let before = books();
        let ledger = LedgerReport {
            before,
            after: before,
        };
        assert!(ledger.conserved());
        for astray in [
            Books {
                burned: Amount(9),
                ..before
            },
            Books {
                vault: Amount(61),
                ..before
            },
            Books {
                wallets: Amount(39),
                ..before
            },
        ] {
            assert!(
                !LedgerReport {
                    before,
                    after: astray
                }
                .conserved()
            );
        }
        let printed = Books {
            wallets: Amount(41),
            supply: Amount(101),
            ..before
        };
        assert!(printed.balance());
        assert!(
            !LedgerReport {
                before,
                after: printed
            }
            .conserved()
        );
    }

    #[test]
    fn gas_keeps_its_extremes() {
        let mut gas = GasReport::default();
        for used in [70, 50, 90] {
            gas.add(used);
        }
        assert_eq!(
            gas,
            GasReport {
                count: 3,
                min: 50,
                max: 90,
                total: 210
            }
        );
    }
}
