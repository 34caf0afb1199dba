//! What each kind of agent earned, by where it came from.

use serde::Serialize;

use crate::ledger::{Account, Reason};

/// Money of one kind of agent. In units of the asset; what was lost is below nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payoff {
    /// Tasks worked.
    pub tasks: u64,
    /// Of these, wrong ones.
    pub wrong: u64,
    /// Wrong ones that cost their provider its place.
    pub caught: u64,
    /// Audits that were due.
    pub audits: u64,
    /// Of these, traps that it found.
    pub found: u64,
    /// Traps that it let pass.
    pub passed: u64,
    /// False challenges.
    pub challenges: u64,
    /// Names that it had beyond the first.
    pub names: u64,
    /// Prices of results.
    pub prices: i128,
    /// Registrations.
    pub levies: i128,
    /// Fees for audits and rulings.
    pub fees: i128,
    /// Shares of others' slashes, or of a friend's, and of deposits for traps.
    pub rewards: i128,
    /// Bonds won and lost.
    pub bonds: i128,
    /// Stake lost to verdicts.
    pub slashes: i128,
    /// Stake lost to neglect.
    pub penalties: i128,
    /// What running tasks cost.
    pub costs: i128,
    /// What running audits cost.
    pub checks: i128,
    /// Prices of traps that were found, which whoever set them makes good.
    pub hired: i128,
    /// What wrong results brought outside the protocol, the saved cost included.
    pub gains: i128,
    /// Time frozen under a false challenge, gas of defences, bought blocks.
    pub trouble: i128,
}

impl Payoff {
    /// All of it.
    pub fn total(&self) -> i128 {
        self.money() + self.costs + self.checks + self.hired + self.gains + self.trouble
    }

    /// What auditing and ruling brought, penalties and costs of audits included.
    pub fn duties(&self) -> i128 {
        self.fees + self.rewards + self.penalties + self.checks
    }

    /// What the contracts moved.
    pub fn money(&self) -> i128 {
        let paid = self.prices + self.fees + self.rewards + self.bonds;
        paid + self.levies + self.slashes + self.penalties
    }

    /// On average for a task worked.
    pub fn per_task(&self) -> f64 {
        self.total() as f64 / self.tasks.max(1) as f64
    }

    /// Adds what an account's books say.
    pub(super) fn add_account(&mut self, account: &Account) {
        self.prices += account.flow(Reason::Price);
        self.levies += account.flow(Reason::Levy);
        self.fees += account.flow(Reason::Fee);
        self.rewards += account.flow(Reason::Reward);
        self.bonds += account.flow(Reason::Bond);
        self.slashes += account.flow(Reason::Slash);
        self.penalties += account.flow(Reason::Penalty);
    }

    pub(super) fn join(&mut self, other: &Payoff) {
        self.tasks += other.tasks;
        self.wrong += other.wrong;
        self.caught += other.caught;
        self.audits += other.audits;
        self.found += other.found;
        self.passed += other.passed;
        self.challenges += other.challenges;
        self.names += other.names;
        self.prices += other.prices;
        self.levies += other.levies;
        self.fees += other.fees;
        self.rewards += other.rewards;
        self.bonds += other.bonds;
        self.slashes += other.slashes;
        self.penalties += other.penalties;
        self.costs += other.costs;
        self.checks += other.checks;
        self.hired += other.hired;
        self.gains += other.gains;
        self.trouble += other.trouble;
    }
}

/// A kind and what it earned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Earned {
    /// The kind's name.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// Its share of the providers.
    pub share: f64,
    /// Its money.
    pub payoff: Payoff,
}

/// Rounded to what is worth reading.
#[derive(Serialize)]
struct Shown {
    name: &'static str,
    about: &'static str,
    share: f64,
    tasks: u64,
    wrong: u64,
    caught: u64,
    audits: u64,
    challenges: u64,
    names: u64,
    per_task: f64,
}

impl Serialize for Earned {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let p = &self.payoff;
        let shown = Shown {
            name: self.name,
            about: self.about,
            share: self.share,
            tasks: p.tasks,
            wrong: p.wrong,
            caught: p.caught,
            audits: p.audits,
            challenges: p.challenges,
            names: p.names,
            per_task: p.per_task(),
        };
        shown.serialize(serializer)
    }
}
