//! Before an act that costs stake if the board is wrong: the same from a majority of the nodes.

use std::fmt::Debug;

use gavel_settlement::alloy::primitives::U256;
use gavel_settlement::alloy::sol_types::SolCall;
use gavel_settlement::bindings::{ICourt, Market};
use gavel_settlement::{Answer, Disagreement, Head, Network, NetworkError, Question};

use crate::{Address, Board, NodeError, Party};

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
        return Err(fewer());
    };
    let failed = |e| unread(format!("task {id}"), e);
    let told = board.tasks.get(&id);
    let said = Market::taskCall::abi_decode_returns(&task.data).map_err(failed)?;
    let said = records::task(&said)?;
    let ours = told.map(|t| &t.task);
    if ours != Some(&said) {
        return Err(differs(network, format!("task {id}"), &ours, &said, task));
    }
    let said = Market::level1RootOfCall::abi_decode_returns(&root.data).map_err(failed)?;
    let (said, ours) = (records::digest(said), told.map(|t| t.level1_root));
    if ours != Some(said) {
        let what = format!("the trace of task {id}");
        return Err(differs(network, what, &ours, &said, root));
    }
    Ok(())
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
    let answer = answers.first().ok_or_else(fewer)?;
    let said = ICourt::disputeCall::abi_decode_returns(&answer.data);
    let said = records::dispute(&said.map_err(|e| unread(&what, e))?)?;
    let ours = board.dispute(id);
    match ours == Some(&said) {
        true => Ok(()),
        false => Err(differs(network, what, &ours, &said, answer)),
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
) -> Result<Option<Vec<Answer>>, NodeError> {
    let head = Head {
        number: board.head.number,
        hash: board.head.hash,
        time: board.head.time,
    };
    let confirmed = network.endpoint().confirm(head, questions).await;
    Ok(confirmed.map_err(NetworkError::from)?)
}

fn fewer() -> NodeError {
    NodeError::Impossible("fewer answers than questions".to_owned())
}

/// The node that the board was read from is alone with what it says, or the board is a block behind.
fn differs(
    network: &Network,
    what: String,
    ours: &impl Debug,
    majority: &impl Debug,
    answer: &Answer,
) -> NodeError {
    let found = Disagreement {
        what: format!("{what}, which is {ours:?} on the board and {majority:?} for the majority"),
        answers: answer.said.clone(),
        needed: answer.needed,
    };
    NetworkError::from(network.endpoint().disagreement(found)).into()
}
