//! The contracts on a chain in this process, and accounts that call them. Nothing is signed: whoever is to call, calls.

use std::collections::HashMap;

use gavel_settlement::account::dev_key;
use gavel_settlement::alloy::consensus::transaction::Recovered;
use gavel_settlement::alloy::consensus::{SignableTransaction as _, TxEip1559, TxEnvelope};
use gavel_settlement::alloy::eips::eip2718::Encodable2718 as _;
use gavel_settlement::alloy::primitives::{
    Address, B256, Bytes, Signature, TxKind, U256, keccak256,
};
use gavel_settlement::alloy::sol_types::SolCall;
use gavel_settlement::bindings::Parameters::Params;
use gavel_settlement::bindings::{DevBeacon, DevToken, Market, ProviderPool, StakeVault};
use gavel_settlement::chain::{CallOutcome, CallRequest, ChainError};
use gavel_settlement::deploy::DeployError;
use gavel_settlement::{
    DeployOptions, Deployment, Endpoint, ProtocolEvent, Sender, SharedChain, deploy, revert,
};

use super::forms;
use crate::ledger::{Class, Party};

/// More than any call takes.
const GAS: u64 = 1 << 24;
/// What every account gets of the token.
const PURSE: u128 = 1 << 100;
/// An arithmetic that the appeal levels do not know.
const UNKNOWN_NUMERICS: u32 = 1 << 20;

/// Why a call was not made, or made no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorldError {
    /// The contracts refused it.
    #[error("{name}({values})")]
    Refused {
        /// The error's name.
        name: String,
        /// Its values.
        values: String,
    },
    /// The chain did not take it.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The contracts could not be put on the chain.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// An answer could not be read, or an event is missing.
    #[error("{0}")]
    Answer(String),
    /// The ledger and the contracts differ.
    #[error("the ledger and the contracts differ: {0}")]
    Differs(String),
}

/// The contracts, on a chain in this process.
#[derive(Debug)]
pub struct World {
    chain: SharedChain,
    deployment: Deployment,
    deployer: Address,
    nonces: HashMap<Address, u64>,
    parties: Vec<Address>,
    /// Model of each class.
    models: Vec<B256>,
    genesis: u64,
    period: u64,
    calls: u64,
}

impl World {
    /// Deploys the contracts and registers a model for each class.
    ///
    /// # Errors
    /// The parameters are refused.
    pub async fn new(params: &Params, classes: &[Class]) -> Result<World, WorldError> {
        let chain = SharedChain::in_memory(Default::default());
        let sender = Sender::new(dev_key("economics", 0), Endpoint::in_process(chain.clone()));
        let options = DeployOptions {
            supply: U256::from(u128::MAX),
            ..DeployOptions::default()
        };
        let deployment = deploy(&sender, params, &options).await?;
        // from here on time passes when it is told to
        chain.lock().share_seconds();
        let mut world = World {
            deployer: sender.address(),
            nonces: HashMap::new(),
            parties: Vec::new(),
            models: Vec::new(),
            genesis: 0,
            period: options.beacon_period,
            calls: 0,
            chain,
            deployment,
        };
        let nonce = world.chain.lock().nonce(world.deployer)?;
        world.nonces.insert(world.deployer, nonce);
        let beacon = world.deployment.beacon;
        world.genesis = world.ask(beacon, DevBeacon::genesisCall {})?;
        for (i, class) in classes.iter().enumerate() {
            let version = match class.is_judged {
                true => world.deployment.numerics_version,
                false => UNKNOWN_NUMERICS,
            };
            let call = Market::registerModelCall {
                header: forms::header(i as u8, version),
                uri: String::new(),
            };
            let market = world.deployment.market;
            let events = world.call(world.deployer, market, &call)?;
            let id = events.into_iter().find_map(|event| match event {
                ProtocolEvent::Market(Market::MarketEvents::ModelRegistered(e)) => Some(e.modelId),
                _ => None,
            });
            let id = id.ok_or_else(|| WorldError::Answer("no model was registered".into()))?;
            world.models.push(id);
        }
        Ok(world)
    }

    /// Another one that goes on from here.
    pub fn fork(&self) -> World {
        let chain = self.chain.fork();
        World {
            chain,
            deployment: self.deployment.clone(),
            nonces: self.nonces.clone(),
            parties: self.parties.clone(),
            models: self.models.clone(),
            ..*self
        }
    }

    /// The contracts' addresses.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Calls that took effect.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// The clock.
    pub fn now(&self) -> u64 {
        self.chain.now()
    }

    /// Moves the clock forward.
    ///
    /// # Errors
    /// It has come to its end.
    pub fn advance_to(&self, time: u64) -> Result<(), WorldError> {
        Ok(self.chain.advance_to(time)?)
    }

    /// Model of a class.
    pub fn model(&self, class: u8) -> B256 {
        self.models
            .get(usize::from(class))
            .copied()
            .unwrap_or_default()
    }

    /// How many models there are.
    pub fn classes(&self) -> usize {
        self.models.len()
    }

    /// An account with money, which lets the vault take it.
    ///
    /// # Errors
    /// The token refused.
    pub fn add(&mut self) -> Result<Party, WorldError> {
        let number = self.parties.len() as Party;
        let hash = keccak256([&b"party"[..], &number.to_be_bytes()].concat());
        let address = Address::from_word(hash);
        self.parties.push(address);
        let token = self.deployment.token;
        let call = DevToken::transferCall {
            to: address,
            value: U256::from(PURSE),
        };
        self.call(self.deployer, token, &call)?;
        let call = DevToken::approveCall {
            spender: self.deployment.vault,
            value: U256::MAX,
        };
        self.call(address, token, &call)?;
        Ok(number)
    }

    /// Address of an account.
    pub fn address(&self, party: Party) -> Address {
        let known = self.parties.get(party as usize).copied();
        known.unwrap_or_else(|| Address::from_word(B256::from(U256::from(party))))
    }

    /// The account with an address.
    pub fn party(&self, address: Address) -> Option<Party> {
        let place = self.parties.iter().position(|a| *a == address)?;
        Some(place as Party)
    }

    /// Registers with its own name as owner and payout, and joins the pool of every class.
    ///
    /// # Errors
    /// The vault or a pool refused.
    pub fn register(&mut self, key: Party, stake: u128) -> Result<(), WorldError> {
        let address = self.address(key);
        let call = StakeVault::registerCall {
            owner: address,
            payout: address,
            maxConcurrency: u16::MAX.into(),
            stakeAmount: stake,
        };
        self.call(address, self.deployment.vault, &call)?;
        for class in 0..self.models.len() as u8 {
            let call = ProviderPool::joinCall {
                classId: self.model(class),
            };
            self.call(address, self.deployment.pool, &call)?;
        }
        Ok(())
    }

    /// Calls a contract; what happened.
    ///
    /// # Errors
    /// It was refused: nothing changed.
    pub fn call<C: SolCall>(
        &mut self,
        from: Address,
        to: Address,
        call: &C,
    ) -> Result<Vec<ProtocolEvent>, WorldError> {
        let nonce = self.nonces.get(&from).copied().unwrap_or_default();
        let transaction = TxEip1559 {
            chain_id: self.deployment.chain_id,
            nonce,
            gas_limit: GAS,
            max_fee_per_gas: 0,
            max_priority_fee_per_gas: 0,
            to: TxKind::Call(to),
            value: U256::ZERO,
            access_list: Default::default(),
            input: call.abi_encode().into(),
        };
        // in the place of the signature there is who calls, so that no two transactions are the same
        let from_word = U256::from_be_bytes(from.into_word().0);
        let stand_in = Signature::new(from_word, U256::from(1), false);
        let envelope = TxEnvelope::from(transaction.into_signed(stand_in));
        let raw: Bytes = envelope.encoded_2718().into();
        let mut chain = self.chain.lock();
        let done = chain.submit_if_it_succeeds(&raw, &Recovered::new_unchecked(envelope, from));
        let hash = done.map_err(|error| match error {
            ChainError::WouldFail(CallOutcome::Reverted(data)) => refused(&data),
            other => WorldError::Chain(other),
        })?;
        let receipt = chain.receipt_of(hash)?;
        let logs = receipt.iter().flat_map(|receipt| &receipt.logs);
        let events =
            logs.map(|l| ProtocolEvent::decode(&self.deployment, l.log.address, &l.log.data));
        let events = events.collect();
        drop(chain);
        self.nonces.insert(from, nonce + 1);
        self.calls += 1;
        Ok(events)
    }

    /// Asks a contract.
    ///
    /// # Errors
    /// It refused, or its answer cannot be read.
    pub fn ask<C: SolCall>(&self, to: Address, call: C) -> Result<C::Return, WorldError> {
        let request = CallRequest {
            to: Some(to),
            data: call.abi_encode().into(),
            ..CallRequest::default()
        };
        match self.chain.lock().call(&request)? {
            CallOutcome::Returned { output, .. } => C::abi_decode_returns(&output)
                .map_err(|e| WorldError::Answer(format!("{}: {e}", C::SIGNATURE))),
            CallOutcome::Reverted(data) => Err(refused(&data)),
            CallOutcome::Halted(why) => Err(WorldError::Answer(why)),
        }
    }

    /// A word of a contract's storage.
    pub(super) fn storage(&self, of: Address, slot: U256) -> U256 {
        // this chain reads no disk: a word is never missing
        self.chain.lock().storage(of, slot).unwrap_or_default()
    }

    /// The first round of the beacon after a time, and when it is due.
    pub(super) fn round_after(&self, time: u64) -> (u64, u64) {
        let round = match time.checked_sub(self.genesis) {
            Some(since) => since / self.period + 2,
            None => 1,
        };
        (round, self.genesis + (round - 1) * self.period)
    }

    /// A round's value; zero while it is not out.
    pub(super) fn value_of(&self, round: u64) -> Result<B256, WorldError> {
        self.ask(self.deployment.beacon, DevBeacon::valueOfCall(round))
    }

    /// When a round came out, if it has.
    pub(super) fn published_at(&self, round: u64) -> Result<Option<u64>, WorldError> {
        let at = self.ask(self.deployment.beacon, DevBeacon::publishedAtCall(round))?;
        Ok(Some(at).filter(|at| *at != 0))
    }

    /// The first round of the beacon after a time, published if it is due.
    ///
    /// # Errors
    /// The chain failed.
    pub fn publish_after(&mut self, time: u64) -> Result<(), WorldError> {
        let (round, due) = self.round_after(time);
        if due <= self.now() && self.value_of(round)?.is_zero() {
            let beacon = self.deployment.beacon;
            self.call(self.deployer, beacon, &DevBeacon::publishCall { round })?;
        }
        Ok(())
    }
}

fn refused(data: &[u8]) -> WorldError {
    match revert::decode(data) {
        Some(error) => WorldError::Refused {
            name: error.name,
            values: error.values,
        },
        None => WorldError::Answer(format!("an error of no contract of ours: {data:?}")),
    }
}
