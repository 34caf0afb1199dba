//! Asking for an input that cannot be had, within what it is worth and while there is time for an answer.

use gavel_model::Model;
use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::bindings::IDemands;
use gavel_trace::Digest;

use super::recover::shown;
use super::{chunks_of, counted};
use crate::board::{DemandEntry, Task};
use crate::{Act, Address, Board, NodeError, Party};

/// Chunks that one demand may name (P-I2).
const CHUNKS_MAX: u64 = 256;

/// What the input is wanted for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Duty {
    /// The task.
    pub(crate) task: u64,
    /// Since when: what was asked for before does not count.
    pub(crate) since: u64,
    /// By when it has to be said that the input cannot be had.
    pub(crate) deadline: u64,
}

/// What came of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obtained {
    /// A demand was made.
    Asked(Act),
    /// A demand is open.
    Waiting,
    /// Nobody answered, or there is no time or no money for a demand.
    Without,
}

/// The next step towards an input that is neither in the blob store nor shown.
///
/// # Errors
/// The chain cannot be reached.
pub(crate) async fn obtain(
    party: &Party,
    board: &Board,
    duty: Duty,
) -> Result<Obtained, NodeError> {
    let Some(task) = board.task(duty.task) else {
        return Ok(Obtained::Without);
    };
    let Some(model) = party.executor.model(&task.model) else {
        return Ok(Obtained::Without);
    };
    match next(board, &model, party.address(), task, duty) {
        Next::Ask(range) => ask(party, board, duty.task, range).await,
        Next::Wait => Ok(Obtained::Waiting),
        Next::GiveUp => Ok(Obtained::Without),
    }
}

/// Chunks of one tensor, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    slot: u32,
    first: u64,
    count: u16,
    /// Chunks of the whole tensor.
    of: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Ask(Range),
    Wait,
    GiveUp,
}

fn next(board: &Board, model: &Model, me: Address, task: &Task, duty: Duty) -> Next {
    let (now, window) = (board.now(), board.answer_seconds(duty.task));
    let spare = window / 4;
    if board.contracts.demands.is_zero() || now.saturating_add(spare) >= duty.deadline {
        return Next::GiveUp;
    }
    let in_time = now.saturating_add(window + spare) <= duty.deadline;
    let mut waits = None;
    for range in missing(board, model, &task.input_digest) {
        // a larger one may turn out to be needless
        if waits.is_some_and(|of| of < range.of) {
            break;
        }
        let about = || {
            let demands = board.demands_of(&task.input_digest).map(|(_, d)| d);
            demands.filter(|demand| demand.names(range.slot, range.first))
        };
        if about().any(|demand| demand.is_open(now)) {
            waits = Some(range.of);
            continue;
        }
        // its own, made for this duty, has run out
        let in_vain = about().any(|demand| {
            demand.demander == me && demand.deadline.saturating_sub(window) >= duty.since
        });
        if in_vain {
            return Next::GiveUp;
        }
        if in_time && affords(board, &me, task, duty.task, &range) {
            return Next::Ask(range);
        }
    }
    waits.map_or(Next::GiveUp, |_| Next::Wait)
}

/// Ranges that nobody has shown, those of the smallest tensors first: what is large may be nothing but zeros.
fn missing(board: &Board, model: &Model, input: &Digest) -> Vec<Range> {
    let slots = 0..model.graph().inputs.len() as u32;
    let sized = slots.filter_map(|slot| Some((chunks_of(model, slot)?, slot)));
    let mut sized: Vec<_> = sized.collect();
    sized.sort_unstable();
    let mut ranges = Vec::new();
    for (of, slot) in sized {
        let shown = shown(board, input, slot);
        let mut first = 0;
        while first < of {
            let most = of.min(first.saturating_add(CHUNKS_MAX));
            let end = (first..most).find(|i| shown.contains_key(i));
            let end = end.unwrap_or(most);
            if end > first {
                ranges.push(Range {
                    slot,
                    first,
                    count: (end - first) as u16,
                    of,
                });
            }
            first = end.max(first + 1);
        }
    }
    ranges
}

/// Whether a demand is within what the input of one task is worth to a party: what a referee is paid. Who withholds inputs
/// and shows them for the fees would else live on those who check.
fn affords(board: &Board, me: &Address, task: &Task, id: u64, range: &Range) -> bool {
    let most = board
        .rules_of(id)
        .map_or(0, |rules| rules.court.referee_fee);
    let Some(fee) = board.least_answer_fee(id) else {
        return false;
    };
    let cost = |demand: &DemandEntry| {
        let chunks = match demand.closed {
            true => demand.shown.len() as u128,
            false => demand.count.into(),
        };
        demand.fee.saturating_mul(chunks)
    };
    let mine = board.demands_of(&task.input_digest).map(|(_, d)| d);
    let mine = mine.filter(|demand| demand.demander == *me);
    let spent = mine.fold(0u128, |sum, demand| sum.saturating_add(cost(demand)));
    spent.saturating_add(fee.saturating_mul(range.count.into())) <= most
}

async fn ask(party: &Party, board: &Board, task: u64, range: Range) -> Result<Obtained, NodeError> {
    let Some(fee) = board.least_answer_fee(task) else {
        return Ok(Obtained::Without);
    };
    party.account.approve_demands().await?;
    let call = IDemands::demandCall {
        taskId: U256::from(task),
        slot: range.slot,
        first: range.first,
        count: range.count,
        fee,
    };
    let what = format!(
        "demands {} of the input of task {task}",
        counted(range.count.into())
    );
    let act = party
        .act(board, board.contracts.demands, call, what)
        .await?;
    Ok(act.map_or(Obtained::Waiting, Obtained::Asked))
}

#[cfg(test)]
pub(super) mod tests {
    use gavel_model::{CommitPolicy, Graph, Node, Source};
    use gavel_numerics::{DType, Op, TensorType};

    use super::*;
    use crate::board::{Rules, TaskEntry};

    const ME: Address = Address::repeat_byte(1);
    const OTHER: Address = Address::repeat_byte(2);
    const INPUT: Digest = Digest([7; 32]);
    const DUTY: Duty = Duty {
        task: 1,
        since: 1_000,
        deadline: 1_200,
    };

    /// Three inputs: of 300 chunks, of one, and without elements.
    pub(in crate::availability) fn model() -> Model {
        let types = [300 * 256, 3, 0].map(|n| TensorType::new(DType::F32, [n]));
        let graph = Graph {
            inputs: (0..)
                .zip(&types)
                .map(|(i, ty)| (format!("x{i}"), ty.clone()))
                .collect(),
            nodes: (0..)
                .zip(&types)
                .map(|(i, ty)| Node {
                    name: String::new(),
                    op: Op::Identity,
                    inputs: vec![Source::Input(i)],
                    output: ty.clone(),
                })
                .collect(),
            outputs: (0..3).map(|i| (format!("y{i}"), Source::node(i))).collect(),
        };
        Model::build(
            graph,
            Vec::new(),
            Default::default(),
            &CommitPolicy::default(),
        )
        .unwrap()
    }

    /// A task whose demands are open for 50 seconds and cost one for a chunk, and a referee that gets 300.
    fn board() -> Board {
        let mut rules = Rules::default();
        (rules.court.referee_seconds, rules.audit.commit_seconds) = (200, 100);
        (rules.court.provider_gas_cost, rules.court.referee_fee) = (16, 300);
        let mut entry = TaskEntry {
            rules: 1,
            ..TaskEntry::default()
        };
        entry.task.input_digest = INPUT;
        let mut board = Board::default();
        board.rules.insert(1, rules);
        board.tasks.insert(1, entry);
        board.contracts.demands = Address::repeat_byte(9);
        board.head.time = 1_001;
        board
    }

    fn demanded(board: &mut Board, by: Address, range: Range, deadline: u64) -> u64 {
        let id = 1 + board.demands.len() as u64;
        let entry = DemandEntry {
            task: 1,
            demander: by,
            input_digest: INPUT,
            slot: range.slot,
            first: range.first,
            count: range.count,
            fee: 1,
            deadline,
            ..DemandEntry::default()
        };
        board.demands.insert(id, entry);
        id
    }

    fn asks(board: &Board) -> Next {
        next(board, &model(), ME, board.task(1).unwrap(), DUTY)
    }

    fn range(slot: u32, first: u64, count: u16, of: u64) -> Range {
        Range {
            slot,
            first,
            count,
            of,
        }
    }

    #[test]
    fn the_smallest_are_asked_for_first_and_the_rest_once_they_are_there() {
        let mut board = board();
        let (one, empty) = (range(1, 0, 1, 1), range(2, 0, 1, 1));
        assert_eq!(asks(&board), Next::Ask(one));
        let first = demanded(&mut board, ME, one, 1_050);
        assert_eq!(asks(&board), Next::Ask(empty));
        // whoever asked, one demand is enough
        let second = demanded(&mut board, OTHER, empty, 1_050);
        assert_eq!(asks(&board), Next::Wait);
        for id in [first, second] {
            let demand = board.demands.get_mut(&id).unwrap();
            demand.shown.insert(0, Vec::new().into());
            demand.closed = true;
        }
        assert_eq!(asks(&board), Next::Ask(range(0, 0, 256, 300)));
    }

    #[test]
    fn ranges_go_around_what_was_shown() {
        let mut board = board();
        let id = demanded(&mut board, OTHER, range(0, 0, 256, 300), 900);
        let demand = board.demands.get_mut(&id).unwrap();
        for chunk in [0, 1, 5, 255] {
            demand.shown.insert(chunk, Vec::new().into());
        }
        let of_large: Vec<_> = missing(&board, &model(), &INPUT);
        assert_eq!(
            of_large[2..],
            [
                range(0, 2, 3, 300),
                range(0, 6, 249, 300),
                range(0, 256, 44, 300)
            ]
        );
    }

    #[test]
    fn what_was_asked_for_in_vain_is_given_up_and_what_others_asked_for_is_not() {
        let mut board = board();
        let one = range(1, 0, 1, 1);
        board.head.time = 1_070;
        demanded(&mut board, OTHER, one, 1_060);
        // one of its own, from before this duty
        demanded(&mut board, ME, one, 1_040);
        assert_eq!(asks(&board), Next::Ask(one));
        demanded(&mut board, ME, one, 1_060);
        assert_eq!(asks(&board), Next::GiveUp);
    }

    #[test]
    fn nothing_is_asked_for_without_time_money_or_a_contract() {
        let one = range(1, 0, 1, 1);
        let mut late = board();
        late.head.time = 1_138;
        assert_eq!(asks(&late), Next::Ask(one));
        late.head.time = 1_139;
        assert_eq!(asks(&late), Next::GiveUp);
        demanded(&mut late, OTHER, one, 1_187);
        late.head.time = 1_187;
        assert_eq!(asks(&late), Next::Wait);
        late.head.time = 1_188;
        assert_eq!(asks(&late), Next::GiveUp);

        let mut poor = board();
        poor.rules.get_mut(&1).unwrap().court.referee_fee = 0;
        assert_eq!(asks(&poor), Next::GiveUp);
        let mut none = board();
        none.contracts.demands = Address::ZERO;
        assert_eq!(asks(&none), Next::GiveUp);
    }
}
