//! Before an act that costs stake if the board is wrong: the same from a majority of the nodes.

use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::alloy::sol_types::SolCall;
use gavel_settlement::bindings::{ICourt, Market};
use gavel_settlement::{Disagreement, Head, Network, NetworkError, Question};

use crate::{Address, Board, Bytes, NodeError, Party};

use super::mirror::unread;
use super::records;

/// That a task and its result are what the board says. Nothing is asked where there is only one node.
///
/// # Errors
/// The nodes do not agree, or not with the board: nothing is to be decided on it now.
pub(crate) async fn task(party: &Party, board: &Board, id: u64) -> Result<(), NodeError> {
    let (network, key) = (party.account.network(), U256::from(id));
    let questions = [
        question(
            board.contracts.market,
            &Market::taskCall { taskId: key },
            format!("task {id}"),
        ),
        question(
            board.contracts.market,
            &Market::level1RootOfCall { taskId: key },
            format!("the trace of task {id}"),
        ),
    ];
    let Some(answers) = asked(network, board, &questions).await? else {
        return Ok(());
    };
    let [task, root] = answers.as_slice() else {
        return Err(NodeError::Impossible(
            "fewer answers than questions".to_owned(),
        ));
    };
    let failed = |e| unread(format!("task {id}"), e);
    let task = records::task(&Market::taskCall::abi_decode_returns(task).map_err(failed)?)?;
    let root = Market::level1RootOfCall::abi_decode_returns(root).map_err(failed)?;
    let told = board.tasks.get(&id);
    match told.is_some_and(|t| t.task == task && t.level1_root == records::digest(root)) {
        true => Ok(()),
        false => Err(differs(network, format!("task {id}"), format!("{task:?}"))),
    }
}

/// That a dispute stands where the board says.
///
/// # Errors
/// As [`task`].
pub(crate) async fn dispute(party: &Party, board: &Board, id: u64) -> Result<(), NodeError> {
    let network = party.account.network();
    let call = ICourt::disputeCall {
        disputeId: U256::from(id),
    };
    let what = format!("dispute {id}");
    let questions = [question(board.contracts.court, &call, what.clone())];
    let Some(answers) = asked(network, board, &questions).await? else {
        return Ok(());
    };
    let answer = answers.first().map_or(&[][..], |answer| answer);
    let answer = ICourt::disputeCall::abi_decode_returns(answer);
    let dispute = records::dispute(&answer.map_err(|e| unread(&what, e))?)?;
    match board.dispute(id) == Some(&dispute) {
        true => Ok(()),
        false => Err(differs(network, what, format!("{dispute:?}"))),
    }
}

fn question(to: Address, call: &impl SolCall, what: String) -> Question {
    let data = call.abi_encode().into();
    Question { to, data, what }
}

async fn asked(
    network: &Network,
    board: &Board,
    questions: &[Question],
) -> Result<Option<Vec<Bytes>>, NodeError> {
    let head = Head {
        number: board.head.number,
        hash: board.head.hash,
        time: board.head.time,
    };
    let confirmed = network.endpoint().confirm(head, questions).await;
    Ok(confirmed.map_err(NetworkError::from)?)
}

/// The node that the board was read from is alone with what it says, or the board is a block behind.
fn differs(network: &Network, what: String, majority: String) -> NodeError {
    let answers = vec![
        (
            "the node that was read".to_owned(),
            "something else".to_owned(),
        ),
        ("the majority".to_owned(), majority),
    ];
    NetworkError::from(network.endpoint().disagreement(Disagreement {
        what,
        answers,
        needed: 2,
    }))
    .into()
}
