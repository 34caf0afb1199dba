//! The calls about known-answer tasks.

use gavel_settlement::alloy::primitives::{Address, B256, U256, keccak256};
use gavel_settlement::alloy::sol_types::SolValue as _;
use gavel_settlement::bindings::ITraps;

use super::compare::pots;
use super::forms;
use super::mirror::Mirror;
use super::world::WorldError;
use crate::ledger::{Done, Party, Seal, SealId, TrapOp};

impl Mirror {
    pub(super) fn trap_on_chain(&mut self, op: TrapOp) -> Result<Done, WorldError> {
        let traps = self.deployment().traps;
        let anyone = self.world.address(Party::MAX);
        let (task_id, mut done) = (U256::from, Done::Nothing);
        match op {
            TrapOp::Seal {
                by,
                requester,
                provider,
                answer,
                jackpot,
            } => {
                let number = self.ledger.seal_ids().end;
                let call = ITraps::sealCall {
                    commitment: self.commitment(number, by, requester, provider, answer),
                    jackpot,
                };
                let from = self.world.address(by);
                self.world.call(from, traps, &call)?;
                done = Done::Seal(number);
            }
            TrapOp::Unseal { seal, by } => {
                let call = ITraps::unsealCall {
                    commitment: self.commitment_of(seal),
                };
                let from = self.world.address(by);
                self.world.call(from, traps, &call)?;
            }
            TrapOp::Reveal { task, seal, by } => {
                let sealed = self.ledger.seal(seal);
                let call = ITraps::revealCall {
                    taskId: task_id(task),
                    opening: ITraps::TrapOpening {
                        sealer: self.world.address(sealed.map_or(0, |s| s.sealer)),
                        salt: forms::trap_salt(sealed.map_or(0, |s| s.answer)),
                        nonce: B256::from(U256::from(seal)),
                        leafIndex: 0,
                        proof: Vec::new(),
                    },
                };
                let from = self.world.address(by);
                self.world.call(from, traps, &call)?;
            }
            TrapOp::Penalise { task, attempt } => {
                let call = ITraps::penaliseAuditorCall {
                    taskId: task_id(task),
                    attempt,
                };
                self.world.call(anyone, traps, &call)?;
            }
            TrapOp::Enter {
                task,
                attempt,
                finder,
            } => {
                let call = ITraps::enterCall {
                    taskId: task_id(task),
                    attempt,
                    finder: self.world.address(finder),
                };
                self.world.call(anyone, traps, &call)?;
            }
            TrapOp::Show {
                task,
                attempt,
                by,
                answer,
            } => {
                let call = ITraps::showCall {
                    taskId: task_id(task),
                    attempt,
                    ownTraceRoot: forms::trace_root(answer),
                    salt: B256::ZERO,
                };
                let from = self.world.address(by);
                self.world.call(from, traps, &call)?;
            }
            TrapOp::Close { task, attempt } => {
                let call = ITraps::closeCall {
                    taskId: task_id(task),
                    attempt,
                };
                self.world.call(anyone, traps, &call)?;
            }
            TrapOp::Collect {
                task,
                attempt,
                finder,
            } => {
                let call = ITraps::collectCall {
                    taskId: task_id(task),
                    attempt,
                    finder: self.world.address(finder),
                };
                self.world.call(anyone, traps, &call)?;
            }
        }
        Ok(done)
    }

    /// Name of the pot that holds a deposit.
    pub(super) fn pot_of_seal(&self, id: SealId, seal: &Seal) -> B256 {
        pots::trap(
            self.world.address(seal.sealer),
            self.commitment_of_seal(id, seal),
        )
    }

    /// A commitment that nobody sealed, where there is no such seal.
    fn commitment_of(&self, id: SealId) -> B256 {
        match self.ledger.seal(id) {
            Some(seal) => self.commitment_of_seal(id, seal),
            None => B256::ZERO,
        }
    }

    fn commitment_of_seal(&self, id: SealId, s: &Seal) -> B256 {
        self.commitment(id, s.sealer, s.requester, s.provider, s.answer)
    }

    /// P-K2; the number is the nonce, so that no two are the same.
    fn commitment(
        &self,
        number: SealId,
        sealer: Party,
        requester: Party,
        provider: Party,
        answer: u64,
    ) -> B256 {
        let at = self.world.deployment();
        let mut name = [0; 32];
        name[..10].copy_from_slice(b"Gavel trap");
        let [sealer, requester, provider]: [Address; 3] =
            [sealer, requester, provider].map(|party| self.world.address(party));
        let bound = (
            B256::new(name),
            U256::from(at.chain_id),
            at.traps,
            sealer,
            requester,
            provider,
            forms::trap_leaf(answer),
            B256::from(U256::from(number)),
        );
        keccak256(bound.abi_encode_params())
    }
}
