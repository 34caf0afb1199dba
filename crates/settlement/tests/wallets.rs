//! Contract wallets, asked on a chain whether a signature is theirs.
#![allow(clippy::unwrap_used)]

use alloy::primitives::{Address, B256, Bytes, hex};
use gavel_settlement::account::dev_key;
use gavel_settlement::chain::Genesis;
use gavel_settlement::{
    Endpoint, NetworkError, Patience, Sender, SharedChain, WalletVerdict, wallet_says,
};

/// A wallet that takes the hash itself as its signature; to others it answers by their first byte: 2 another word, 3 a
/// revert, 4 nothing, else it executes what is no instruction.
const WALLET: &str = "60438060095f395ff360643580600435146025578060f81c8060021460345780600314603d5780600414604157\
    fe5b631626ba7e60e01b5f5260205ff35b60015f5260205ff35b5f5ffd5b00";

#[tokio::test]
async fn a_wallet_accepts_refuses_or_is_none() {
    let chain = SharedChain::in_memory(Genesis::default());
    let endpoint = Endpoint::in_process(chain);
    let deployer = Sender::new(dev_key("demo", 0), endpoint.clone());
    let code = hex::decode(WALLET).unwrap();
    let made = deployer.create(code.into()).await.unwrap();
    let wallet = made.created.unwrap();
    let hash = B256::repeat_byte(9);
    let ask = |at: Address, signature: Vec<u8>| {
        let endpoint = endpoint.clone();
        async move { wallet_says(&endpoint, at, hash, signature.into()).await }
    };
    let said = ask(wallet, hash.to_vec()).await.unwrap();
    assert_eq!(said, WalletVerdict::Accepted);
    for first in [2, 3, 5, 0xff] {
        let said = ask(wallet, vec![first; 65]).await.unwrap();
        assert_eq!(said, WalletVerdict::Refused, "{first}");
    }
    let said = ask(wallet, Vec::new()).await.unwrap();
    assert_eq!(said, WalletVerdict::Refused);
    for (at, signature) in [
        (wallet, vec![4; 65]),
        (deployer.address(), hash.to_vec()),
        (Address::repeat_byte(0x55), hash.to_vec()),
    ] {
        let said = ask(at, signature).await.unwrap();
        assert_eq!(said, WalletVerdict::NoWallet, "{at}");
    }
}

#[tokio::test]
async fn a_chain_that_does_not_answer_is_no_refusal() {
    // nobody listens there any more
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    drop(taken);
    let endpoint = Endpoint::http(&url).unwrap().with_patience(Patience {
        tries: 1,
        ..Patience::default()
    });
    let asked = wallet_says(&endpoint, Address::ZERO, B256::ZERO, Bytes::new()).await;
    assert!(matches!(asked, Err(NetworkError::Rpc(_))), "{asked:?}");
}
