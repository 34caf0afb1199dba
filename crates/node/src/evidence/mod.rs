//! Evidence files: making one from what a party knows, and judging one offline.

mod element;
mod gather;
pub(crate) mod path;

use std::sync::Arc;

use gavel_dispute::SegmentFacts;
use gavel_dispute::appeal::Case;
use gavel_engine::digest;
use gavel_model::{Model, Opened};
use gavel_trace::{
    CommitPoint, Digest, EVIDENCE_FORMAT, Evidence, EvidenceError, FineIndex, FineTrace, HexBytes,
    InputSource, InputTensor, ModelHeader, OpenedBytes, OpenedSegment, Opening, Ruling, TaskFacts,
    TraceCommitment, live_tree,
};

use crate::board::{Appeal, Row, SegmentRows};
use crate::operator::{Location, SegmentValues};
use crate::{Board, Committed, Executor, ExecutorError, RunRecord, ShownTensor, appeal, game};
use element::{Claimed, claimed_element};
use path::ProviderTree;

pub use gather::gather;
pub use gavel_verifier::{
    JudgeError, JudgeLimits, Judgement, NoStep, StepReport, deciding_step, judge,
};

/// Why no evidence can be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Something about the provider's run that this party was not shown.
    #[error("{what} of the provider's run is not known here")]
    Unknown {
        /// What.
        what: &'static str,
    },
    /// The parts do not fit together: this party does not know what the provider committed.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The party cannot compute its own run.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
}

/// What a file is about: the part that the chain has agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisputeFacts {
    /// What was asked, of whom.
    pub task: TaskFacts,
    /// Header of the model.
    pub model: ModelHeader,
    /// What the provider committed.
    pub commitment: TraceCommitment,
    /// The disputed segment.
    pub segment: SegmentFacts,
    /// The isolated place.
    pub place: FineIndex,
    /// The provider's digest there.
    pub claimed: Digest,
    /// The ruling, where there was one.
    pub ruling: Option<Ruling>,
    /// The claimed digest under the ops root, where a referee pointed at the place.
    pub earlier: Option<Opening>,
}

impl DisputeFacts {
    /// The facts of a dispute that got as far as one place; `None` before, and where the board or the rows
    /// do not hold them.
    pub fn of(board: &Board, id: u64, rows: &[Row]) -> Option<DisputeFacts> {
        let d = board.dispute(id).filter(|d| d.isolated_at != 0)?;
        let (task, result) = (board.task(d.task)?, game::result_of(board, d)?);
        let entry = board.tasks.get(&d.task)?;
        // A task that has gone on to another attempt no longer has this one's root; the rows start from it.
        let roots = [entry.level1_root, d.leaf].into_iter();
        let commitment = roots
            .chain(rows.iter().map(|row| row.node))
            .map(|root| TraceCommitment::new(result.steps, root))
            .find(|commitment| commitment.trace_root == result.trace_root)?;
        let ruling = (d.ruled_at != 0).then(|| Ruling {
            referee: HexBytes(d.referee.to_vec()),
            digest: d.ruled_digest,
        });
        Some(DisputeFacts {
            task: TaskFacts {
                chain_id: board.chain_id,
                court: HexBytes(board.contracts.court.to_vec()),
                task_id: d.task,
                attempt: d.attempt,
                model_id: task.model,
                input_digest: task.input_digest,
                seed: task.seed,
                provider: HexBytes(d.provider.to_vec()),
            },
            model: board.models.get(&task.model)?.header,
            commitment,
            segment: game::segment(d)?,
            place: game::place(d),
            claimed: d.claimed_digest,
            ruling,
            earlier: board
                .disputes
                .get(&id)
                .and_then(|entry| entry.earlier.clone()),
        })
    }
}

/// What a party knows beside the facts.
pub struct Sources<'a> {
    /// What it computes with.
    pub executor: &'a dyn Executor,
    /// Its own run of the task.
    pub run: &'a Arc<RunRecord>,
    /// Rows that the provider revealed.
    pub rows: &'a [Row],
    /// What the provider showed of the segment, checked.
    pub committed: Option<&'a Committed>,
    /// The dispute's appeal, if there was one.
    pub appeal: Option<&'a Appeal>,
}

/// The two rows with which a segment is posted, as rows of their trees.
pub fn rows_of_segment(model: &ModelHeader, leaf: Digest, posted: &SegmentRows) -> [Row; 2] {
    let row = |node, height, row: &[Digest]| Row {
        node,
        height,
        row: row.to_vec(),
    };
    [
        row(posted.ops_root, model.ops_height, &posted.ops_row),
        row(leaf, model.live_height, &posted.live_row),
    ]
}

/// Makes the file of a dispute. Its openings hold; whether the claim does is what [`judge`] finds out.
///
/// Where the provider showed nothing, the party's own run takes its place: that works for whoever agrees with the
/// provider up to the isolated place, as an honest challenger does.
///
/// # Errors
/// Something is not known here.
pub fn build(facts: &DisputeFacts, sources: &Sources<'_>) -> Result<Evidence, BuildError> {
    let (header, segment) = (&facts.model, &facts.segment);
    let model = &sources.run.model;
    let unknown = |what| BuildError::Unknown { what };
    let leaf_index = segment.leaf_index;
    let at = CommitPoint::at_leaf(leaf_index, header.commit_points);
    let at = at.ok_or(unknown("the disputed leaf"))?;

    let root = &facts.commitment.level1_root;
    let own = sources.run.trace.level1.tree();
    let level1 = ProviderTree::find(own, root, leaf_index, sources.rows)
        .ok_or(unknown("the path to the disputed leaf"))?;
    let before = leaf_index.checked_sub(1);
    let open = |index| level1.open(index).ok_or(unknown("a leaf of level 1"));
    let own_fine = sources.executor.fine(sources.run, leaf_index)?;
    let committed = sources.committed.filter(|c| c.leaf_index() == leaf_index);
    let fine = match committed.and_then(Committed::fine) {
        Some(fine) => fine,
        None => &own_fine.trace,
    };
    let own_live;
    let (live_before, ops) = match committed.and_then(Committed::tensors) {
        Some(shown) => (shown.live_before.as_slice(), shown.ops.as_slice()),
        None => {
            own_live = sources.executor.live_before(sources.run, leaf_index)?;
            (own_live.as_slice(), own_fine.tensors.as_slice())
        }
    };
    let fine = FinePaths::find(facts, fine, sources.rows);
    let place = Place {
        model,
        facts,
        at,
        fine: &fine,
        values: SegmentValues {
            model,
            segment: at.segment,
            live_before,
            ops,
        },
    };
    let mut evidence = Evidence {
        format: EVIDENCE_FORMAT,
        task: facts.task.clone(),
        model: *header,
        commitment: facts.commitment,
        leaf_index,
        leaf: segment.leaf,
        leaf_opening: open(leaf_index)?,
        previous_leaf: segment.previous_leaf,
        previous_opening: before.map(open).transpose()?,
        segment: opened_segment(model, at.segment)?,
        previous_segment: (at.segment.checked_sub(1))
            .map(|before| opened_segment(model, before))
            .transpose()?,
        ops_root: segment.ops_root,
        isolated: facts.place,
        claimed_digest: facts.claimed,
        claimed_opening: fine.open(facts.place)?,
        node: place.node()?,
        inputs: place.inputs()?,
        ruling: facts.ruling.clone(),
        element: None,
    };
    if let (FineIndex::Op(index), Some(Case::Operator(case))) =
        (facts.place, appeal::of_evidence(&evidence))
    {
        let known = Claimed {
            appeal: sources.appeal,
            output: ops.get(index as usize).map(AsRef::as_ref),
        };
        evidence.element = claimed_element(known, &facts.claimed, &case.output);
    }
    evidence.check_openings()?;
    Ok(evidence)
}

/// The provider's two trees of the segment, up to the isolated place.
struct FinePaths<'a> {
    ops: Option<ProviderTree<'a>>,
    live: Option<ProviderTree<'a>>,
}

impl<'a> FinePaths<'a> {
    fn find(facts: &DisputeFacts, fine: &'a FineTrace, rows: &[Row]) -> FinePaths<'a> {
        let segment = &facts.segment;
        // Where a live slot is isolated, all operators agree.
        let (op, slot) = match facts.place {
            FineIndex::Op(op) => (u64::from(op), 0),
            FineIndex::Live(slot) => (0, u64::from(slot)),
        };
        let shown = facts.earlier.as_ref().filter(|opening| opening.index == op);
        let shown = shown.and_then(|opening| {
            ProviderTree::by_opening(fine.ops(), &segment.ops_root, &facts.claimed, opening)
        });
        FinePaths {
            ops: ProviderTree::find(fine.ops(), &segment.ops_root, op, rows).or(shown),
            live: ProviderTree::find(fine.live(), &segment.leaf, slot, rows),
        }
    }

    fn open(&self, place: FineIndex) -> Result<Opening, BuildError> {
        let (tree, index, what) = match place {
            FineIndex::Op(op) => (&self.ops, op, "an operator's place"),
            FineIndex::Live(slot) => (&self.live, slot, "a live slot's place"),
        };
        let opening = tree.as_ref().and_then(|tree| tree.open(index.into()));
        opening.ok_or(BuildError::Unknown { what })
    }
}

/// The isolated place and the values around it.
struct Place<'a> {
    model: &'a Model,
    facts: &'a DisputeFacts,
    at: CommitPoint,
    fine: &'a FinePaths<'a>,
    values: SegmentValues<'a>,
}

impl Place<'_> {
    /// What the model says about the place.
    fn node(&self) -> Result<OpenedBytes, BuildError> {
        opened(match self.facts.place {
            FineIndex::Op(i) => self.model.open_node(self.facts.segment.first_node + i),
            FineIndex::Live(j) => self.model.open_live(self.at.segment, j),
        })
    }

    fn inputs(&self) -> Result<Vec<InputTensor>, BuildError> {
        let sources = self.values.sources(self.facts.place);
        let sources = sources.ok_or(BuildError::Unknown {
            what: "the isolated place",
        })?;
        let inputs = sources.iter().enumerate().map(|(position, source)| {
            let at = self.values.locate(*source);
            let found = at.and_then(|at| Some((at, self.values.value(at)?)));
            let (at, tensor) = found.ok_or(BuildError::Unknown {
                what: "an input of the isolated place",
            })?;
            let shown = ShownTensor::of(&tensor);
            Ok(InputTensor {
                header: shown.header,
                bytes: shown.bytes,
                source: self.source(at)?,
                edge: self.edge(position)?,
            })
        });
        inputs.collect()
    }

    fn source(&self, at: Location) -> Result<InputSource, BuildError> {
        Ok(match at {
            Location::Op(i) => InputSource::Op {
                opening: self.fine.open(FineIndex::Op(i))?,
            },
            Location::Live(slot) => {
                let digests: Vec<Digest> =
                    self.values.live_before.iter().map(|t| digest(t)).collect();
                let tree = live_tree(self.facts.model.live_height, &digests);
                let opening = tree.and_then(|tree| tree.open(slot.into()));
                let before = self.at.segment.checked_sub(1);
                InputSource::Live {
                    opening: opening.map_err(EvidenceError::from)?,
                    list_entry: before
                        .map(|before| opened(self.model.open_live(before, slot)))
                        .transpose()?,
                }
            }
            Location::Weight(i) => InputSource::Weight {
                leaf: opened(self.model.open_weight(i))?,
            },
        })
    }

    fn edge(&self, position: usize) -> Result<Option<OpenedBytes>, BuildError> {
        let FineIndex::Op(i) = self.facts.place else {
            return Ok(None);
        };
        let node = self.facts.segment.first_node + i;
        let position = u32::try_from(position).unwrap_or(u32::MAX);
        opened(self.model.open_edge(node, position)).map(Some)
    }
}

fn opened(opened: Option<Opened>) -> Result<OpenedBytes, BuildError> {
    let opened = opened.ok_or(BuildError::Unknown {
        what: "a part of the model",
    })?;
    Ok(OpenedBytes {
        bytes: HexBytes(opened.bytes),
        opening: opened.opening,
    })
}

fn opened_segment(model: &Model, segment: u32) -> Result<OpenedSegment, BuildError> {
    let found = model.open_segment(segment).ok_or(BuildError::Unknown {
        what: "the model's segment",
    })?;
    let (entry, opening) = found;
    Ok(OpenedSegment { entry, opening })
}
