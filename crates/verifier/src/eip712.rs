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

    /// Adds a text of any length, by its hash.
    pub(crate) fn text(self, text: &str) -> Struct {
        self.word(&keccak(text.as_bytes()))
    }

    /// Adds an address.
    pub(crate) fn address(self, address: &[u8; 20]) -> Struct {
        self.right(address)
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
        .address(contract)
}

/// What a wallet signs.
pub(crate) fn signing_hash(domain: &Struct, message: &Struct) -> [u8; 32] {
    let parts = [&b"\x19\x01"[..], &keccak(&domain.0), &keccak(&message.0)];
    keccak(&parts.concat())
}

/// Why bytes are no key's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not 65 bytes.
    #[error("it has {0} bytes, that of a key has 65: r, s and v")]
    Length(usize),
    /// The last byte says which of two points is meant.
    #[error("its last byte is {0}, expected 27 or 28, or 0 or 1")]
    Parity(u8),
    /// The other form of a signature that anybody can make of one.
    #[error("its s is in the upper half of the group's order, expected the lower")]
    HighS,
    /// No point of the curve.
    #[error("its r and s are those of no key")]
    NoKey,
}

/// The address whose key made a signature of 65 bytes.
///
/// # Errors
/// No key did.
pub fn recover(hash: &[u8; 32], signature: &[u8]) -> Result<[u8; 20], SignatureError> {
    let Some((v, rest)) = signature.split_last().filter(|(_, rest)| rest.len() == 64) else {
        return Err(SignatureError::Length(signature.len()));
    };
    let odd = match v {
        0 | 27 => false,
        1 | 28 => true,
        _ => return Err(SignatureError::Parity(*v)),
    };
    let signature = Signature::from_slice(rest).map_err(|_| SignatureError::NoKey)?;
    if signature.normalize_s().is_some() {
        return Err(SignatureError::HighS);
    }
    let recovery = RecoveryId::new(odd, false);
    let key = VerifyingKey::recover_from_prehash(hash, &signature, recovery)
        .map_err(|_| SignatureError::NoKey)?;
    let point = key.to_encoded_point(false);
    let address = point.as_bytes().get(1..).map(keccak);
    let address = address.and_then(|hash| hash.last_chunk().copied());
    address.ok_or(SignatureError::NoKey)
}
