//! The suite as a page of the documentation.

use std::fmt::Write as _;

use super::{Arena, AttackReport, Outcome, Side, by_kind};
use crate::amount::exact;

/// Where the attacks' tests are, seen from the page.
const TESTS: &str = "../crates/sim/tests/attacks.rs";

/// The page `docs/attacks.md`.
pub fn page(arena: &Arena, reports: &[AttackReport]) -> String {
    let assumed = arena.assumed();
    let params = arena.solved();
    let mut page = String::from(
        "# Attacks, and what they bring\n\n\
         <!-- made by `gavel sim attacks --page docs/attacks.md`; a test holds it against the attacks -->\n\n\
         Every attack that networks of this kind are known to fall to, played against this one by roles with faults, through the real \
         contracts, under parameters that `gavel economics solve` finds; then again with the one thing weakened that stops it. ",
    );
    let _ = write!(
        page,
        "An attack holds its place here only if it loses money in the first case and makes some in the second.\n\n\
         A wrong result of the dearest task, of {} tokens, is taken to be worth {} to who makes it, whether or not it stands; an hour of a machine {}, a \
         million of gas {}. That makes audits of {:.2} % of the results, a stake of {}. **ring** is what the attackers have won or lost together, **others** everybody else, both \
         in tokens and on average over the cases, beside what they would have had without the attack. Where a number is weakened, the last column has what \
         the constructor of the parameters says to it; elsewhere it is a mechanism that was switched off. `gavel sim attacks griefing` shows every coin of one, `--json` every unit.\n\n",
        exact(assumed.price.0),
        exact(assumed.gain.0),
        exact(assumed.hour.0),
        exact(assumed.gas_price.0),
        f64::from(params.audit.ratePpm) / 1e4,
        exact(params.stake.minStake),
    );
    page.push_str("| attack | ring | others | weakened | ring then | the constructor |\n|---|---:|---:|---|---:|---|\n");
    for report in reports {
        let (solved, weakened) = (&report.solved, &report.weakened);
        let refused = match &weakened.refused {
            Some(error) => format!(
                "refuses it: `{}`",
                error.split('(').next().unwrap_or_default()
            ),
            None if weakened.is_parameter => "takes it".to_owned(),
            None => String::new(),
        };
        let _ = writeln!(
            page,
            "| [`{0}`](#{0}) | {1} | {2} | {3} | {4} | {refused} |",
            report.attack,
            solved.attacker,
            solved.victims,
            weakened.what,
            weakened.outcome.attacker,
        );
    }
    for report in reports {
        let _ = write!(
            page,
            "\n## {0}\nAgainst it: {1}. Test: [`{0}`]({TESTS}).\n\n{2} Stopped by: {3}.\n",
            report.attack, report.row, report.played, report.stopped_by
        );
        for evidence in &report.evidence {
            let _ = writeln!(page, "Seen: {evidence}.");
        }
        page.push('\n');
        page.push_str("| case | chance | ring | others |\n|---|---:|---|---|\n");
        rows(&mut page, "solved", &report.solved);
        rows(&mut page, "weakened", &report.weakened.outcome);
    }
    page
}

fn rows(page: &mut String, kind: &str, outcome: &Outcome) {
    for branch in &outcome.branches {
        let side = |side| {
            let kinds = by_kind(branch, side).into_iter();
            let kinds: Vec<String> = kinds.map(|(what, sum)| format!("{what} {sum}")).collect();
            kinds.join("; ")
        };
        let _ = writeln!(
            page,
            "| {kind}: {} | {:.2} % | {} | {} |",
            branch.case,
            branch.chance * 100.0,
            side(Side::Attacker),
            side(Side::Victim),
        );
    }
}
