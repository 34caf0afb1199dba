//! Whoever watches without a key: judges results and disputes by what it computes itself, and says what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use gavel_trace::Digest;

use super::keeper::awaited;
use crate::board::{Dispute, DisputeState, Task, TaskState};
use crate::{Address, Board, NodeError, Party, appeal, game};

/// Something that a person should look at. Codes are stable: programs filter by them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Alert {
    /// `GVL-WATCH-001` and so on; see [`Alert::CODES`].
    pub code: &'static str,
    /// A sentence.
    pub what: String,
    /// The task that it is about.
    pub task: Option<u64>,
    /// The dispute that it is about.
    pub dispute: Option<u64>,
    /// The provider that it is about.
    pub provider: Option<Address>,
}

impl Alert {
    /// All codes with what they say.
    pub const CODES: [(&'static str, &'static str); 9] = [
        (
            WRONG_RESULT,
            "a committed result is not what this machine computes",
        ),
        (WRONG_SETTLED, "a wrong result was settled"),
        (NO_INPUT, "the input of a claimed task cannot be had"),
        (
            DISPUTE,
            "a dispute was opened; with the forecast, if this machine has the model",
        ),
        (
            SHORT_CLOCK,
            "the side to move in a dispute has less than a quarter of its clock left",
        ),
        (
            AGAINST_FORECAST,
            "a dispute ended otherwise than was forecast",
        ),
        (TOMBSTONED, "a provider was convicted and removed"),
        (
            NO_BID,
            "a task stands at its highest price and nobody claims it",
        ),
        (
            NO_VALUE,
            "a draw waits for a value of the beacon that did not come in time",
        ),
    ];
}

const WRONG_RESULT: &str = "GVL-WATCH-001";
const WRONG_SETTLED: &str = "GVL-WATCH-002";
const NO_INPUT: &str = "GVL-WATCH-003";
const DISPUTE: &str = "GVL-WATCH-004";
const SHORT_CLOCK: &str = "GVL-WATCH-005";
const AGAINST_FORECAST: &str = "GVL-WATCH-006";
const TOMBSTONED: &str = "GVL-WATCH-007";
const NO_BID: &str = "GVL-WATCH-008";
const NO_VALUE: &str = "GVL-WATCH-009";

/// What this machine says of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Forecast {
    /// It computes the same.
    Agree,
    /// It computes something else.
    Disagree,
    /// It has not the model, or cannot have the input.
    Unknown,
}

/// How many results or disputes there are of each forecast.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecasts {
    /// [`Forecast::Agree`].
    pub agree: usize,
    /// [`Forecast::Disagree`].
    pub disagree: usize,
    /// [`Forecast::Unknown`].
    pub unknown: usize,
}

impl Forecasts {
    fn add(&mut self, says: Forecast) {
        match says {
            Forecast::Agree => self.agree += 1,
            Forecast::Disagree => self.disagree += 1,
            Forecast::Unknown => self.unknown += 1,
        }
    }
}

/// What a look at the board found.
#[derive(Debug, Default)]
pub struct Look {
    /// What this machine says of the results that stand, settled ones among them.
    pub results: Forecasts,
    /// What it says of the disputes that are open: it disagrees with the provider, or agrees.
    pub disputes: Forecasts,
    /// What is new.
    pub alerts: Vec<Alert>,
    /// What cannot be judged now, and why: said at every look until it can.
    pub unjudged: Vec<String>,
}

/// A reader of the board that tells everything once. It keeps what it has told, and nothing that matters.
pub struct Monitor {
    party: Party,
    told: BTreeSet<(&'static str, u64, u64)>,
    /// What can change no more.
    forecasts: BTreeMap<(u64, Digest), Forecast>,
}

impl Monitor {
    /// A monitor that runs again what it has models for; `party` signs nothing.
    pub fn new(party: Party) -> Monitor {
        Monitor {
            party,
            told: BTreeSet::new(),
            forecasts: BTreeMap::new(),
        }
    }

    /// What this machine says of a task's result with this trace root.
    ///
    /// # Errors
    /// The blob store or the model fails.
    pub async fn forecast(
        &mut self,
        board: &Board,
        task: u64,
        trace_root: Digest,
    ) -> Result<Forecast, NodeError> {
        if let Some(known) = self.forecasts.get(&(task, trace_root)) {
            return Ok(*known);
        }
        let says = match self.party.run_of(board, task).await? {
            None => Forecast::Unknown,
            Some(run) if run.trace.trace_root() == trace_root => Forecast::Agree,
            Some(_) => Forecast::Disagree,
        };
        // of a task that is over nothing is fetched twice, were it only to find it missing again
        let over = board.task(task).is_some_and(|task| task.state.is_final());
        if over || says == Forecast::Agree {
            self.forecasts.insert((task, trace_root), says);
        }
        Ok(says)
    }

    /// What is new on the board and worth a look. What one task or dispute does to the blob store or a model hides no
    /// other.
    pub async fn look(&mut self, board: &Board) -> Look {
        let (mut found, mut look) = (Vec::new(), Look::default());
        for (&id, entry) in &board.tasks {
            match self.task(board, id, &entry.task, &mut found).await {
                Ok(says) => says.into_iter().for_each(|says| look.results.add(says)),
                Err(error) => look.unjudged.push(format!("task {id}: {error}")),
            }
        }
        for (&id, entry) in &board.disputes {
            match self.dispute(board, id, &entry.dispute, &mut found).await {
                Ok(says) if !entry.dispute.state.is_final() => {
                    says.into_iter().for_each(|says| look.disputes.add(says));
                }
                Ok(_) => {}
                Err(error) => look.unjudged.push(format!("dispute {id}: {error}")),
            }
        }
        for (key, provider) in &board.providers {
            if provider.tombstoned {
                let what = format!("provider {key} was convicted and removed");
                let alert = alert(TOMBSTONED, what).about(None, None, Some(*key));
                let [.., a, b, c, d, e, f, g, h] = key.into_array();
                let name = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
                found.push((name, 0, alert));
            }
        }
        let slack = board.newest_rules().map_or(0, |r| r.court.beacon_slack);
        for round in awaited(board) {
            let late = board.beacon.time_of(round).saturating_add(slack.into());
            if board.beacon_value(round).is_none() && board.now() > late {
                let what =
                    format!("a draw waits for round {round} of the beacon, which has no value yet");
                found.push((round, 0, alert(NO_VALUE, what)));
            }
        }
        let told = &mut self.told;
        let new = found.into_iter();
        look.alerts = new
            .filter(|(id, part, alert)| told.insert((alert.code, *id, *part)))
            .map(|(.., alert)| alert)
            .collect();
        look
    }

    /// Finds what is to be told of a task, and says what this machine says of its result, if there is one.
    async fn task(
        &mut self,
        board: &Board,
        id: u64,
        task: &Task,
        found: &mut Vec<(u64, u64, Alert)>,
    ) -> Result<Option<Forecast>, NodeError> {
        let attempt = u64::from(task.attempt);
        let mut tell = |code, what: String| {
            let provider = (!task.provider.is_zero()).then_some(task.provider);
            found.push((
                id,
                attempt,
                alert(code, what).about(Some(id), None, provider),
            ));
        };
        match task.state {
            TaskState::Open if board.price_now(task) == task.max_price => {
                let ramped = board.now() > task.opened_at + u64::from(task.ramp_seconds);
                if ramped {
                    let what =
                        format!("task {id} stands at its highest price and nobody claims it");
                    tell(NO_BID, what);
                }
            }
            TaskState::Claimed => {
                let has_model = self.party.executor.model(&task.model).is_some();
                if has_model && self.party.inputs_or_shown(board, task).await?.is_none() {
                    tell(NO_INPUT, format!("the input of task {id} cannot be had"));
                }
            }
            TaskState::Committed | TaskState::Disputed | TaskState::Settled => {
                // a result that was told as wrong needs no second run to be told again
                if self.told.contains(&(WRONG_SETTLED, id, attempt)) {
                    return Ok(Some(Forecast::Disagree));
                }
                let says = self.forecast(board, id, task.trace_root).await?;
                if says == Forecast::Disagree {
                    let by = task.provider;
                    tell(
                        WRONG_RESULT,
                        format!("the result of task {id} by {by} is wrong"),
                    );
                    if task.state == TaskState::Settled {
                        tell(
                            WRONG_SETTLED,
                            format!("the wrong result of task {id} was settled"),
                        );
                    }
                }
                return Ok(Some(says));
            }
            _ => {}
        }
        Ok(None)
    }

    /// Finds what is to be told of a dispute, and says what this machine says of the result, unless that matters no more.
    async fn dispute(
        &mut self,
        board: &Board,
        id: u64,
        dispute: &Dispute,
        found: &mut Vec<(u64, u64, Alert)>,
    ) -> Result<Option<Forecast>, NodeError> {
        let mut tell = |part, code, what: String| {
            let about = (Some(dispute.task), Some(id), Some(dispute.provider));
            found.push((id, part, alert(code, what).about(about.0, about.1, about.2)));
        };
        let ended_told = self.told.contains(&(AGAINST_FORECAST, id, 0));
        if ended_told || (dispute.state == DisputeState::Void) {
            return Ok(None);
        }
        // before the forecast, which may fail
        if let Some((since, deadline)) = clock(board, id, dispute) {
            let (all, left) = (
                deadline.saturating_sub(since),
                deadline.saturating_sub(board.now()),
            );
            if 4 * left < all {
                let what = format!("{left} s are left to the side to move in dispute {id}");
                tell(since, SHORT_CLOCK, what);
            }
        }
        let root = game::result_of(board, dispute).map(|result| result.trace_root);
        let says = match root {
            Some(root) => self.forecast(board, dispute.task, root).await?,
            None => Forecast::Unknown,
        };
        let forecast = match says {
            Forecast::Agree => "the provider is right and should be cleared",
            Forecast::Disagree => "the provider is wrong and should be found guilty",
            Forecast::Unknown => "no forecast without its model and input",
        };
        let (provider, task) = (dispute.provider, dispute.task);
        tell(
            0,
            DISPUTE,
            format!("dispute {id} about task {task} of {provider}: {forecast}"),
        );
        let surprise = matches!(
            (says, dispute.state),
            (Forecast::Agree, DisputeState::Upheld) | (Forecast::Disagree, DisputeState::Cleared)
        );
        if surprise {
            tell(
                0,
                AGAINST_FORECAST,
                format!("dispute {id} ended against the forecast: {forecast}"),
            );
        }
        Ok(Some(says))
    }
}

/// When the turn of the side to move began, and its last second.
fn clock(board: &Board, id: u64, dispute: &Dispute) -> Option<(u64, u64)> {
    if dispute.state == DisputeState::Appealed {
        let game = board.disputes.get(&id)?.appeal.game.as_ref()?;
        appeal::view(board, id)?.turn()?;
        return Some((game.turn_started_at, game.deadline()));
    }
    let (_, deadline) = game::view(board, id)?.turn()?;
    Some((dispute.turn_started_at, deadline))
}

fn alert(code: &'static str, what: String) -> Alert {
    Alert {
        code,
        what,
        task: None,
        dispute: None,
        provider: None,
    }
}

impl Alert {
    fn about(
        mut self,
        task: Option<u64>,
        dispute: Option<u64>,
        provider: Option<Address>,
    ) -> Alert {
        (self.task, self.dispute, self.provider) = (task, dispute, provider);
        self
    }
}
