//! The appeal levels' game in memory: the contract's checks, its clocks and its refusals.

use gavel_numerics::batch::{BATCH_STEPS, MACHINE_BYTES, State};
use gavel_numerics::program::Program;
use gavel_numerics::reference::{Environment, Machine};
use gavel_numerics::{DType, Tensor, TensorType};
use gavel_trace::{
    CHUNK_BYTES, Digest, FineIndex, ModelHeader, TensorHeader, chunk_count, chunk_elements,
    chunk_leaf,
};

use super::check::Roots;
use super::state::{MAX_BATCHES, boundary, keccak, parts, state_hash};
use super::{
    AppealMove, AppealOutcome, AppealPhase, AppealRole, AppealView, ChunkClaim, NodeFacts,
    OpenTensor, Run, SlotProof, StepProof,
};
use crate::{Refused, SegmentFacts};

/// What an appeal opens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppealSetup {
    /// Header of the task's model.
    pub header: ModelHeader,
    /// The disputed segment.
    pub segment: SegmentFacts,
    /// The isolated place.
    pub place: FineIndex,
    /// The provider's digest there.
    pub claimed: Digest,
    /// Whether the referee ruled against the provider; `None` where nobody ruled.
    pub guilty: Option<bool>,
    /// The accuser is the referee (P-R3).
    pub referee_accuses: bool,
    /// Seconds that each side has.
    pub clock_budget: u32,
    /// Seconds that a side gains per own move, up to the budget.
    pub clock_increment: u32,
}

/// One appeal.
#[derive(Clone, Debug)]
pub struct AppealModel {
    setup: AppealSetup,
    view: AppealView,
    /// Of the defender and the accuser.
    clocks: [u64; 2],
    turn_started: u64,
    /// The node and the claimed tensor's header, once it is open.
    opened: Option<(NodeFacts, TensorHeader)>,
    rounds: u32,
}

impl AppealModel {
    /// Opens an appeal.
    pub fn open(setup: AppealSetup, now: u64) -> AppealModel {
        let mut model = AppealModel {
            view: AppealView {
                header: setup.header,
                segment: setup.segment,
                place: setup.place,
                claimed: setup.claimed,
                phase: AppealPhase::Ended(AppealOutcome::Void),
                deadline: now,
                replay: false,
            },
            setup,
            clocks: [0; 2],
            turn_started: now,
            opened: None,
            rounds: 0,
        };
        // INVARIANT P-L8
        if model.roots().judgeable() {
            model.begin(now);
        }
        model
    }

    /// What the chain shows.
    pub fn view(&self) -> &AppealView {
        &self.view
    }

    /// Picks in the game that is played, or was played last: a round is a reveal and a pick.
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Whose place the referee takes in a game that is played again.
    pub fn referee_plays(&self) -> Option<AppealRole> {
        let side = match self.setup.guilty? {
            true => AppealRole::Accuser,
            false => AppealRole::Defender,
        };
        self.view.replay.then_some(side)
    }

    fn begin(&mut self, now: u64) {
        self.clocks = [u64::from(self.setup.clock_budget); 2];
        self.turn_started = now;
        (self.opened, self.rounds) = (None, 0);
        self.wait_for(match self.setup.place {
            FineIndex::Op(_) => AppealPhase::Tensor,
            FineIndex::Live(_) => AppealPhase::Slot,
        });
    }

    fn roots(&self) -> Roots<'_> {
        Roots {
            header: &self.view.header,
            segment: &self.view.segment,
        }
    }

    fn wait_for(&mut self, phase: AppealPhase) {
        self.view.phase = phase;
        let clock = match self.view.turn() {
            Some(AppealRole::Accuser) => self.clocks[1],
            _ => self.clocks[0],
        };
        self.view.deadline = self.turn_started + clock;
    }

    /// Charges the side whose turn it was, gives it its increment, and waits for what comes next.
    fn go_on(&mut self, phase: AppealPhase, now: u64) {
        let side = usize::from(self.view.turn() == Some(AppealRole::Accuser));
        let used = now.saturating_sub(self.turn_started);
        let gain = u64::from(self.setup.clock_increment);
        let left = self.clocks[side].saturating_sub(used) + gain;
        self.clocks[side] = left.min(self.setup.clock_budget.into());
        self.turn_started = now;
        self.wait_for(phase);
    }

    /// Ends the game; `replayable` where a player may have lost it by playing badly (P-L10).
    fn end(&mut self, outcome: AppealOutcome, replayable: bool, now: u64) {
        let contradicted =
            (self.setup.guilty).is_some_and(|guilty| guilty != (outcome == AppealOutcome::Guilty));
        if replayable && contradicted && !self.view.replay && !self.setup.referee_accuses {
            self.view.replay = true;
            self.begin(now);
        } else {
            self.view.phase = AppealPhase::Ended(outcome);
        }
    }

    fn judge(&mut self, right: bool, now: u64) {
        let outcome = match right {
            true => AppealOutcome::Cleared,
            false => AppealOutcome::Guilty,
        };
        self.end(outcome, true, now);
    }

    /// Applies a move by a party at a time.
    ///
    /// # Errors
    /// Why it is refused; a refused move changes nothing.
    pub fn apply(
        &mut self,
        by: AppealRole,
        proposed: &AppealMove,
        now: u64,
    ) -> Result<(), Refused> {
        let turn = self.view.turn().ok_or(Refused::Over)?;
        if *proposed == AppealMove::ClaimTimeout {
            if now <= self.view.deadline {
                return Err(Refused::TooEarly);
            }
            self.judge(turn == AppealRole::Accuser, now);
            return Ok(());
        }
        if now > self.view.deadline {
            return Err(Refused::TooLate);
        }
        self.play(by, proposed, now)
    }

    fn play(&mut self, by: AppealRole, proposed: &AppealMove, now: u64) -> Result<(), Refused> {
        match (proposed, self.view.phase.clone()) {
            (AppealMove::OpenTensor(opened), AppealPhase::Tensor) => self.open_tensor(opened, now),
            (AppealMove::RevealRow { node, row }, AppealPhase::Row { claim }) => {
                if *node != claim.node {
                    return Err(Refused::OtherClaim);
                }
                if !claim.is_answered_by(row) {
                    return Err(Refused::Row);
                }
                let row = row.clone();
                self.go_on(AppealPhase::PickChunk { claim, row }, now);
                Ok(())
            }
            (
                AppealMove::PickChunk { row, child },
                AppealPhase::PickChunk {
                    claim,
                    row: waiting,
                },
            ) => {
                self.picks(by, *row == waiting)?;
                let child = claim.child(row, *child).ok_or(Refused::Range)?;
                self.rounds += 1;
                self.descend(child, now)
            }
            (AppealMove::RevealChunk { node, chunk }, AppealPhase::Chunk { node: leaf, index }) => {
                if *node != leaf {
                    return Err(Refused::OtherClaim);
                }
                let (_, header) = self.opened.as_ref().ok_or(Refused::NotYours)?;
                if chunk_leaf(chunk) != leaf || header.chunk_len(index) != Ok(chunk.len() as u64) {
                    return Err(Refused::Opening);
                }
                let chunk = chunk.clone();
                self.go_on(AppealPhase::PickElement { index, chunk }, now);
                Ok(())
            }
            (
                AppealMove::PickElement { chunk, within },
                AppealPhase::PickElement {
                    index,
                    chunk: waiting,
                },
            ) => {
                self.picks(by, *chunk == waiting)?;
                self.pick_element(index, chunk, *within, now)
            }
            (
                AppealMove::RevealStates {
                    end,
                    batches,
                    states,
                },
                AppealPhase::States { run },
            ) => {
                if by != AppealRole::Defender {
                    return Err(Refused::NotYours);
                }
                if *end != run.end {
                    return Err(Refused::OtherClaim);
                }
                let repeats = run.batches.is_none_or(|stands| stands == *batches);
                let known = (1..=MAX_BATCHES).contains(batches) && repeats;
                if !known || states.len() as u64 + 1 != parts(*batches) {
                    return Err(Refused::Range);
                }
                let run = Run {
                    batches: Some(*batches),
                    ..run
                };
                let states = states.clone();
                let next = match batches {
                    1 => AppealPhase::Step { run },
                    _ => AppealPhase::PickState { run, states },
                };
                self.go_on(next, now);
                Ok(())
            }
            (
                AppealMove::PickState { states, part },
                AppealPhase::PickState {
                    run,
                    states: waiting,
                },
            ) => {
                self.picks(by, *states == waiting)?;
                let run = part_of(&run, states, *part).ok_or(Refused::Range)?;
                self.rounds += 1;
                let next = match run.batches {
                    Some(1) => AppealPhase::Step { run },
                    _ => AppealPhase::States { run },
                };
                self.go_on(next, now);
                Ok(())
            }
            (AppealMove::Step { end, proof }, AppealPhase::States { run }) => {
                self.step(*end, proof, &run, true, now)
            }
            (AppealMove::Step { end, proof }, AppealPhase::Step { run }) => {
                self.step(*end, proof, &run, false, now)
            }
            (AppealMove::ResolveSlot { claimed, proof }, AppealPhase::Slot) => {
                self.resolve_slot(*claimed, proof, now)
            }
            _ => Err(Refused::NotYours),
        }
    }

    fn picks(&self, by: AppealRole, repeats: bool) -> Result<(), Refused> {
        match (by, repeats) {
            (AppealRole::Accuser, true) => Ok(()),
            (AppealRole::Accuser, false) => Err(Refused::OtherClaim),
            _ => Err(Refused::NotYours),
        }
    }

    fn open_tensor(&mut self, opened: &OpenTensor, now: u64) -> Result<(), Refused> {
        let FineIndex::Op(op) = self.setup.place else {
            return Err(Refused::NotYours);
        };
        if opened.claimed != self.setup.claimed {
            return Err(Refused::OtherClaim);
        }
        if !self.roots().tensor_opens(op, &opened.claimed, opened) {
            return Err(Refused::Opening);
        }
        let header = TensorHeader::new(opened.node.dtype, opened.node.dims.clone());
        let header = header.map_err(|_| Refused::Opening)?;
        let chunks = chunk_count(header.byte_len().map_err(|_| Refused::Opening)?);
        let height = header.chunk_height().map_err(|_| Refused::Opening)?;
        self.opened = Some((opened.node.clone(), header));
        match chunks {
            0 => self.judge(opened.chunk_root.is_zero(), now),
            1 => {
                let chunk = opened.chunk.clone();
                self.go_on(AppealPhase::PickElement { index: 0, chunk }, now);
            }
            _ => {
                let claim = ChunkClaim {
                    node: opened.chunk_root,
                    height,
                    index: 0,
                };
                let row = opened.row.clone();
                self.go_on(AppealPhase::PickChunk { claim, row }, now);
            }
        }
        Ok(())
    }

    fn descend(&mut self, claim: ChunkClaim, now: u64) -> Result<(), Refused> {
        let (_, header) = self.opened.as_ref().ok_or(Refused::NotYours)?;
        if claim.height > 0 {
            self.go_on(AppealPhase::Row { claim }, now);
        } else if header.chunk_len(claim.index) == Ok(0) {
            self.judge(claim.node.is_zero(), now);
        } else {
            let (node, index) = (claim.node, claim.index);
            self.go_on(AppealPhase::Chunk { node, index }, now);
        }
        Ok(())
    }

    fn pick_element(
        &mut self,
        index: u64,
        chunk: &[u8],
        within: u16,
        now: u64,
    ) -> Result<(), Refused> {
        let (_, header) = self.opened.as_ref().ok_or(Refused::NotYours)?;
        let size = header.element_bytes().map_err(|_| Refused::Opening)?;
        let bytes = chunk.chunks(size as usize).nth(usize::from(within));
        let bytes = bytes.ok_or(Refused::Range)?;
        let mut word = [0; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        let (value, before) = (u64::from_le_bytes(word), index * chunk_elements(size));
        let element = before + u64::from(within);
        let run = Run {
            element,
            value,
            start: state_hash(&State::start(element)),
            end: state_hash(&State::Halted(value)),
            first_batch: 0,
            batches: None,
        };
        self.rounds += 1;
        self.go_on(AppealPhase::States { run }, now);
        Ok(())
    }

    fn step(
        &mut self,
        end: Digest,
        proof: &StepProof,
        run: &Run,
        must_halt: bool,
        now: u64,
    ) -> Result<(), Refused> {
        let (node, _) = self.opened.as_ref().ok_or(Refused::NotYours)?;
        let FineIndex::Op(op) = self.setup.place else {
            return Err(Refused::NotYours);
        };
        if end != run.end {
            return Err(Refused::OtherClaim);
        }
        if keccak(&proof.machine) != run.start {
            return Err(Refused::Opening);
        }
        let computed = match <[u8; 8]>::try_from(&proof.machine[..]) {
            // INVARIANT P-L5: A machine that has halted stays so.
            Ok(value) => State::Halted(u64::from_be_bytes(value)),
            Err(_) if proof.node != *node || !self.roots().step_opens(op, proof) => {
                return Err(Refused::Opening);
            }
            Err(_) => execute(proof)?,
        };
        if must_halt && !matches!(computed, State::Halted(_)) {
            return Err(Refused::Unfinished);
        }
        self.judge(state_hash(&computed) == run.end, now);
        Ok(())
    }

    fn resolve_slot(
        &mut self,
        claimed: Digest,
        proof: &SlotProof,
        now: u64,
    ) -> Result<(), Refused> {
        let FineIndex::Live(slot) = self.setup.place else {
            return Err(Refused::NotYours);
        };
        if claimed != self.setup.claimed {
            return Err(Refused::OtherClaim);
        }
        if !self.roots().slot_opens(slot, proof) {
            return Err(Refused::Opening);
        }
        let outcome = match proof.digest == claimed {
            true => AppealOutcome::Cleared,
            false => AppealOutcome::Guilty,
        };
        self.end(outcome, false, now);
        Ok(())
    }
}

/// Part `part` of a run.
fn part_of(run: &Run, states: &[Digest], part: u8) -> Option<Run> {
    let (part, batches) = (u64::from(part), run.batches?);
    if part >= parts(batches) {
        return None;
    }
    let state = |i: u64| usize::try_from(i).ok().and_then(|i| states.get(i)).copied();
    let (from, to) = (boundary(batches, part), boundary(batches, part + 1));
    Some(Run {
        start: part.checked_sub(1).map_or(Some(run.start), state)?,
        end: state(part).unwrap_or(run.end),
        first_batch: run.first_batch + from,
        batches: Some(to - from),
        ..*run
    })
}

/// Executes a batch on what is shown, whose openings hold; what it reads and is not shown makes it fail.
fn execute(proof: &StepProof) -> Result<State, Refused> {
    let machine: &[u8; MACHINE_BYTES] = (&proof.machine[..])
        .try_into()
        .map_err(|_| Refused::Opening)?;
    let program = Program::decode(&proof.program).map_err(|_| Refused::Opening)?;
    let node = &proof.node;
    let dtype = DType::from_id(node.dtype).ok_or(Refused::Opening)?;
    let output = TensorType::new(dtype, node.dims.clone());
    // how many inputs there are stands in each of them
    let count = proof.operands.first().ok_or(Refused::Unshown)?.count;
    let absent = Tensor::f32([], vec![0.0]).map_err(|_| Refused::Opening)?;
    let mut inputs = vec![absent; count.into()];
    for operand in &proof.operands {
        let input = inputs.get_mut(usize::from(operand.position));
        *input.ok_or(Refused::Range)? = shown_tensor(proof, operand.position)?;
    }
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let env = Environment {
        attributes: &node.attributes,
        inputs: &inputs,
        output: &output,
    };
    let mut state = State::Running(Machine::from_bytes(machine));
    let (_, reads) = state.advance_reading(&program, &env, BATCH_STEPS);
    let operand = |position: usize| {
        let of = |o: &&super::OperandProof| usize::from(o.position) == position;
        proof.operands.iter().find(of)
    };
    let shows_input = |position: &usize| operand(*position).is_some();
    let shows_element = |(position, element): &(usize, u64)| {
        let size = inputs.get(*position).map_or(1, |t| t.dtype().size() as u64);
        let index = *element / chunk_elements(size);
        (proof.chunks.iter()).any(|c| usize::from(c.position) == *position && c.index == index)
    };
    if reads.inputs.iter().all(shows_input) && reads.elements.iter().all(shows_element) {
        Ok(state)
    } else {
        Err(Refused::Unshown)
    }
}

/// An operand with the chunks of it that are shown, and zeros elsewhere.
fn shown_tensor(proof: &StepProof, position: u16) -> Result<Tensor, Refused> {
    let operand = proof.operands.iter().find(|o| o.position == position);
    let operand = operand.ok_or(Refused::Unshown)?;
    let dtype = DType::from_id(operand.dtype).ok_or(Refused::Opening)?;
    let ty = TensorType::new(dtype, operand.dims.clone());
    let mut bytes = vec![0; ty.byte_len().map_err(|_| Refused::Opening)?];
    for chunk in proof.chunks.iter().filter(|c| c.position == position) {
        let place = bytes.chunks_mut(CHUNK_BYTES).nth(chunk.index as usize);
        let place = place.filter(|place| place.len() == chunk.data.len());
        place.ok_or(Refused::Opening)?.copy_from_slice(&chunk.data);
    }
    if dtype == DType::Bool {
        bytes.iter_mut().for_each(|byte| *byte &= 1);
    }
    Tensor::from_le_bytes(ty, &bytes).map_err(|_| Refused::Opening)
}
