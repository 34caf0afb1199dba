//! Whoever runs results again and challenges the wrong ones.

use std::collections::BTreeSet;

use async_trait::async_trait;
use gavel_dispute::{Policy, Role as Part};
use gavel_settlement::alloy::primitives::{U256, keccak256};
use gavel_settlement::alloy::sol_types::SolValue as _;
use gavel_settlement::bindings::ICourt;
use gavel_trace::Digest;

use crate::availability::{Duty, Obtained, obtain, tend};
use crate::board::{ChallengeEntry, Task, TaskState, confirm};
use crate::role::Attempts;
use crate::{Act, Address, B256, Board, NodeError, Party, Role, finder, play::play};

/// A watcher. With a faulty executor it is a false challenger, with the executor of
/// [`crate::faults::sock_puppet`] a friend of the cheat: it challenges whatever is not what it computed.
pub struct Watcher {
    party: Party,
    only: Option<Address>,
    only_task: Option<u64>,
    most: usize,
    silent: bool,
    policy: Policy,
    /// Results that were found right: a cache, so that nothing is run and compared at every tick.
    agreed: BTreeSet<(u64, u8, Digest)>,
}

impl Watcher {
    /// A watcher of everything.
    pub fn new(party: Party) -> Watcher {
        Watcher {
            party,
            only: None,
            only_task: None,
            most: usize::MAX,
            silent: false,
            policy: Policy::default(),
            agreed: BTreeSet::new(),
        }
    }

    /// Watches the results of one provider.
    pub fn only_provider(mut self, provider: Address) -> Watcher {
        self.only = Some(provider);
        self
    }

    /// Watches the results of one task.
    pub fn only_task(mut self, task: u64) -> Watcher {
        self.only_task = Some(task);
        self
    }

    /// Has at most this many challenges open at once: each takes a bond.
    pub fn at_most(mut self, challenges: usize) -> Watcher {
        self.most = challenges;
        self
    }

    /// Makes no move in the disputes that its challenges open: what is left to a friend of the cheat that cannot
    /// lose by playing ([`crate::faults::sock_puppet::falls_silent`]).
    pub fn silent_after_reveal(mut self, silent: bool) -> Watcher {
        self.silent = silent;
        self
    }

    /// Whether it appeals rulings that contradict what it computed.
    pub fn appeals(mut self, appeals: bool) -> Watcher {
        self.policy.appeal = appeals;
        self
    }

    /// Reveals what it has committed, as soon as the provider can no longer retract.
    async fn reveal(&self, board: &Board, attempts: &mut Attempts) -> Option<Act> {
        for (task, attempt, challenge) in self.challenges(board) {
            let due = board.task(task).is_some_and(|t| t.attempt == attempt)
                && (board.reveal_window(task))
                    .is_some_and(|(first, last)| (first..=last).contains(&board.now()));
            if challenge.closed || challenge.dispute.is_some() || !due {
                continue;
            }
            let outcome = self.reveal_one(board, task, attempt, challenge).await;
            if let Some(act) = attempts.act(outcome) {
                return Some(act);
            }
        }
        None
    }

    async fn reveal_one(
        &self,
        board: &Board,
        task: u64,
        attempt: u8,
        challenge: &ChallengeEntry,
    ) -> Result<Option<Act>, NodeError> {
        let Some(run) = self.party.run_of(board, task).await? else {
            return Ok(None);
        };
        let (root, salt) = (run.trace.trace_root(), self.salt(task, attempt)?);
        if self.commitment(board, task, attempt, &root, salt) != challenge.commitment {
            // it computes something else than when it committed, and cannot open that any more
            return Ok(None);
        }
        let call = ICourt::revealChallengeCall {
            taskId: U256::from(task),
            ownTraceRoot: root.0.into(),
            salt,
        };
        let what = format!("reveals its challenge of task {task}");
        confirm::task(&self.party, board, task).await?;
        let last = board.reveal_window(task).map(|(_, last)| last);
        self.party
            .until(last)
            .act(board, board.contracts.court, call, what)
            .await
    }

    /// Plays the disputes that its challenges opened, and sees to the end of those that referees opened in their place.
    async fn play(&self, board: &Board, attempts: &mut Attempts) -> Option<Act> {
        let me = self.party.address();
        for (id, entry) in board.open_disputes() {
            if entry.dispute.challenger != me {
                continue;
            }
            let outcome = play(&self.party, board, id, Part::Challenger, &self.policy).await;
            if let Some(act) = attempts.act(outcome) {
                return Some(act);
            }
        }
        None
    }

    /// Challenges the result that is wrong and closes first.
    async fn commit(&mut self, board: &Board, attempts: &mut Attempts) -> Option<Act> {
        self.agreed.retain(|(task, attempt, _)| {
            (board.task(*task))
                .is_some_and(|task| task.attempt == *attempt && task.state.is_committed())
        });
        if self.open_challenges(board) >= self.most {
            return None;
        }
        for (id, task) in self.challengeable(board) {
            let outcome = self.commit_one(board, id, task).await;
            if let Some(act) = attempts.act(outcome) {
                return Some(act);
            }
        }
        None
    }

    async fn commit_one(
        &mut self,
        board: &Board,
        id: u64,
        task: &Task,
    ) -> Result<Option<Act>, NodeError> {
        let key = (id, task.attempt, task.trace_root);
        if self.agreed.contains(&key) {
            return Ok(None);
        }
        let run = match self.party.needed_run_of(board, id).await {
            Err(unavailable @ NodeError::InputUnavailable { .. }) => {
                let duty = Duty {
                    task: id,
                    since: task.committed_at,
                    deadline: board.challenge_deadline(id).unwrap_or_default(),
                };
                return match obtain(&self.party, board, duty).await? {
                    Obtained::Asked(act) => Ok(Some(act)),
                    Obtained::Waiting => Ok(None),
                    Obtained::Without => Err(unavailable),
                };
            }
            other => other?,
        };
        let Some(run) = run else {
            return Ok(None);
        };
        let root = run.trace.trace_root();
        if root == task.trace_root {
            self.agreed.insert(key);
            return Ok(None);
        }
        let salt = self.salt(id, task.attempt)?;
        let call = ICourt::commitChallengeCall {
            taskId: U256::from(id),
            attempt: task.attempt,
            commitment: self.commitment(board, id, task.attempt, &root, salt),
        };
        let what = format!("commits a challenge of task {id}");
        confirm::task(&self.party, board, id).await?;
        let last = board.challenge_deadline(id);
        self.party
            .until(last)
            .act(board, board.contracts.court, call, what)
            .await
    }

    /// Takes back the bonds of challenges that other verdicts overtook.
    async fn reclaim(&self, board: &Board, attempts: &mut Attempts) -> Option<Act> {
        for (task, attempt, challenge) in self.challenges(board) {
            let overtaken = board.task(task).is_some_and(|t| {
                let judged = t.state.is_committed() || t.state == TaskState::Settled;
                t.attempt != attempt || !judged
            });
            if challenge.closed || challenge.dispute.is_some() || !overtaken {
                continue;
            }
            let call = ICourt::reclaimChallengeCall {
                taskId: U256::from(task),
                attempt,
                challenger: self.party.address(),
            };
            let what = format!("takes back its bond for task {task}");
            let outcome = self
                .party
                .act(board, board.contracts.court, call, what)
                .await;
            if let Some(act) = attempts.act(outcome) {
                return Some(act);
            }
        }
        None
    }

    /// Its own challenges, by task and attempt.
    fn challenges<'a>(
        &self,
        board: &'a Board,
    ) -> impl Iterator<Item = (u64, u8, &'a ChallengeEntry)> + use<'a> {
        let me = self.party.address();
        let all = board.challenges.iter();
        all.filter(move |((_, _, challenger), _)| *challenger == me)
            .map(|((task, attempt, _), entry)| (*task, *attempt, entry))
    }

    /// Challenges of its own that still hold a bond.
    fn open_challenges(&self, board: &Board) -> usize {
        self.challenges(board)
            .filter(|(.., challenge)| match challenge.dispute {
                Some(dispute) => board.dispute(dispute).is_some_and(|d| !d.state.is_final()),
                None => !challenge.closed,
            })
            .count()
    }

    /// Results that it may challenge and has not, the first to close first.
    fn challengeable<'a>(&self, board: &'a Board) -> Vec<(u64, &'a Task)> {
        let me = self.party.address();
        let open = |id: u64| {
            board
                .challenge_deadline(id)
                .filter(|last| board.now() <= *last)
        };
        let tasks = board.tasks.iter().map(|(id, entry)| (*id, &entry.task));
        let mut found: Vec<_> = tasks
            .filter_map(|(id, task)| Some((open(id)?, id, task)))
            .filter(|(_, id, task)| {
                self.only.is_none_or(|only| only == task.provider)
                    && self.only_task.is_none_or(|only| only == *id)
                    && !board.is_side(&task.provider, &me)
                    && !board.challenges.contains_key(&(*id, task.attempt, me))
            })
            .collect();
        found.sort_by_key(|(last, id, _)| (*last, *id));
        found.into_iter().map(|(_, id, task)| (id, task)).collect()
    }

    fn salt(&self, task: u64, attempt: u8) -> Result<B256, NodeError> {
        self.party.secret("challenge", task, attempt)
    }

    fn commitment(&self, board: &Board, task: u64, attempt: u8, root: &Digest, salt: B256) -> B256 {
        commitment(board, self.party.address(), task, attempt, root, salt)
    }
}

/// P-C1: `keccak256(abi.encode(chainid, court, challenger, taskId, attempt, ownTraceRoot, salt))`.
pub(crate) fn commitment(
    board: &Board,
    challenger: Address,
    task: u64,
    attempt: u8,
    root: &Digest,
    salt: B256,
) -> B256 {
    let bound = (
        U256::from(board.chain_id),
        board.contracts.court,
        challenger,
        U256::from(task),
        U256::from(attempt),
        B256::from(root.0),
        salt,
    );
    keccak256(bound.abi_encode())
}

#[async_trait]
impl Role for Watcher {
    fn name(&self) -> &str {
        &self.party.name
    }

    fn address(&self) -> Address {
        self.party.address()
    }

    async fn tick(&mut self, board: &Board) -> Result<Option<Act>, NodeError> {
        let mut attempts = Attempts::default();
        attempts.act(self.party.keep_inputs(board).await.map(|()| None));
        if let Some(act) = self.reveal(board, &mut attempts).await {
            return Ok(Some(act));
        }
        if !self.silent
            && let Some(act) = self.play(board, &mut attempts).await
        {
            return Ok(Some(act));
        }
        if let Some(act) = self.commit(board, &mut attempts).await {
            return Ok(Some(act));
        }
        if let Some(act) = self.reclaim(board, &mut attempts).await {
            return Ok(Some(act));
        }
        let outcome = finder::claim(&self.party, board).await;
        if let Some(act) = attempts.act(outcome) {
            return Ok(Some(act));
        }
        let outcome = tend(&self.party, board).await;
        if let Some(act) = attempts.act(outcome) {
            return Ok(Some(act));
        }
        attempts.nothing()
    }
}
