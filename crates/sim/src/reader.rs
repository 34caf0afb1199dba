//! Questions to the contracts of an embedded chain, answered at once.

use gavel_node::{Address, U256};
use gavel_settlement::alloy::sol_types::SolCall;
use gavel_settlement::chain::{CallOutcome, CallRequest};
use gavel_settlement::{Deployment, SharedChain};

use crate::WorldError;

/// Reads contracts, beside all connections.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    chain: SharedChain,
    deployment: Deployment,
}

impl Reader {
    pub(crate) fn new(chain: SharedChain, deployment: Deployment) -> Reader {
        Reader { chain, deployment }
    }

    pub(crate) fn chain(&self) -> &SharedChain {
        &self.chain
    }

    pub(crate) fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// What a view returns.
    pub(crate) fn ask<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return, WorldError> {
        let request = CallRequest {
            to: Some(to),
            data: call.abi_encode().into(),
            ..CallRequest::default()
        };
        match self.chain.lock().call(&request)? {
            CallOutcome::Returned { output, .. } => C::abi_decode_returns(&output)
                .map_err(|e| WorldError::View(format!("{}: {e}", C::SIGNATURE))),
            failed => Err(WorldError::View(format!("{}: {failed:?}", C::SIGNATURE))),
        }
    }
}

/// An amount that the contracts keep below 2^128.
pub(crate) fn units(value: U256) -> u128 {
    u128::try_from(value).unwrap_or(u128::MAX)
}
