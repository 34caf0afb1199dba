//! Keys, signatures and their points.

use alloy::primitives::{B256, U256, hex};
use ark_bls12_381::{Bls12_381, Fq, Fq2, G1Affine, G1Projective, G2Affine, g1};
use ark_ec::AffineRepr as _;
use ark_ec::hashing::HashToCurve as _;
use ark_ec::hashing::curve_maps::wb::WBMap;
use ark_ec::hashing::map_to_curve_hasher::MapToCurveBasedHasher;
use ark_ec::pairing::Pairing as _;
use ark_ff::field_hashers::DefaultFieldHasher;
use ark_ff::{BigInteger as _, PrimeField as _, Zero as _};
use ark_serialize::CanonicalDeserialize as _;
use sha2_10::{Digest as _, Sha256};

/// Bytes of a compressed signature.
pub const SIGNATURE_BYTES: usize = 48;
/// Chain hash of quicknet: the name that relays know it by.
pub const QUICKNET_CHAIN: &str = "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971";
/// quicknet's public key, compressed.
pub const QUICKNET_KEY: &str = "83cf0f2896adee7eb8b5f01fcad3912212c437e0073e911fb90022d3e760183c8c4b450b6a0a6c3ac6a5776a2d1064510d1fec758c921cc22b0e17e63aaf4bcb5ed66304de9cf809bd274ca73bab4af5a6e9c76a4bc09e76eae8991ef5ece45a";
const QUICKNET_GENESIS: u64 = 1_692_803_367;
const QUICKNET_PERIOD: u64 = 3;

const DST: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

type Hasher =
    MapToCurveBasedHasher<G1Projective, DefaultFieldHasher<Sha256, 128>, WBMap<g1::Config>>;

/// What is wrong with a key or a round.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DrandError {
    /// Not the bytes of a point of the group, or infinity.
    #[error("the {what} is no point of {group}: {reason}")]
    Point {
        /// Key or signature.
        what: &'static str,
        /// G1 or G2.
        group: &'static str,
        /// Why.
        reason: String,
    },
    /// Not the network's signature of this round.
    #[error("this is not the network's signature of round {round}")]
    WrongSignature {
        /// Which.
        round: u64,
    },
    /// Rounds without a length.
    #[error("the network's period is 0 seconds")]
    ZeroPeriod,
}

/// A network: who signs, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrandNetwork {
    key: G2Affine,
    /// Time of round 1.
    pub genesis: u64,
    /// Seconds between rounds.
    pub period: u64,
}

/// A round that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrandRound {
    /// Its number.
    pub round: u64,
    /// The signature as an uncompressed point, x and y, as `DrandBeacon.publish` takes it.
    pub point: [U256; 4],
    /// The hash of the compressed signature: the round's value.
    pub randomness: B256,
}

impl DrandNetwork {
    /// A network with a compressed public key.
    ///
    /// # Errors
    /// No point of G2, infinity, or a period of 0.
    pub fn new(public_key: &[u8], genesis: u64, period: u64) -> Result<DrandNetwork, DrandError> {
        let key =
            G2Affine::deserialize_compressed(public_key).map_err(|e| bad_key(e.to_string()))?;
        if public_key.len() != 2 * SIGNATURE_BYTES {
            return Err(bad_key(format!("{} bytes, not 96", public_key.len())));
        }
        DrandNetwork::of(key, genesis, period)
    }

    /// The League of Entropy's unchained network of a round every three seconds.
    ///
    /// # Errors
    /// None: what it is made of is constant.
    pub fn quicknet() -> Result<DrandNetwork, DrandError> {
        let key = hex::decode(QUICKNET_KEY).map_err(|e| bad_key(e.to_string()))?;
        DrandNetwork::new(&key, QUICKNET_GENESIS, QUICKNET_PERIOD)
    }

    /// A network with the key that a contract has.
    ///
    /// # Errors
    /// As [`DrandNetwork::new`].
    pub fn from_words(
        key: &[U256; 8],
        genesis: u64,
        period: u64,
    ) -> Result<DrandNetwork, DrandError> {
        let coordinate = |i: usize| {
            let bytes = [key[i].to_be_bytes::<32>(), key[i + 1].to_be_bytes::<32>()].concat();
            let element = Fq::from_be_bytes_mod_order(&bytes);
            // one that is reduced, and no other
            (words(&element) == [key[i], key[i + 1]]).then_some(element)
        };
        let all = (coordinate(0), coordinate(2), coordinate(4), coordinate(6));
        let (Some(x0), Some(x1), Some(y0), Some(y1)) = all else {
            return Err(bad_key("an element that is not below the prime".to_owned()));
        };
        let key = G2Affine::new_unchecked(Fq2::new(x0, x1), Fq2::new(y0, y1));
        if !key.is_on_curve() || !key.is_in_correct_subgroup_assuming_on_curve() {
            return Err(bad_key("off the curve or out of the subgroup".to_owned()));
        }
        DrandNetwork::of(key, genesis, period)
    }

    fn of(key: G2Affine, genesis: u64, period: u64) -> Result<DrandNetwork, DrandError> {
        if key.is_zero() {
            return Err(bad_key("infinity".to_owned()));
        }
        if period == 0 {
            return Err(DrandError::ZeroPeriod);
        }
        Ok(DrandNetwork {
            key,
            genesis,
            period,
        })
    }

    /// The public key as `DrandBeacon`'s constructor takes it.
    pub fn words(&self) -> [U256; 8] {
        let (x, y) = (self.key.x, self.key.y);
        let [a, b, c, d] = [x.c0, x.c1, y.c0, y.c1].map(|element| words(&element));
        [a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1]]
    }

    /// Whether it is quicknet.
    pub fn is_quicknet(&self) -> bool {
        DrandNetwork::quicknet().is_ok_and(|quicknet| *self == quicknet)
    }

    /// The round that a compressed signature is of, if it is this network's.
    ///
    /// # Errors
    /// No point of G1, infinity, or another signature.
    pub fn verify(&self, round: u64, signature: &[u8]) -> Result<DrandRound, DrandError> {
        let bad = |reason: String| DrandError::Point {
            what: "signature",
            group: "G1",
            reason,
        };
        if signature.len() != SIGNATURE_BYTES {
            return Err(bad(format!("{} bytes, not 48", signature.len())));
        }
        let point = G1Affine::deserialize_compressed(signature).map_err(|e| bad(e.to_string()))?;
        if point.is_zero() {
            return Err(bad("infinity".to_owned()));
        }
        let hashed = message(round).map_err(bad)?;
        let one = Bls12_381::multi_pairing([point, hashed], [-G2Affine::generator(), self.key]);
        if !one.is_zero() {
            return Err(DrandError::WrongSignature { round });
        }
        let [x, y] = [point.x, point.y].map(|element| words(&element));
        Ok(DrandRound {
            round,
            point: [x[0], x[1], y[0], y[1]],
            randomness: B256::from_slice(&Sha256::digest(signature)),
        })
    }
}

fn bad_key(reason: String) -> DrandError {
    DrandError::Point {
        what: "public key",
        group: "G2",
        reason,
    }
}

/// The point of G1 that is signed for a round.
fn message(round: u64) -> Result<G1Affine, String> {
    let digest = Sha256::digest(round.to_be_bytes());
    let hashed = Hasher::new(DST).and_then(|hasher| hasher.hash(&digest));
    hashed.map_err(|e| e.to_string())
}

/// An element in EIP-2537's encoding: 16 bytes of zeros, 48 of it.
fn words(element: &Fq) -> [U256; 2] {
    let bytes = element.into_bigint().to_bytes_be();
    let (high, low) = bytes.split_at(bytes.len().saturating_sub(32));
    [U256::from_be_slice(high), U256::from_be_slice(low)]
}
