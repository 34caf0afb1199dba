//! What a gateway's client signs: the vectors, and that no field of a request can be changed under its signature.
#![allow(clippy::unwrap_used)]

use gavel_trace::HexBytes;
use gavel_verifier::{ClientRequest, recover};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    count: usize,
    cases: Vec<Case>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    chain_id: String,
    market: HexBytes,
    body_digest: HexBytes,
    route: String,
    gateway: HexBytes,
    deadline: String,
    nonce: HexBytes,
    account: HexBytes,
    digest: HexBytes,
    signature: HexBytes,
}

#[derive(Deserialize)]
struct Refused {
    name: String,
    signature: HexBytes,
}

impl Case {
    fn signing_hash(&self) -> [u8; 32] {
        let request = ClientRequest {
            chain_id: self.chain_id.parse().unwrap(),
            market: self.market.0.as_slice().try_into().unwrap(),
            body_digest: self.body_digest.0.as_slice().try_into().unwrap(),
            route: &self.route,
            gateway: self.gateway.0.as_slice().try_into().unwrap(),
            deadline: self.deadline.parse().unwrap(),
            nonce: self.nonce.0.as_slice().try_into().unwrap(),
        };
        request.signing_hash()
    }
}

#[test]
fn the_vectors_are_signed_as_they_say() {
    let text = include_bytes!("../../../spec/vectors/requests.json");
    let vectors: Vectors = serde_json::from_slice(text).unwrap();
    assert_eq!(vectors.cases.len(), vectors.count);
    for case in &vectors.cases {
        let hash = case.signing_hash();
        assert_eq!(hash.as_slice(), case.digest.0, "{}", case.name);
        let signer = recover(&hash, &case.signature.0).unwrap();
        assert_eq!(signer.as_slice(), case.account.0, "{}", case.name);
    }
    let first = &vectors.cases[0];
    assert!(!vectors.refused.is_empty());
    for refused in &vectors.refused {
        let signer = recover(&first.signing_hash(), &refused.signature.0);
        let is_it = signer.is_ok_and(|signer| signer.as_slice() == first.account.0);
        assert!(!is_it, "{}", refused.name);
    }
}

type Fields = (u64, [u8; 20], [u8; 32], String, [u8; 20], u64, [u8; 32]);

fn hash((chain_id, market, body_digest, route, gateway, deadline, nonce): &Fields) -> [u8; 32] {
    let request = ClientRequest {
        chain_id: *chain_id,
        market: *market,
        body_digest: *body_digest,
        route,
        gateway: *gateway,
        deadline: *deadline,
        nonce: *nonce,
    };
    request.signing_hash()
}

proptest! {
    #[test]
    fn any_changed_field_changes_the_digest(fields: Fields, other: Fields, which in 0..7usize, bit in 0..160usize) {
        let mut changed = fields.clone();
        let flip = |bytes: &mut [u8]| {
            let at = bit / 8 % bytes.len();
            bytes[at] ^= 1 << (bit % 8);
        };
        match which {
            0 => changed.0 ^= 1 << (bit % 64),
            1 => flip(&mut changed.1),
            2 => flip(&mut changed.2),
            3 => changed.3.push(' '),
            4 => flip(&mut changed.4),
            5 => changed.5 ^= 1 << (bit % 64),
            _ => flip(&mut changed.6),
        }
        prop_assert_ne!(hash(&fields), hash(&changed));
        prop_assert_eq!(fields == other, hash(&fields) == hash(&other));
    }

    #[test]
    fn bytes_of_any_length_are_recovered_or_refused(hash: [u8; 32], signature in prop::collection::vec(any::<u8>(), 0..80)) {
        let signer = recover(&hash, &signature);
        prop_assert!(signature.len() == 65 || signer.is_err());
    }
}
