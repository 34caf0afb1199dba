//! Honest and dishonest players of an appeal, and the game between them.

use gavel_dispute::Refused;
use gavel_dispute::appeal::*;
use gavel_numerics::batch::State;
use gavel_trace::*;

use super::operators::Dice;
use super::{BUDGET, INCREMENT, World, number};

/// Who plays a side. Moves are tried in order until one is taken.
pub trait Player {
    fn moves(&mut self, view: &AppealView, role: AppealRole, now: u64) -> Vec<AppealMove>;
    /// None of its moves may be refused.
    fn is_honest(&self) -> bool {
        false
    }
    fn waits_for_the_last_second(&self) -> bool {
        false
    }
}

/// By the rules.
pub struct Honest {
    pub case: Case,
    pub late: bool,
}

impl Honest {
    pub fn new(case: Case) -> Honest {
        Honest { case, late: false }
    }
}

impl Player for Honest {
    fn moves(&mut self, view: &AppealView, role: AppealRole, now: u64) -> Vec<AppealMove> {
        let case = Some(&self.case);
        let proposed = propose_appeal(view, role, case, now);
        if let Some(proposed) = &proposed {
            let broken = broken_appeal_rules(&AppealSituation {
                view,
                role,
                case,
                proposed,
                now,
            });
            assert!(broken.is_empty(), "{role:?} {proposed:?}: {broken:?}");
        }
        assert_eq!(proposed, decide_appeal(view, role, case, now));
        // A right party never leaves a batch to the clock.
        let due = matches!(view.phase, AppealPhase::Step { .. }) && now <= view.deadline;
        assert!(proposed.is_some() || !due, "{role:?} {:?}", view.phase);
        proposed.into_iter().collect()
    }
    fn is_honest(&self) -> bool {
        true
    }
    fn waits_for_the_last_second(&self) -> bool {
        self.late
    }
}

/// Never moves.
pub struct Silent;

impl Player for Silent {
    fn moves(&mut self, _: &AppealView, _: AppealRole, _: u64) -> Vec<AppealMove> {
        Vec::new()
    }
}

/// A claimed tensor that is not the operator's output.
pub struct Lie {
    pub header: TensorHeader,
    pub bytes: Vec<u8>,
    pub tree: MerkleTree,
}

pub const LIES: u64 = 9;

impl Lie {
    /// One of [`LIES`] kinds of wrong tensor. `None` where the output does not admit it.
    pub fn make(kind: u64, truth: &gavel_numerics::Tensor, d: &mut Dice) -> Option<Lie> {
        let mut bytes = truth.le_bytes().into_owned();
        let mut header = TensorHeader::new(truth.dtype().id(), truth.dims().to_vec()).unwrap();
        let size = truth.dtype().size();
        let len = truth.len() as u64;
        if len == 0 && kind != 7 {
            return None;
        }
        let at = |d: &mut Dice| size * d.below(len.max(1)) as usize;
        match kind {
            0 => bytes[at(d)] ^= 1,
            1 => (0..3).for_each(|_| {
                let at = at(d);
                bytes[at] = bytes[at].wrapping_add(1 + d.below(255) as u8);
            }),
            2 => (bytes.iter_mut()).for_each(|byte| *byte = d.roll() as u8),
            3 if truth.as_f32().is_some() => {
                let at = at(d);
                bytes[at..at + 4].copy_from_slice(&0x7fc0_0001u32.to_le_bytes());
            }
            4 => header.dims.push(1),
            5 => header.dtype = if header.dtype == 1 { 3 } else { 6 },
            6 | 7 => {}
            // a last chunk that lacks its last element: no element of it differs
            8 if (bytes.len() - 1) % CHUNK_BYTES >= size => bytes.truncate(bytes.len() - size),
            _ => return None,
        }
        let mut leaves: Vec<Digest> = chunk_leaves(&bytes).collect();
        let height = height(leaves.len() as u64);
        match kind {
            6 if !leaves.is_empty() => {
                let at = d.below(leaves.len() as u64) as usize;
                leaves[at] = number(d.roll());
            }
            // garbage behind the last chunk; of an empty tensor, in place of nothing
            7 if (leaves.len() as u64) < 1 << height => leaves.push(number(d.roll())),
            6 | 7 => return None,
            _ => {}
        }
        let tree = MerkleTree::new(height, leaves).unwrap();
        let lie = Lie {
            header,
            bytes,
            tree,
        };
        let right = super::digest_of(truth);
        (lie.digest() != right).then_some(lie)
    }

    /// No lie.
    pub fn of(truth: &gavel_numerics::Tensor) -> Lie {
        let bytes = truth.le_bytes().into_owned();
        Lie {
            header: TensorHeader::new(truth.dtype().id(), truth.dims().to_vec()).unwrap(),
            tree: chunk_tree(&bytes).unwrap(),
            bytes,
        }
    }

    pub fn digest(&self) -> Digest {
        self.header.digest(&self.tree.root())
    }

    fn chunk(&self, index: u64) -> Vec<u8> {
        let chunk = self.bytes.chunks(CHUNK_BYTES).nth(index as usize);
        chunk.map(<[u8]>::to_vec).unwrap_or_default()
    }
}

/// How a defender lies about the machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum States {
    /// The program's states; the lie shows at the very end.
    True,
    /// States that nobody has.
    Garbage,
    /// The program's up to some batch, then those of a run that ends as claimed.
    Forged,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Count {
    True,
    Few,
    Many,
    Most,
}

/// Defends a lie. It also tries what is refused.
pub struct Liar<'a> {
    pub world: &'a World,
    pub lie: &'a Lie,
    pub states: States,
    pub count: Count,
    /// Moves before it falls silent.
    pub patience: u32,
    /// Tries to have a batch executed that convicts it.
    pub reckless: bool,
    pub late: bool,
    pub dice: Dice,
    pub cut: Option<u64>,
}

impl Liar<'_> {
    fn node(&self) -> NodeFacts {
        NodeFacts {
            dtype: self.lie.header.dtype,
            dims: self.lie.header.dims.clone(),
            ..self.world.node.clone()
        }
    }

    fn open(&mut self) -> Vec<AppealMove> {
        let (tree, world) = (&self.lie.tree, self.world);
        let opened = OpenTensor {
            claimed: world.claimed,
            node: self.node(),
            node_proof: world.node_proof.clone(),
            chunk_root: tree.root(),
            row: match tree.height() {
                0 => Vec::new(),
                h => tree.row(h, 0).unwrap(),
            },
            chunk: match tree.height() {
                0 => self.lie.chunk(0),
                _ => Vec::new(),
            },
        };
        // the model's node with the true shape, and a shape that the model does not have
        let with_model = OpenTensor {
            node: world.node.clone(),
            ..opened.clone()
        };
        let no_row = OpenTensor {
            row: Vec::new(),
            chunk: Vec::new(),
            ..opened.clone()
        };
        let both = OpenTensor {
            row: vec![tree.root()],
            chunk: self.lie.chunk(0),
            ..opened.clone()
        };
        [both, no_row, with_model, opened]
            .map(|opened| AppealMove::OpenTensor(Box::new(opened)))
            .to_vec()
    }

    fn reveal(&mut self, run: &Run) -> Vec<AppealMove> {
        let case = self.world.case(&self.world.truth);
        let Case::Operator(case) = &case else {
            return Vec::new();
        };
        let execution = Execution::new(case, run.element).unwrap();
        let n = execution.batches();
        let batches = run.batches.unwrap_or_else(|| match self.count {
            Count::True => n,
            Count::Few => self.dice.between(1, n),
            Count::Many => n + self.dice.between(1, 40 * n),
            Count::Most => MAX_BATCHES,
        });
        let cut = *self.cut.get_or_insert_with(|| self.dice.below(n + 1));
        let claimed = state_hash(&State::Halted(run.value));
        let mut dice = Dice(self.dice.roll());
        let mut state = |at: u64| match self.states {
            States::Garbage => number(dice.roll()),
            States::Forged if at > cut && self.count == Count::Most => claimed,
            States::Forged if at > cut => number(at),
            _ => execution.hash(at),
        };
        let states: Vec<Digest> = (1..parts(batches))
            .map(|i| state(run.first_batch + boundary(batches, i)))
            .collect();
        let with = |batches, states: &[Digest]| AppealMove::RevealStates {
            end: run.end,
            batches,
            states: states.to_vec(),
        };
        let one_more = [&states[..], &[claimed]].concat();
        vec![
            with(batches, &one_more),
            with(0, &[]),
            with(MAX_BATCHES + 1, &[claimed; 31]),
            with(batches, &states),
        ]
    }
}

impl Player for Liar<'_> {
    fn waits_for_the_last_second(&self) -> bool {
        self.late
    }
    fn moves(&mut self, view: &AppealView, role: AppealRole, _: u64) -> Vec<AppealMove> {
        if role != AppealRole::Defender || view.turn() != Some(role) || self.patience == 0 {
            return Vec::new();
        }
        self.patience -= 1;
        let lie = self.lie;
        match &view.phase {
            AppealPhase::Tensor => self.open(),
            AppealPhase::Row { claim } => {
                let row = lie.tree.row(claim.height, claim.index).unwrap();
                let node = claim.node;
                let other = vec![number(1); row.len()];
                let doubled = [&row[..], &row].concat();
                [other, doubled, row]
                    .map(|row| AppealMove::RevealRow { node, row })
                    .to_vec()
            }
            AppealPhase::Chunk { node, index } => {
                let chunk = lie.chunk(*index);
                let short = chunk[..chunk.len() - 1].to_vec();
                let honest = self.world.truth.le_bytes();
                let other = honest.chunks(CHUNK_BYTES).nth(*index as usize).unwrap();
                [short, other.to_vec(), chunk]
                    .map(|chunk| AppealMove::RevealChunk { node: *node, chunk })
                    .to_vec()
            }
            AppealPhase::States { run } => self.reveal(run),
            AppealPhase::Step { run } if self.reckless => {
                // as an accuser would
                let case = self.world.case(&self.world.truth);
                let step = propose_appeal(view, AppealRole::Accuser, Some(&case), 0);
                let _ = run;
                step.into_iter().collect()
            }
            _ => Vec::new(),
        }
    }
}

/// Accuses what is right. It also tries what is refused.
pub struct Slanderer<'a> {
    pub world: &'a World,
    /// Always the last part, or a random one.
    pub last: bool,
    pub patience: u32,
    pub late: bool,
    pub dice: Dice,
}

impl Player for Slanderer<'_> {
    fn waits_for_the_last_second(&self) -> bool {
        self.late
    }
    fn moves(&mut self, view: &AppealView, role: AppealRole, _: u64) -> Vec<AppealMove> {
        if role != AppealRole::Accuser || self.patience == 0 {
            return Vec::new();
        }
        let d = &mut self.dice;
        let mut pick = |n: usize| {
            let last = n as u64 - 1;
            if self.last { last } else { d.below(n as u64) }
        };
        let found = match &view.phase {
            AppealPhase::PickChunk { row, .. } => {
                let child = pick(row.len()) as u8;
                let other = vec![number(3); row.len()];
                vec![
                    AppealMove::PickChunk {
                        row: row.clone(),
                        child: row.len() as u8,
                    },
                    AppealMove::PickChunk { row: other, child },
                    AppealMove::PickChunk {
                        row: row.clone(),
                        child,
                    },
                ]
            }
            AppealPhase::PickElement { chunk, .. } => {
                let elements = chunk.len() / self.world.truth.dtype().size();
                let within = pick(elements) as u16;
                vec![
                    AppealMove::PickElement {
                        chunk: chunk.clone(),
                        within: elements as u16,
                    },
                    AppealMove::PickElement {
                        chunk: vec![1; chunk.len()],
                        within,
                    },
                    AppealMove::PickElement {
                        chunk: chunk.clone(),
                        within,
                    },
                ]
            }
            AppealPhase::PickState { states, .. } => {
                let part = pick(states.len() + 1) as u8;
                let other = vec![number(3); states.len() + 1];
                vec![
                    AppealMove::PickState {
                        states: states.clone(),
                        part: states.len() as u8 + 1,
                    },
                    AppealMove::PickState {
                        states: other,
                        part,
                    },
                    AppealMove::PickState {
                        states: states.clone(),
                        part,
                    },
                ]
            }
            AppealPhase::States { run } | AppealPhase::Step { run } => {
                return self.batch(view, run);
            }
            _ => Vec::new(),
        };
        if !found.is_empty() {
            self.patience -= 1;
        }
        found
    }
}

impl Slanderer<'_> {
    /// The honest step with something about it changed: all of them must be refused.
    fn batch(&mut self, view: &AppealView, run: &Run) -> Vec<AppealMove> {
        let case = self.world.case(&self.world.truth);
        let step = propose_appeal(view, AppealRole::Defender, Some(&case), 0);
        let Some(AppealMove::Step { end, proof }) = step else {
            return Vec::new();
        };
        (0..SPOILS)
            .filter_map(|how| {
                let mut proof = proof.clone();
                spoil(&mut proof, how).then_some(AppealMove::Step { end, proof })
            })
            .chain([AppealMove::Step {
                end: run.start,
                proof: proof.clone(),
            }])
            .collect()
    }
}

pub const SPOILS: u32 = 21;

/// Changes something of a proof; false where there is no such thing.
pub fn spoil(proof: &mut StepProof, how: u32) -> bool {
    fn bend(digests: &mut [Digest]) -> bool {
        digests.first_mut().map(|d| d.0[3] ^= 1).is_some()
    }
    let operand = proof.operands.first_mut();
    let chunk = proof.chunks.last_mut();
    match how {
        0 => return proof.machine.last_mut().map(|b| *b ^= 1).is_some(),
        1 => return proof.machine.pop().is_some(),
        2 => proof.node.attributes.push(0),
        3 => proof.node.op = proof.node.op % 23 + 1,
        4 => return proof.program.last_mut().map(|b| *b ^= 1).is_some(),
        5 => return bend(&mut proof.program_proof),
        6 => match &mut proof.before {
            Some(before) => before.entry.live_count += 1,
            None => return false,
        },
        7 => return proof.before.take().is_some(),
        8 => return proof.operands.pop().is_some(),
        9 => return operand.map(|o| o.count += 1).is_some(),
        10 => return operand.map(|o| o.position += 1).is_some(),
        11 => return operand.map(|o| o.edge_index ^= 1).is_some(),
        12 => return operand.is_some_and(|o| bend(&mut o.at.proof)),
        13 => return operand.map(|o| o.at.source.index += 1).is_some(),
        14 => return operand.map(|o| o.dims.push(1)).is_some(),
        15 => return operand.map(|o| o.chunk_root.0[0] ^= 1).is_some(),
        16 => return proof.chunks.pop().is_some(),
        17 => return chunk.map(|c| c.data[0] ^= 1).is_some(),
        18 => return chunk.map(|c| c.index += 1).is_some(),
        19 => match proof.operands.last().cloned() {
            Some(last) => proof.operands.push(last),
            None => return false,
        },
        20 => {
            let mut listed = proof.operands.iter_mut().map(|o| &mut o.at.list_proof);
            return listed.any(|list| bend(list));
        }
        _ => return false,
    }
    true
}

/// What a game was.
#[derive(Clone, Copy, Debug)]
pub struct Played {
    pub outcome: AppealOutcome,
    /// Of the longest game.
    pub rounds: u32,
    pub replayed: bool,
    pub seconds: u64,
}

/// Plays an appeal to its end. `referee` plays the game again in the place of whoever lost.
pub fn play(
    model: &mut AppealModel,
    defender: &mut dyn Player,
    accuser: &mut dyn Player,
    referee: &mut dyn Player,
    dice: &mut Dice,
) -> Played {
    let (mut now, mut rounds) = (5, 0);
    while let Some(turn) = model.view().turn() {
        let deadline = model.view().deadline;
        let other = match turn {
            AppealRole::Defender => AppealRole::Accuser,
            _ => AppealRole::Defender,
        };
        let mut order = [turn, other];
        if dice.below(2) == 0 {
            order.reverse();
        }
        let mut taken = None;
        for role in order {
            let player: &mut dyn Player = match (model.referee_plays(), role) {
                (Some(place), role) if place == role => referee,
                (_, AppealRole::Accuser) => accuser,
                _ => defender,
            };
            let late = player.waits_for_the_last_second() && role == turn;
            let at = if late {
                deadline
            } else {
                (now + 10).min(deadline)
            };
            let sent = player.moves(model.view(), role, at);
            let honest = player.is_honest();
            let accepted = sent.iter().any(|sent| {
                let found = model.apply(role, sent, at);
                assert!(found.is_ok() || !honest, "{role:?} {sent:?}: {found:?}");
                found.is_ok()
            });
            rounds = rounds.max(model.rounds());
            if accepted {
                taken = Some(at);
                break;
            }
        }
        if let Some(at) = taken {
            now = at;
            continue;
        }
        let early = model.apply(other, &AppealMove::ClaimTimeout, deadline);
        assert_eq!(early, Err(Refused::TooEarly));
        now = deadline + 1;
        let claim = Some(AppealMove::ClaimTimeout);
        let bystander = decide_appeal(model.view(), AppealRole::Bystander, None, now);
        assert_eq!(bystander, claim);
        assert_eq!(decide_appeal(model.view(), other, None, now), claim);
        assert_eq!(propose_appeal(model.view(), turn, None, now), None);
        model.apply(other, &AppealMove::ClaimTimeout, now).unwrap();
    }
    let AppealPhase::Ended(outcome) = model.view().phase else {
        unreachable!()
    };
    let over = model.apply(AppealRole::Defender, &AppealMove::ClaimTimeout, now + 9999);
    assert_eq!(over, Err(Refused::Over));
    let game = u64::from(BUDGET) + 16 * u64::from(INCREMENT);
    assert!(now <= 4 * game, "two games took {now} seconds");
    assert!(rounds <= 16);
    Played {
        outcome,
        rounds,
        replayed: model.view().replay,
        seconds: now,
    }
}
