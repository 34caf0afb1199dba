//! What it costs to descend one level of the game on chain: a measurement, without a model behind it.

use gavel_node::{B256, U256};
use gavel_settlement::account::dev_key;
use gavel_settlement::alloy::primitives::keccak256;
use gavel_settlement::alloy::sol_types::{SolCall, SolValue as _};
use gavel_settlement::bindings::{DevToken, ICourt, Market, StakeVault};
use gavel_settlement::{Account, Network};
use gavel_trace::{Digest, Level1, MerkleTree, ModelHeader, height};
use serde::Serialize;

use crate::template::{Stage, WorldRules};
use crate::{TOKEN, WorldError};

const KEYS: &str = "gavel level";
/// Longer than the retract window of any development parameters.
const AFTER_RETRACT: u64 = 121;

/// One level, descended from its root to one leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LevelGas {
    /// Leaves of the level.
    pub leaves: u32,
    /// The leaf that the game ended at: the one that was falsified.
    pub found: u64,
    /// Rounds: one reveal and one pick each.
    pub rounds: u32,
    /// Gas of all of them; the opening of the dispute apart.
    pub gas: u64,
}

/// Commits a trace of `leaves` commit points with one of them wrong, and plays level 1 to its end on the real
/// contracts.
///
/// # Errors
/// The contracts refuse something: the game is played by the rules, so that is a fault of the program.
pub async fn descend(leaves: u32, wrong: u32) -> Result<LevelGas, WorldError> {
    let rules = WorldRules {
        audit_ppm: 250_000,
        probation_tasks: 0,
    };
    let stage = Stage::in_memory(rules, &gavel_model::shipped::load("digits-small")?).await?;
    let network = Network::in_process(stage.chain.clone(), stage.deployment.clone());
    let at = &stage.deployment;
    let honest: Vec<Digest> = (0..leaves)
        .map(|i| Digest(keccak256(i.to_be_bytes()).0))
        .collect();
    let mut lie = honest.clone();
    if let Some(leaf) = lie.get_mut(wrong as usize) {
        *leaf = Digest(keccak256("a lie").0);
    }
    let header = header(leaves);
    let own = Level1::of_model(&header, honest).map_err(gavel_node::NodeError::from)?;
    let committed = Level1::of_model(&header, lie).map_err(gavel_node::NodeError::from)?;

    let party = async |index| -> Result<Account, WorldError> {
        let account = Account::new(dev_key(KEYS, index), network.clone());
        let transfer = DevToken::transferCall {
            to: account.address(),
            value: U256::from(10_000 * TOKEN),
        };
        stage.deployer().send(at.token, transfer).await?;
        account.approve_vault().await?;
        Ok(account)
    };
    let (requester, provider, challenger) = (party(1).await?, party(2).await?, party(3).await?);
    let register = gavel_node::roles::registration(&header, String::new());
    requester.send(at.market, register).await?;
    let post = Market::postCall {
        spec: Market::TaskSpec {
            modelId: header.model_id().0.into(),
            familyId: B256::ZERO,
            inputDigest: keccak256("input"),
            seed: 0,
            minPrice: TOKEN,
            maxPrice: TOKEN,
            rampSeconds: 1,
            execSeconds: 600,
        },
        inputUri: String::new(),
    };
    requester.send(at.market, post).await?;
    let join = StakeVault::registerCall {
        owner: provider.address(),
        payout: provider.address(),
        maxConcurrency: 1,
        stakeAmount: 1_000 * TOKEN,
    };
    provider.send(at.vault, join).await?;
    let task = U256::from(1);
    let claim = Market::claimCall { taskId: task };
    provider.send(at.market, claim).await?;
    let output = committed
        .output_opening()
        .map_err(gavel_node::NodeError::from)?;
    let commit = Market::commitCall {
        taskId: task,
        steps: 1,
        outputDigest: committed.output_digest().0.into(),
        level1Root: committed.tree().root().0.into(),
        outputProof: output.siblings.iter().map(|d| d.0.into()).collect(),
        stopProof: Vec::new(),
    };
    provider.send(at.market, commit).await?;

    let root: B256 = own.commitment().trace_root.0.into();
    let bound = (
        U256::from(at.chain_id),
        at.court,
        challenger.address(),
        task,
        U256::ZERO,
        root,
        B256::ZERO,
    );
    let challenge = ICourt::commitChallengeCall {
        taskId: task,
        attempt: 0,
        commitment: keccak256(bound.abi_encode()),
    };
    challenger.send(at.court, challenge).await?;
    stage.chain.advance_to(stage.chain.now() + AFTER_RETRACT)?;
    let reveal = ICourt::revealChallengeCall {
        taskId: task,
        ownTraceRoot: root,
        salt: B256::ZERO,
    };
    challenger.send(at.court, reveal).await?;
    play(&provider, &challenger, committed.tree(), own.tree()).await
}

/// Reveal and pick from the root of the committed tree to a leaf.
async fn play(
    provider: &Account,
    challenger: &Account,
    committed: &MerkleTree,
    own: &MerkleTree,
) -> Result<LevelGas, WorldError> {
    let court = provider.network().deployment().court;
    let (mut at, mut index) = (committed.height(), 0u64);
    let (mut rounds, mut gas) = (0, 0);
    while at > 0 {
        let trace = gavel_node::NodeError::from;
        let (theirs, mine) = (
            committed.row(at, index).map_err(trace)?,
            own.row(at, index).map_err(trace)?,
        );
        let row: Vec<B256> = theirs.iter().map(|d| d.0.into()).collect();
        let different = theirs.iter().zip(&mine).position(|(a, b)| a != b);
        let child = different.unwrap_or_default();
        let reveal = ICourt::revealRowCall {
            disputeId: U256::from(1),
            node: committed.node_at(at, index).map_err(trace)?.0.into(),
            row: row.clone(),
        };
        let pick = ICourt::pickCall {
            disputeId: U256::from(1),
            row,
            childIndex: child as u8,
        };
        gas += spent(provider, court, reveal).await? + spent(challenger, court, pick).await?;
        let down = at.min(gavel_trace::ROW_LEVELS);
        at -= down;
        index = (index << down) + child as u64;
        rounds += 1;
    }
    Ok(LevelGas {
        leaves: committed.leaves().len() as u32,
        found: index,
        rounds,
        gas,
    })
}

async fn spent<C: SolCall>(
    account: &Account,
    to: gavel_node::Address,
    call: C,
) -> Result<u64, WorldError> {
    Ok(account.send(to, call).await?.gas_used)
}

/// A model of one step with so many commit points, one operator each.
fn header(leaves: u32) -> ModelHeader {
    let root = |name: &str| Digest(keccak256(name).0);
    ModelHeader {
        numerics_version: 1,
        lowering_version: 1,
        node_count: leaves,
        max_steps: 1,
        commit_points: leaves,
        trace_height: height(u64::from(leaves)),
        ops_height: 0,
        live_height: 0,
        work: 1,
        nodes_root: root("nodes"),
        edges_root: root("edges"),
        weights_root: root("weights"),
        segments_root: root("segments"),
        assets_root: root("assets"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_level_of_4096_leaves_takes_three_rounds_and_at_most_400k_gas() {
        for wrong in [0, 2_741, 4_094] {
            let level = descend(4_096, wrong).await.unwrap();
            assert_eq!((level.found, level.rounds), (wrong.into(), 3));
            assert!(level.gas <= 400_000, "{}", level.gas);
        }
    }
}
