//! Whose move it is, and how long they have.

use gavel_dispute::Side;
use gavel_node::board::{Dispute, DisputeEntry, DisputeState};
use gavel_settlement::bindings::AppealPhase;
use serde_json::{Value, json};

use super::View;
use crate::index::{DisputeTale, Level};

/// Whose turn it is, as it is told.
struct Turn {
    whose: &'static str,
    party: Option<gavel_node::Address>,
    owes: &'static str,
    text: String,
    since: u64,
    deadline: Option<u64>,
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Provider => "provider",
        Side::Challenger => "challenger",
    }
}

/// What a phase of an appeal waits for: its name, and the end of a sentence that begins with who is to move.
pub(super) fn phase(phase: AppealPhase) -> (&'static str, &'static str) {
    match phase {
        AppealPhase::None => ("none", "nothing to do"),
        AppealPhase::Slot => ("slot", "to show what the live slot copies"),
        AppealPhase::Tensor => ("tensor", "to open the output that it stands by"),
        AppealPhase::Row => ("row", "to open the next digests of that output"),
        AppealPhase::PickChunk => (
            "pick_chunk",
            "to name the first part of the output that it disagrees with",
        ),
        AppealPhase::Chunk => ("chunk", "to show the numbers of that part"),
        AppealPhase::PickElement => (
            "pick_element",
            "to name the first number that it disagrees with",
        ),
        AppealPhase::States => (
            "states",
            "to give states of the run that leads to that number",
        ),
        AppealPhase::PickState => (
            "pick_state",
            "to name the first state that it disagrees with",
        ),
        AppealPhase::Step => ("step", "to have the contract execute the step that remains"),
        AppealPhase::Ended => ("ended", "nothing to do"),
    }
}

impl View<'_> {
    /// `null` when a dispute is closed.
    pub(super) fn turn(&self, id: u64, entry: &DisputeEntry, tale: &DisputeTale) -> Value {
        let board = self.board();
        if entry.dispute.state.is_final() {
            return Value::Null;
        }
        let turn = match board.is_moot(&entry.dispute) {
            true => Turn {
                whose: "anyone",
                party: None,
                owes: "finalize",
                text: "another verdict has ended the attempt: anybody may close the dispute"
                    .to_owned(),
                since: entry.dispute.turn_started_at,
                deadline: None,
            },
            false => self.standing_turn(id, entry, tale),
        };
        json!({
            "whose": turn.whose, "party": turn.party.map(|who| self.party(&who)), "owes": turn.owes,
            "text": turn.text, "since": turn.since, "deadline": turn.deadline,
        })
    }

    fn standing_turn(&self, id: u64, entry: &DisputeEntry, tale: &DisputeTale) -> Turn {
        let d = &entry.dispute;
        let rules = self.board().rules_of(d.task).map(|rules| &rules.court);
        match d.state {
            DisputeState::Level1 | DisputeState::SegmentWanted | DisputeState::Level2 => {
                self.game_turn(d, tale)
            }
            DisputeState::Isolated => {
                let round = self.board().beacon.round_after(d.isolated_at);
                let text = match self.board().beacon_value(round) {
                    Some(_) => "anybody may draw the referee now".to_owned(),
                    None => format!("the referee is drawn once round {round} of the beacon is out"),
                };
                Turn {
                    whose: "anyone",
                    party: None,
                    owes: "draw_referee",
                    text,
                    since: d.isolated_at,
                    deadline: None,
                }
            }
            DisputeState::Refereed => Turn {
                whose: "referee",
                party: Some(d.referee),
                owes: "rule",
                text: format!(
                    "{} is to compute the operator again and to rule; after that another one is drawn",
                    self.index().name(&d.referee)
                ),
                since: tale
                    .draws
                    .last()
                    .map_or(d.isolated_at, |draw| draw.drawn_at),
                deadline: Some(d.referee_deadline),
            },
            DisputeState::Ruled => {
                let loser = if d.ruled_guilty {
                    d.provider
                } else {
                    d.challenger
                };
                let until = d.ruled_at + u64::from(rules.map_or(0, |r| r.appeal_window));
                let open = self.board().now() <= until;
                let name = self.index().name(&loser);
                Turn {
                    whose: if open { "loser" } else { "anyone" },
                    party: open.then_some(loser),
                    owes: if open { "appeal_or_accept" } else { "finalize" },
                    text: match open {
                        true => {
                            format!("{name} may appeal; after that anybody may close the dispute")
                        }
                        false => format!("{name} has not appealed: anybody may close the dispute"),
                    },
                    since: d.ruled_at,
                    deadline: open.then_some(until),
                }
            }
            _ => self.appeal_turn(id, entry),
        }
    }

    fn game_turn(&self, d: &Dispute, tale: &DisputeTale) -> Turn {
        let (party, clock) = match d.turn {
            Side::Provider => (d.provider, d.provider_clock),
            Side::Challenger => (d.challenger, d.challenger_clock),
        };
        let name = self.index().name(&party);
        let things = match (d.state, tale.range.level) {
            (DisputeState::Level2, Level::Live) => "live tensor",
            (DisputeState::Level2, _) => "operator",
            _ => "commit point",
        };
        let (owes, text) = match (d.turn, d.state) {
            (Side::Provider, DisputeState::SegmentWanted) => (
                "post_segment",
                format!(
                    "{name} is to show the operators that lead to commit point {}",
                    tale.range.first
                ),
            ),
            (Side::Provider, _) => (
                "reveal_row",
                format!("{name} is to reveal the digests of the {things}s in dispute"),
            ),
            (Side::Challenger, _) => (
                "pick",
                format!("{name} is to name the first {things} that it disagrees with"),
            ),
        };
        Turn {
            whose: side(d.turn),
            party: Some(party),
            owes,
            text,
            since: d.turn_started_at,
            deadline: Some(d.turn_started_at + u64::from(clock)),
        }
    }

    fn appeal_turn(&self, id: u64, entry: &DisputeEntry) -> Turn {
        let anyone = |text: String| Turn {
            whose: "anyone",
            party: None,
            owes: "finalize",
            text,
            since: entry.dispute.appealed_at,
            deadline: None,
        };
        let Some(game) = &entry.appeal.game else {
            return anyone(format!("the appeal in dispute {id} begins"));
        };
        let (owes, what) = phase(game.phase);
        if matches!(game.phase, AppealPhase::None | AppealPhase::Ended) {
            return anyone("the appeal is decided: anybody may close the dispute".to_owned());
        }
        let (whose, party) = match game.turn {
            Side::Provider => ("defender", game.defender),
            Side::Challenger => ("accuser", game.accuser),
        };
        Turn {
            whose,
            party: Some(party),
            owes,
            text: format!("{} is {what}", self.index().name(&party)),
            since: game.turn_started_at,
            deadline: Some(game.deadline()),
        }
    }

    /// Both clocks, and which of them runs.
    pub(super) fn clocks(&self, entry: &DisputeEntry) -> Value {
        let d = &entry.dispute;
        let rules = self.board().rules_of(d.task).map(|rules| &rules.court);
        let in_game = matches!(
            d.state,
            DisputeState::Level1 | DisputeState::SegmentWanted | DisputeState::Level2
        );
        let game = entry
            .appeal
            .game
            .as_ref()
            .filter(|_| d.state == DisputeState::Appealed);
        let clock = |name: &str, party, seconds: u32, running: bool, since: u64| {
            json!({
                "side": name, "party": self.party(&party), "seconds": seconds, "running": running,
                "runs_out_at": running.then(|| since + u64::from(seconds)),
            })
        };
        let sides = match game {
            Some(g) => {
                let over = matches!(g.phase, AppealPhase::None | AppealPhase::Ended);
                let runs = |turn| !over && g.turn == turn;
                let since = g.turn_started_at;
                [
                    clock(
                        "defender",
                        g.defender,
                        g.defender_clock,
                        runs(Side::Provider),
                        since,
                    ),
                    clock(
                        "accuser",
                        g.accuser,
                        g.accuser_clock,
                        runs(Side::Challenger),
                        since,
                    ),
                ]
            }
            None => {
                let runs = |turn| in_game && d.turn == turn;
                let since = d.turn_started_at;
                [
                    clock(
                        "provider",
                        d.provider,
                        d.provider_clock,
                        runs(Side::Provider),
                        since,
                    ),
                    clock(
                        "challenger",
                        d.challenger,
                        d.challenger_clock,
                        runs(Side::Challenger),
                        since,
                    ),
                ]
            }
        };
        json!({
            "budget": rules.map_or(0, |r| r.clock_budget), "increment": rules.map_or(0, |r| r.clock_increment),
            "sides": sides,
        })
    }
}
