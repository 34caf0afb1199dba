//! Accounts that are contracts: what they say of signatures (ERC-1271).

use alloy::network::TransactionBuilder as _;
use alloy::primitives::{Address, B256, Bytes};
use alloy::providers::Provider as _;
use alloy::rpc::types::TransactionRequest;
use alloy::sol_types::SolCall as _;
use alloy::transports::RpcError;

use crate::{Endpoint, NetworkError};

alloy::sol! {
    function isValidSignature(bytes32 hash, bytes signature) external view returns (bytes4);
}

/// Most gas of an answer: enough for several signatures of curves that have no precompile.
const GAS_MOST: u64 = 5_000_000;

/// What an account says of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalletVerdict {
    /// It is the account's.
    Accepted,
    /// It is not.
    Refused,
    /// Nothing at the address answers: no contract, or none that knows ERC-1271.
    NoWallet,
}

/// Asks a contract whether a signature of a hash is its own, at the newest block.
///
/// # Errors
/// The chain cannot be asked.
pub async fn wallet_says(
    endpoint: &Endpoint,
    wallet: Address,
    hash: B256,
    signature: Bytes,
) -> Result<WalletVerdict, NetworkError> {
    let call = isValidSignatureCall { hash, signature };
    let request = TransactionRequest::default()
        .with_to(wallet)
        .with_input(call.abi_encode())
        .with_gas_limit(GAS_MOST);
    match endpoint.provider().call(request).await {
        Ok(output) => Ok(verdict(&output)),
        Err(RpcError::ErrorResp(payload)) if has_failed(payload.code, &payload.message) => {
            Ok(WalletVerdict::Refused)
        }
        Err(other) => Err(other.into()),
    }
}

/// The answer is a word that begins with the function's selector.
fn verdict(output: &[u8]) -> WalletVerdict {
    let mut accepted = [0; 32];
    accepted[..4].copy_from_slice(&isValidSignatureCall::SELECTOR);
    match output {
        [] => WalletVerdict::NoWallet,
        _ if output == accepted => WalletVerdict::Accepted,
        _ => WalletVerdict::Refused,
    }
}

/// Whether a node says that the contract has failed, and not the node: there is a code for reverts alone, the rest are
/// words of its machine.
fn has_failed(code: i64, message: &str) -> bool {
    let message = message.to_lowercase();
    let failures = ["revert", "halted", "out of gas", "opcode", "stack ", "jump"];
    code == 3 || failures.iter().any(|word| message.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_word_accepts() {
        let mut word = [0; 32];
        word[..4].copy_from_slice(&[0x16, 0x26, 0xba, 0x7e]);
        assert_eq!(verdict(&word), WalletVerdict::Accepted);
        assert_eq!(verdict(&word[..31]), WalletVerdict::Refused);
        assert_eq!(verdict(&[&word[..], &[0]].concat()), WalletVerdict::Refused);
        assert_eq!(verdict(&word[..4]), WalletVerdict::Refused);
        assert_eq!(verdict(&[]), WalletVerdict::NoWallet);
        word[31] = 1;
        assert_eq!(verdict(&word), WalletVerdict::Refused);
        // `true`, which contracts of another make answer
        assert_eq!(verdict(&B256::with_last_byte(1).0), WalletVerdict::Refused);
    }

    #[test]
    fn a_node_in_trouble_is_no_contract_that_refuses() {
        for (code, message) in [
            (3, "execution reverted"),
            (-32000, "execution reverted: no"),
            (-32000, "invalid opcode: INVALID"),
            (-32000, "out of gas: gas required exceeds: 5000000"),
            (-32000, "execution halted: InvalidFEOpcode"),
        ] {
            assert!(has_failed(code, message), "{message}");
        }
        for (code, message) in [
            (-32005, "rate limit exceeded"),
            (-32603, "internal error"),
            (-32000, "header not found"),
        ] {
            assert!(!has_failed(code, message), "{message}");
        }
    }
}
