//! EIP-712: structured data as one digest, and who signed it.

use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use sha3::{Digest as _, Keccak256};

const DOMAIN: &str =
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)";

fn keccak(bytes: &[u8]) -> [u8; 32] {
    Keccak256::digest(bytes).into()
}

/// The words of a struct: its type's hash, then its members.
pub(crate) struct Struct(Vec<u8>);

impl Struct {
    /// A struct of this type, without its members.
    pub(crate) fn of(encoded_type: &str) -> Struct {
        Struct(keccak(encoded_type.as_bytes()).to_vec())
    }

    /// Adds a member of one word.
    pub(crate) fn word(mut self, word: &[u8; 32]) -> Struct {
        self.0.extend(word);
        self
    }

    /// Adds an unsigned number.
    pub(crate) fn number(self, number: u64) -> Struct {
        self.right(&number.to_be_bytes())
    }

    fn right(mut self, bytes: &[u8]) -> Struct {
        self.0
            .extend(std::iter::repeat_n(0, 32 - bytes.len().min(32)));
        self.0.extend(bytes);
        self
    }
}

/// The domain of this protocol's messages.
pub(crate) fn domain(chain_id: u64, contract: &[u8; 20]) -> Struct {
    Struct::of(DOMAIN)
        .word(&keccak(b"Gavel"))
        .word(&keccak(b"1"))
        .number(chain_id)
        .right(contract)
}

/// What a wallet signs.
pub(crate) fn signing_hash(domain: &Struct, message: &Struct) -> [u8; 32] {
    let parts = [&b"\x19\x01"[..], &keccak(&domain.0), &keccak(&message.0)];
    keccak(&parts.concat())
}

/// The address whose key made a signature of 65 bytes.
pub(crate) fn signer(hash: &[u8; 32], signature: &[u8]) -> Option<[u8; 20]> {
    let (v, rest) = signature.split_last()?;
    let odd = match v {
        0 | 27 => false,
        1 | 28 => true,
        _ => return None,
    };
    let signature = Signature::from_slice(rest).ok()?;
    let recovery = RecoveryId::new(odd, false);
    let key = VerifyingKey::recover_from_prehash(hash, &signature, recovery).ok()?;
    let point = key.to_encoded_point(false);
    keccak(point.as_bytes().get(1..)?).last_chunk().copied()
}
