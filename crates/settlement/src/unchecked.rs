//! Parameters that the constructor refuses, on a chain all the same: for simulations of what its checks prevent.
//!
//! The contract that comes of it is `Parameters` itself, with the storage that its constructor would have written had it not
//! checked. Where that storage is, is learned from a contract that was created with numbers it takes.

use alloy::json_abi::Param;
use alloy::primitives::{Address, B256, Bytes, LogData, U256, keccak256};
use alloy::sol_types::{SolEvent as _, SolValue as _};

use crate::account::{Sender, dev_key};
use crate::artifacts::{artifacts, bytecode, runtime};
use crate::bindings::Parameters::{GuardianSet, ParametersSet, Params};
use crate::chain::Genesis;
use crate::deploy::DeployError;
use crate::{DevParams, Endpoint, SharedChain, dev_params};

/// Slots before the versions: owner, newest version, pause, guardian.
const HEAD: u64 = 2;
/// Slot of the versions.
const VERSIONS: u64 = 2;
/// Largest creation code (EIP-3860).
const CODE_MAX: usize = 49_152;

/// Creation code of parameters that nobody checks.
pub(crate) async fn creation_code(
    timelock: Address,
    guardian: Address,
    params: &Params,
) -> Result<Bytes, DeployError> {
    let mut taken = dev_params(DevParams::default());
    taken.court.appealLevels = guardian;
    let arguments = (timelock, guardian, taken.clone()).abi_encode_params();
    let code: Bytes = [&bytecode("Parameters")?[..], &arguments].concat().into();
    let chain = SharedChain::in_memory(Genesis::default());
    let sender = Sender::new(dev_key("unchecked", 0), Endpoint::in_process(chain.clone()));
    let created = sender
        .create(code)
        .await
        .map_err(|source| DeployError::Create {
            contract: "Parameters",
            source,
        })?;
    let at = created.created.unwrap_or_default();
    let slot = |slot: U256| {
        let word = chain.lock().storage(at, slot);
        word.map_err(|e| DeployError::Wiring(e.to_string()))
    };

    let version = (U256::from(1), U256::from(VERSIONS)).abi_encode_params();
    let first = U256::from_be_bytes(keccak256(version).0);
    let kept = packed(&taken)?;
    for (word, i) in kept.iter().zip(0u64..) {
        if slot(first + U256::from(i))? != *word {
            return Err(DeployError::Wiring(format!(
                "slot {i} of the parameters is not where this program expects it"
            )));
        }
    }
    let mut slots = Vec::new();
    for i in (0..HEAD).map(U256::from) {
        slots.push((i, slot(i)?));
    }
    let words = packed(params)?;
    slots.extend(
        (0u64..)
            .zip(words)
            .map(|(i, word)| (first + U256::from(i), word)),
    );
    let logs = [
        GuardianSet { guardian }.encode_log_data(),
        ParametersSet {
            version: 1,
            params: params.clone(),
        }
        .encode_log_data(),
    ];
    let code = assemble(&slots, &logs, runtime("Parameters")?);
    match code.len() <= CODE_MAX {
        true => Ok(code.into()),
        false => Err(DeployError::Wiring(format!(
            "creation code of {} bytes, expected at most {CODE_MAX}",
            code.len()
        ))),
    }
}

/// Parameters as the compiler lays them out: members of a struct share a slot while they fit, a struct begins and ends one.
fn packed(params: &Params) -> Result<Vec<U256>, DeployError> {
    let unknown = |what: &str| DeployError::Wiring(format!("the layout of {what} is unknown"));
    let abi = artifacts().get("Parameters").map(|a| &a.abi);
    let kind = abi
        .and_then(|abi| abi.constructor.as_ref()?.inputs.last())
        .ok_or_else(|| unknown("Params"))?;
    let encoded = params.abi_encode();
    let (words, _) = encoded.as_chunks::<32>();
    let mut words = words.iter().map(|word| U256::from_be_bytes(*word));
    let mut slots = Slots::default();
    slots
        .add(kind, &mut words)
        .ok_or_else(|| unknown(&kind.ty))?;
    slots.end();
    Ok(slots.full)
}

#[derive(Default)]
struct Slots {
    full: Vec<U256>,
    word: U256,
    used: usize,
}

impl Slots {
    fn add(&mut self, kind: &Param, words: &mut impl Iterator<Item = U256>) -> Option<()> {
        if !kind.components.is_empty() {
            self.end();
            for member in &kind.components {
                self.add(member, words)?;
            }
            self.end();
            return Some(());
        }
        let bytes = match kind.ty.as_str() {
            "address" => 20,
            "bool" => 1,
            other => other.strip_prefix("uint")?.parse::<usize>().ok()? / 8,
        };
        if self.used + bytes > 32 {
            self.end();
        }
        self.word |= words.next()? << (8 * self.used);
        self.used += bytes;
        Some(())
    }

    /// What follows begins a slot.
    fn end(&mut self) {
        if self.used > 0 {
            self.full.push(self.word);
        }
        (self.word, self.used) = (U256::ZERO, 0);
    }
}

/// Code that fills slots, tells of it, and leaves `body` behind.
fn assemble(slots: &[(U256, U256)], logs: &[LogData], body: &[u8]) -> Vec<u8> {
    const SSTORE: u8 = 0x55;
    const CODECOPY: u8 = 0x39;
    const RETURN: u8 = 0xf3;
    const LOG0: u8 = 0xa0;
    const PUSH4: u8 = 0x63;
    const PUSH32: u8 = 0x7f;
    let word = |code: &mut Vec<u8>, word: B256| {
        code.push(PUSH32);
        code.extend(word);
    };
    let short = |code: &mut Vec<u8>, number: usize| {
        code.push(PUSH4);
        code.extend((number as u32).to_be_bytes());
    };
    // what is copied comes behind the code, whose length does not depend on where that is
    let write = |start: usize| {
        let mut code = Vec::new();
        for (slot, value) in slots.iter().filter(|(_, value)| !value.is_zero()) {
            word(&mut code, (*value).into());
            word(&mut code, (*slot).into());
            code.push(SSTORE);
        }
        let mut at = start;
        for log in logs {
            let len = log.data.len();
            for number in [len, at, 0] {
                short(&mut code, number);
            }
            code.push(CODECOPY);
            log.topics()
                .iter()
                .rev()
                .for_each(|topic| word(&mut code, *topic));
            short(&mut code, len);
            short(&mut code, 0);
            code.push(LOG0 + log.topics().len() as u8);
            at += len;
        }
        for number in [body.len(), at, 0] {
            short(&mut code, number);
        }
        code.push(CODECOPY);
        short(&mut code, body.len());
        short(&mut code, 0);
        code.push(RETURN);
        code
    };
    let mut code = write(write(0).len());
    for log in logs {
        code.extend(&log.data);
    }
    code.extend(body);
    code
}
