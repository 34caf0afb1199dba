//! What a call says. Pure: the call, the contracts' addresses and the board that the caller decided on.
//!
//! Every function that changes a contract's state is listed here, with what it says or with why it says nothing that could
//! be held against its sender; a test compares the lists with the contracts' interfaces. A call that is in no list is refused.

use alloy_primitives::{Address, B256, U256, keccak256};
use gavel_settlement::Deployment;
use gavel_settlement::alloy::sol_types::{SolCall, SolValue as _};
use gavel_settlement::bindings::{IAudits, ICourt, Market};
use gavel_trace::{Digest, TraceCommitment};

use super::statement::{Kind, Statement, Subject, dispute_case, task_case};
use crate::Board;
use crate::board::{BeaconScheme, Dispute, DisputeEntry, Task};

/// A contract that parties call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contract {
    Market,
    Court,
    Audits,
    AppealLevels,
    Demands,
    Traps,
    Vault,
    Pool,
    Beacon,
    /// drand with another beacon behind it.
    FallbackBeacon,
    /// The beacon itself or the one behind it, where its values are made of secrets.
    SecretBeacon,
    Token,
    Parameters,
    Timelock,
}

impl Contract {
    fn at(board: &Board, contracts: &Deployment, address: Address) -> Option<Contract> {
        let beacon = &board.beacon;
        if beacon.secrets.is_some_and(|s| s.address == address) {
            return Some(Contract::SecretBeacon);
        }
        if beacon.scheme == BeaconScheme::Fallback && contracts.beacon == address {
            return Some(Contract::FallbackBeacon);
        }
        let all = [
            (contracts.market, Contract::Market),
            (contracts.court, Contract::Court),
            (contracts.audits, Contract::Audits),
            (contracts.appeal_levels, Contract::AppealLevels),
            (contracts.demands, Contract::Demands),
            (contracts.traps, Contract::Traps),
            (contracts.vault, Contract::Vault),
            (contracts.pool, Contract::Pool),
            (contracts.beacon, Contract::Beacon),
            (contracts.token, Contract::Token),
            (contracts.parameters, Contract::Parameters),
            (contracts.timelock, Contract::Timelock),
        ];
        let found = all.into_iter().find(|(at, _)| *at == address);
        found.map(|(_, contract)| contract)
    }

    /// Functions with which their sender says something.
    pub(crate) fn statements(self) -> &'static [&'static str] {
        match self {
            Contract::Market => &["claim", "claimRetry", "commit"],
            Contract::Court => &[
                "commitChallenge",
                "revealChallenge",
                "revealRow",
                "pick",
                "postSegment",
                "pickSegment",
                "isolateDirect",
                "rule",
                "ruleEarlier",
            ],
            Contract::Audits => &["commitAudit"],
            Contract::AppealLevels => &[
                "openTensor",
                "revealRow",
                "pickChunk",
                "revealChunk",
                "pickElement",
                "revealStates",
                "pickState",
            ],
            _ => &[],
        }
    }

    /// Functions that say nothing that a second call could contradict.
    pub(crate) fn free(self) -> &'static [&'static str] {
        match self {
            // a task of one's own; what is open to anybody; giving a result up
            Contract::Market => &[
                "post",
                "cancel",
                "expire",
                "missDeadline",
                "reverse",
                "settle",
                "retract",
                "registerModel",
            ],
            // what is open to anybody; an appeal says no more than that there is one
            Contract::Court => &[
                "claimTimeout",
                "closeMoot",
                "drawReferee",
                "finalize",
                "refereeTimeout",
                "reclaimChallenge",
                "inputUnavailable",
                "appeal",
            ],
            // the contract holds an opening to the commitment
            Contract::Audits => &[
                "auditTimeout",
                "decide",
                "releaseAuditor",
                "inputUnavailable",
                "openAudit",
            ],
            // proofs, which the contract executes
            Contract::AppealLevels => &["claimTimeout", "step", "resolveSlot"],
            // money of one's own; what is shown opens under the input's digest
            Contract::Demands => &["demand", "answer", "close"],
            // money of one's own; the contract holds an opening to what was sealed or committed
            Contract::Traps => &[
                "seal",
                "unseal",
                "reveal",
                "penaliseAuditor",
                "enter",
                "show",
                "close",
                "collect",
            ],
            // money and membership
            Contract::Vault => &[
                "register",
                "consent",
                "stake",
                "requestUnbond",
                "withdrawUnbonded",
                "withdrawCredit",
                "unjail",
                "penaliseCorrelated",
            ],
            Contract::Pool => &["join", "leave", "refresh", "registerFamily", "showBinding"],
            Contract::Beacon => &["publish"],
            Contract::FallbackBeacon => &["publish", "fallBack"],
            // the contract takes one commitment to a round, and the one secret of it is in the database before
            Contract::SecretBeacon => &["join", "leave", "commit", "reveal"],
            Contract::Token => &["approve", "permit", "transfer", "transferFrom"],
            Contract::Parameters | Contract::Timelock => &[],
        }
    }

    fn name_of(self, selector: [u8; 4]) -> Option<&'static str> {
        use gavel_settlement::bindings as b;
        match self {
            Contract::Market => b::Market::MarketCalls::name_by_selector(selector),
            Contract::Court => b::ICourt::ICourtCalls::name_by_selector(selector),
            Contract::Audits => b::IAudits::IAuditsCalls::name_by_selector(selector),
            Contract::AppealLevels => {
                b::IAppealLevels::IAppealLevelsCalls::name_by_selector(selector)
            }
            Contract::Demands => b::IDemands::IDemandsCalls::name_by_selector(selector),
            Contract::Traps => b::ITraps::ITrapsCalls::name_by_selector(selector),
            Contract::Vault => b::StakeVault::StakeVaultCalls::name_by_selector(selector),
            Contract::Pool => b::ProviderPool::ProviderPoolCalls::name_by_selector(selector),
            Contract::Beacon => b::DevBeacon::DevBeaconCalls::name_by_selector(selector)
                .or_else(|| b::DrandBeacon::DrandBeaconCalls::name_by_selector(selector)),
            Contract::FallbackBeacon => {
                b::FallbackBeacon::FallbackBeaconCalls::name_by_selector(selector)
            }
            Contract::SecretBeacon => {
                b::CommitRevealBeacon::CommitRevealBeaconCalls::name_by_selector(selector)
            }
            Contract::Token => b::DevToken::DevTokenCalls::name_by_selector(selector),
            Contract::Parameters | Contract::Timelock => None,
        }
    }
}

/// Why it cannot be told what a call says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unclassified {
    /// A contract or function that is in no list.
    #[error("a call of {to}, selector {selector}, which is none that a party makes")]
    Call {
        /// Contract.
        to: Address,
        /// First bytes.
        selector: String,
    },
    /// About a task or dispute that the board does not have.
    #[error("{function} about {what} {id}, which the board does not have")]
    Subject {
        /// The function.
        function: &'static str,
        /// A task, a dispute, a retry lane.
        what: &'static str,
        /// Which.
        id: String,
    },
    /// Arguments that do not decode.
    #[error("{function}: {reason}")]
    Arguments {
        /// The function.
        function: &'static str,
        /// Why.
        reason: String,
    },
}

/// What a call of `me` says, if it says anything.
///
/// # Errors
/// It cannot be told: then it must not be sent.
pub fn statement_of(
    board: &Board,
    contracts: &Deployment,
    me: Address,
    to: Address,
    call: &[u8],
) -> Result<Option<Statement>, Unclassified> {
    let unknown = || Unclassified::Call {
        to,
        selector: alloy_primitives::hex::encode_prefixed(call.get(..4).unwrap_or(call)),
    };
    let contract = Contract::at(board, contracts, to).ok_or_else(unknown)?;
    let selector = *call.first_chunk::<4>().ok_or_else(unknown)?;
    let function = contract.name_of(selector).ok_or_else(unknown)?;
    if contract.free().contains(&function) {
        return Ok(None);
    }
    if !contract.statements().contains(&function) {
        return Err(unknown());
    }
    let on = On {
        board,
        contracts,
        me,
        function,
        call,
    };
    let said = match (contract, function) {
        (Contract::Market, "claim") => {
            on.of_task(Kind::Claim, on.args::<Market::claimCall>()?.taskId)?
        }
        (Contract::Market, "claimRetry") => on.claim_retry()?,
        (Contract::Market, "commit") => {
            let args = on.args::<Market::commitCall>()?;
            let level1 = Digest(args.level1Root.0);
            let said = TraceCommitment::new(args.steps, level1).trace_root;
            on.of_task(Kind::Result, args.taskId)?.saying(said.0.into())
        }
        (Contract::Court, "commitChallenge") => {
            let args = on.args::<ICourt::commitChallengeCall>()?;
            on.of_task(Kind::Challenge, args.taskId)?
                .saying(args.commitment)
        }
        (Contract::Court, "revealChallenge") => on.reveal_challenge()?,
        (Contract::Audits, "commitAudit") => on.commit_audit()?,
        (Contract::Court, "rule") => {
            let id = on.args::<ICourt::ruleCall>()?.disputeId;
            on.in_dispute(Kind::Ruling, id)?
        }
        (Contract::Court, "ruleEarlier") => {
            let id = on.args::<ICourt::ruleEarlierCall>()?.disputeId;
            on.in_dispute(Kind::Ruling, id)?
        }
        (Contract::Court, _) => on.in_dispute(Kind::Move, on.word(0)?)?,
        // the first argument is the court
        _ => on.in_dispute(Kind::Move, on.word(1)?)?,
    };
    Ok(Some(said))
}

impl Statement {
    fn saying(self, value: B256) -> Statement {
        Statement { value, ..self }
    }
}

struct On<'a> {
    board: &'a Board,
    contracts: &'a Deployment,
    me: Address,
    function: &'static str,
    call: &'a [u8],
}

impl On<'_> {
    fn args<C: SolCall>(&self) -> Result<C, Unclassified> {
        C::abi_decode(self.call).map_err(|e| Unclassified::Arguments {
            function: self.function,
            reason: e.to_string(),
        })
    }

    /// An argument that is one word.
    fn word(&self, at: usize) -> Result<U256, Unclassified> {
        let start = 4 + 32 * at;
        let word = self.call.get(start..start + 32);
        word.map(U256::from_be_slice)
            .ok_or_else(|| Unclassified::Arguments {
                function: self.function,
                reason: format!("{} bytes", self.call.len()),
            })
    }

    fn missing(&self, what: &'static str, id: impl ToString) -> Unclassified {
        Unclassified::Subject {
            function: self.function,
            what,
            id: id.to_string(),
        }
    }

    fn task(&self, id: U256) -> Result<(u64, &Task), Unclassified> {
        let found = u64::try_from(id).ok();
        let found = found.and_then(|id| Some((id, self.board.task(id)?)));
        found.ok_or_else(|| self.missing("task", id))
    }

    fn dispute(&self, id: U256) -> Result<(u64, &DisputeEntry), Unclassified> {
        let found = u64::try_from(id).ok();
        let found = found.and_then(|id| Some((id, self.board.disputes.get(&id)?)));
        found.ok_or_else(|| self.missing("dispute", id))
    }

    fn of_task(&self, kind: Kind, id: U256) -> Result<Statement, Unclassified> {
        let (id, task) = self.task(id)?;
        Ok(about_task(kind, id, task))
    }

    fn claim_retry(&self) -> Result<Statement, Unclassified> {
        let class = Digest(self.args::<Market::claimRetryCall>()?.classId.0);
        let (id, entry) =
            (self.board.retry_head(&class)).ok_or_else(|| self.missing("retry lane", class))?;
        Ok(about_task(Kind::Claim, id, &entry.task))
    }

    /// It opens the commitment, so it says the same (P-C1).
    fn reveal_challenge(&self) -> Result<Statement, Unclassified> {
        let args = self.args::<ICourt::revealChallengeCall>()?;
        let said = self.of_task(Kind::Challenge, args.taskId)?;
        let bound = (
            U256::from(self.contracts.chain_id),
            self.contracts.court,
            self.me,
            args.taskId,
            U256::from(said.subject.attempt),
            args.ownTraceRoot,
            args.salt,
        );
        Ok(said.saying(keccak256(bound.abi_encode())))
    }

    fn commit_audit(&self) -> Result<Statement, Unclassified> {
        let args = self.args::<IAudits::commitAuditCall>()?;
        let mut said = self.of_task(Kind::Audit, args.taskId)?;
        let key = (said.subject.id, said.subject.attempt);
        let audit = self.board.audits.get(&key);
        let audit = audit.ok_or_else(|| self.missing("the audit of task", args.taskId))?;
        // the seed draws another commit point after a reorg, or for another auditor's turn
        said.subject.answers = keccak256(audit.audit.leaf_index.to_be_bytes());
        let value = [args.saltedRoot.as_slice(), args.rootCommitment.as_slice()];
        Ok(said.saying(keccak256(value.concat())))
    }

    fn in_dispute(&self, kind: Kind, id: U256) -> Result<Statement, Unclassified> {
        let (id, entry) = self.dispute(id)?;
        let dispute = &entry.dispute;
        let task = self.task(U256::from(dispute.task))?.1;
        let position = position(dispute, entry);
        // of a ruling there are two forms, and one may be given; moves of two kinds contradict each other in nothing
        let answers = match kind {
            Kind::Ruling => keccak256(position),
            _ => keccak256([self.function.as_bytes(), &position].concat()),
        };
        let subject = Subject {
            kind,
            id,
            attempt: 0,
            case: dispute_case(task, dispute),
            answers,
        };
        Ok(Statement {
            subject,
            value: keccak256(self.call),
        })
    }
}

/// A claim, or anything else about a task whose value is still to be said.
pub(crate) fn about_task(kind: Kind, id: u64, task: &Task) -> Statement {
    Statement {
        subject: Subject {
            kind,
            id,
            attempt: task.attempt,
            case: task_case(task),
            answers: B256::ZERO,
        },
        value: B256::ZERO,
    }
}

/// The claim that a move in a dispute answers: hashes and places, nothing that a clock or a block number changes.
fn position(dispute: &Dispute, entry: &DisputeEntry) -> Vec<u8> {
    let mut out = Vec::new();
    let words = [dispute.node, dispute.leaf, dispute.previous_leaf];
    let later = [dispute.ops_root, dispute.claimed_digest];
    for digest in words.iter().chain(&later) {
        out.extend(digest.0);
    }
    out.extend(dispute.row_hash);
    out.extend([dispute.height, dispute.in_live.into(), dispute.hops]);
    out.extend(dispute.index.to_be_bytes());
    out.extend(dispute.leaf_index.to_be_bytes());
    out.extend(dispute.isolated_index.to_be_bytes());
    if let Some(game) = &entry.appeal.game {
        for digest in [game.node, game.start, game.end] {
            out.extend(digest.0);
        }
        out.extend([game.height, game.replay.into()]);
        for number in [game.index, game.element, game.first_batch, game.batches] {
            out.extend(number.to_be_bytes());
        }
        out.extend(game.value.to_be_bytes());
    }
    out
}
