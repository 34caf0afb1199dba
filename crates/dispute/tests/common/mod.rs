//! Made-up models and runs whose digests chain like a real network's: an error spreads to
//! everything after it.
#![allow(dead_code)]

pub mod players;

use gavel_dispute::*;
use gavel_trace::*;
use proptest::prelude::*;

pub const BUDGET: u32 = 1000;
pub const INCREMENT: u32 = 50;

pub struct World {
    pub model: ModelHeader,
    pub entries: Vec<SegmentEntry>,
    pub table: MerkleTree,
    pub steps: u32,
    pub input_digest: Digest,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sizes: Vec<_> = self
            .entries
            .iter()
            .map(|e| (e.op_count, e.live_count))
            .collect();
        write!(
            f,
            "World::new(&{sizes:?}, {}, {})",
            self.model.max_steps, self.steps
        )
    }
}

fn number(i: u64) -> Digest {
    let mut out = [0; 32];
    out[24..].copy_from_slice(&i.to_be_bytes());
    Digest(out)
}

impl World {
    /// `sizes`: operators and live slots of each segment.
    pub fn new(sizes: &[(u32, u32)], max_steps: u32, steps: u32) -> Self {
        let mut first_node = 0;
        let mut entries = Vec::new();
        for (index, (op_count, live_count)) in sizes.iter().copied().enumerate() {
            let live_list_root = number(index as u64 + 77);
            let index = index as u32;
            entries.push(SegmentEntry {
                index,
                first_node,
                op_count,
                live_count,
                live_list_root,
            });
            first_node += op_count;
        }
        let table = segments_tree(&entries).unwrap();
        let most =
            |f: fn(&(u32, u32)) -> u32| height(sizes.iter().map(f).max().unwrap_or(0).into());
        let commit_points = sizes.len() as u32;
        let model = ModelHeader {
            numerics_version: 1,
            lowering_version: 1,
            node_count: first_node,
            max_steps,
            commit_points,
            trace_height: height(u64::from(max_steps) * u64::from(commit_points)),
            ops_height: most(|s| s.0),
            live_height: most(|s| s.1),
            work: 1,
            nodes_root: number(1),
            edges_root: number(2),
            weights_root: number(3),
            segments_root: table.root(),
            assets_root: Digest::ZERO,
        };
        World {
            model,
            entries,
            table,
            steps,
            input_digest: number(5),
        }
    }

    pub fn leaf_count(&self) -> u64 {
        u64::from(self.steps) * u64::from(self.model.commit_points)
    }

    pub fn entry(&self, leaf: u64) -> &SegmentEntry {
        &self.entries[(leaf % u64::from(self.model.commit_points)) as usize]
    }

    pub fn setup(&self, run: &Run) -> CourtSetup {
        CourtSetup {
            model: self.model,
            steps: self.steps,
            input_digest: self.input_digest,
            level1_root: run.level1.root(),
            clock_budget: BUDGET,
            clock_increment: INCREMENT,
            referee_seconds: 100,
            appeal_window: 100,
            max_earlier: 1,
        }
    }
}

/// Where a run goes wrong: at a leaf of level 1, at a place of its segment. A place past the
/// segment's counts is garbage in the padding.
pub type Error = (u64, FineIndex);

pub struct Run<'a> {
    pub world: &'a World,
    pub errors: Vec<Error>,
    pub level1: MerkleTree,
}

impl<'a> Run<'a> {
    pub fn new(world: &'a World, errors: &[Error]) -> Self {
        let mut leaves = Vec::new();
        for leaf in 0..world.leaf_count() {
            let previous = leaves.last().copied().unwrap_or(world.input_digest);
            leaves.push(fine(world, errors, leaf, previous).live_root());
        }
        let level1 = MerkleTree::new(world.model.trace_height, leaves).unwrap();
        Run {
            world,
            errors: errors.to_vec(),
            level1,
        }
    }

    pub fn fine(&self, leaf: u64) -> FineTrace {
        let previous = match leaf.checked_sub(1) {
            None => self.world.input_digest,
            Some(before) => self.level1.leaf(before).unwrap(),
        };
        fine(self.world, &self.errors, leaf, previous)
    }

    pub fn first_error(&self) -> Error {
        *self.errors.iter().min().unwrap()
    }
}

fn fine(world: &World, errors: &[Error], leaf: u64, previous: Digest) -> FineTrace {
    let entry = world.entry(leaf);
    let wrong = |place| errors.contains(&(leaf, place));
    let mut state = previous;
    let mut ops: Vec<Digest> = (0..entry.op_count)
        .map(|i| {
            state = node(&state, &number(u64::from(i)));
            if wrong(FineIndex::Op(i)) {
                state.0[0] ^= 1;
            }
            state
        })
        .collect();
    let mut live: Vec<Digest> = (0..entry.live_count)
        .map(|j| {
            let mut slot = ops[(entry.op_count - 1 - j % entry.op_count) as usize];
            if wrong(FineIndex::Live(j)) {
                slot.0[1] ^= 1;
            }
            slot
        })
        .collect();
    for (at, place) in errors.iter().filter(|(at, _)| *at == leaf) {
        let (row, index, count) = match place {
            FineIndex::Op(i) => (&mut ops, *i, entry.op_count),
            FineIndex::Live(j) => (&mut live, *j, entry.live_count),
        };
        if index >= count {
            row.resize(index as usize + 1, Digest::ZERO);
            row[index as usize] = number(*at + 1);
        }
    }
    FineTrace::new(world.model.ops_height, ops, world.model.live_height, live).unwrap()
}

/// What a party knows: its own run and, if it was handed out, the provider's.
pub struct Knows<'a> {
    pub own: &'a Run<'a>,
    pub provider: Option<&'a Run<'a>>,
    pub signed: bool,
}

impl<'a> Knows<'a> {
    pub fn only(own: &'a Run<'a>) -> Self {
        Knows {
            own,
            provider: None,
            signed: false,
        }
    }
}

impl Knowledge for Knows<'_> {
    fn level1(&self) -> Option<&MerkleTree> {
        Some(&self.own.level1)
    }

    fn fine_trace(&self, leaf_index: u64) -> Option<FineTrace> {
        (leaf_index < self.own.world.leaf_count()).then(|| self.own.fine(leaf_index))
    }

    fn segment(&self, index: u32) -> Option<(SegmentEntry, Opening)> {
        let world = self.own.world;
        Some((
            *world.entries.get(index as usize)?,
            world.table.open(index.into()).ok()?,
        ))
    }

    fn provider_level1(&self) -> Option<&MerkleTree> {
        self.provider.map(|run| &run.level1)
    }

    fn provider_signed(&self, leaf_index: u64) -> Option<SignedSegment> {
        let fine = self.provider.filter(|_| self.signed)?.fine(leaf_index);
        Some(SignedSegment {
            fine,
            signature: vec![1; 65],
        })
    }

    fn provider_fine(&self, leaf_index: u64) -> Option<FineTrace> {
        self.provider.map(|run| run.fine(leaf_index))
    }
}

/// The move of an honest party, which must break no rule.
pub fn honest(view: &GameView, role: Role, knows: &dyn Knowledge, now: u64) -> Option<Move> {
    let proposed = propose(view, role, knows, &Policy::default(), now);
    if let Some(proposed) = &proposed {
        let broken = broken_rules(&Situation {
            view,
            role,
            proposed,
            knowledge: knows,
            now,
        });
        assert!(
            broken.is_empty(),
            "{role:?} proposed {proposed:?}: {broken:?}"
        );
    }
    assert_eq!(proposed, decide(view, role, knows, &Policy::default(), now));
    proposed
}

/// From the isolation to the end, with honest parties, a referee that knows `knows`, and nobody who appeals.
pub fn judge(court: &mut CourtModel, knows: &dyn Knowledge, mut now: u64) -> Outcome {
    for _ in 0..8 {
        let role = match court.view().phase {
            Phase::Closed(outcome) => return outcome,
            Phase::Refereed { .. } => Role::Referee,
            Phase::Ruled {
                appeal_deadline, ..
            } => {
                now = appeal_deadline + 1;
                Role::Bystander
            }
            _ => Role::Bystander,
        };
        let proposed = honest(court.view(), role, knows, now).expect("somebody has to move");
        court.apply(role, &proposed, now).unwrap();
    }
    panic!("no verdict: {:?}", court.view().phase);
}

/// A world with trees of height 0 to 12 on both levels, small enough to run.
pub fn worlds() -> impl Strategy<Value = World> {
    (1usize..=40, 0u32..=12, 0u32..=6, 0u32..=12, any::<u64>()).prop_map(
        |(commit_points, ops_height, live_height, steps_height, salt)| {
            let pick = |n: u32, by: u32| (salt.rotate_left(by) as u32) % n.max(1);
            let big = (1 << ops_height) - pick((1 << ops_height) / 2, 7);
            let live = (1 << live_height) - pick((1 << live_height) / 2, 13);
            let large = pick(commit_points as u32, 21) as usize;
            let sizes: Vec<_> = (0..commit_points)
                .map(|c| {
                    if c == large {
                        (big, live)
                    } else {
                        (1 + c as u32 % 3, 1)
                    }
                })
                .collect();
            let max_steps = ((1 << steps_height) / commit_points as u32).max(1);
            let affordable = (1 << 14) / (big + 3 * commit_points as u32);
            let steps = 1 + pick(max_steps.min(affordable.max(1)), 31);
            World::new(&sizes, max_steps, steps)
        },
    )
}

/// A place in a run, from random numbers.
pub fn place(world: &World, at: u64, inside: u64) -> Error {
    let leaf = at % world.leaf_count();
    let entry = world.entry(leaf);
    let index = (inside % u64::from(entry.op_count + entry.live_count)) as u32;
    match index.checked_sub(entry.op_count) {
        None => (leaf, FineIndex::Op(index)),
        Some(slot) => (leaf, FineIndex::Live(slot)),
    }
}
