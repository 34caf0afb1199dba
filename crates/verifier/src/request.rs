//! Requests that a gateway's client signs (`spec/protocol.md`, "Signed requests").

use crate::eip712;

/// What a client signs about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientRequest<'a> {
    /// EVM chain id.
    pub chain_id: u64,
    /// Address of the market.
    pub market: [u8; 20],
    /// SHA-256 of the body, byte for byte; of nothing where there is none.
    pub body_digest: [u8; 32],
    /// Method, a space, path and query as they are sent: `POST /v1/tasks`.
    pub route: &'a str,
    /// The account that the gateway posts tasks with.
    pub gateway: [u8; 20],
    /// Last second, since the epoch, at which it is taken.
    pub deadline: u64,
    /// What tells it from the account's other requests; big-endian.
    pub nonce: [u8; 32],
}

impl ClientRequest<'_> {
    /// What is signed: the EIP-712 digest.
    pub fn signing_hash(&self) -> [u8; 32] {
        let domain = eip712::domain(self.chain_id, &self.market);
        let request = eip712::Struct::of(
            "Request(bytes32 bodyDigest,string route,address gateway,uint64 deadline,uint256 nonce)",
        )
        .word(&self.body_digest)
        .text(self.route)
        .address(&self.gateway)
        .number(self.deadline)
        .word(&self.nonce);
        eip712::signing_hash(&domain, &request)
    }
}
