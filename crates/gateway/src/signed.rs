//! Requests that their clients sign (`spec/protocol.md`, "Signed requests"): what the headers say, and whether it holds.

use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use gavel_node::{ClientRequest, SignatureError, recover};
use gavel_settlement::WalletVerdict;
use sha2::{Digest as _, Sha256};

use crate::ApiError;
use crate::access::KeyRing;
use crate::desk::now;
use crate::gateway::Gateway;
use crate::limits::Caller;
use crate::network::Identity;
use crate::nonces::NonceError;
use crate::routes::body;

/// Whose request it is.
pub const ACCOUNT_HEADER: &str = "gavel-account";
/// SHA-256 of its body.
pub const BODY_DIGEST_HEADER: &str = "gavel-body-digest";
/// Last second at which it is taken.
pub const DEADLINE_HEADER: &str = "gavel-deadline";
/// What tells it from the account's others.
pub const NONCE_HEADER: &str = "gavel-nonce";
/// The account's signature.
pub const SIGNATURE_HEADER: &str = "gavel-signature";

const HEADERS: [&str; 5] = [
    ACCOUNT_HEADER,
    BODY_DIGEST_HEADER,
    DEADLINE_HEADER,
    NONCE_HEADER,
    SIGNATURE_HEADER,
];

/// Longest signature of a contract wallet: a dozen of a curve's, or one with a proof.
const MAX_SIGNATURE: usize = 4096;
/// Longest time for what a contract wallet says.
const WALLET_TIME: Duration = Duration::from_secs(10);
/// Questions to contract wallets at once: strangers can cause them.
pub(crate) const WALLETS_AT_ONCE: usize = 16;

/// What the headers of a signed request say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Whose it is.
    pub account: Address,
    /// SHA-256 of its body.
    pub body_digest: B256,
    /// Last second at which it is taken.
    pub deadline: u64,
    /// What tells it from the account's others.
    pub nonce: U256,
    /// What the account signed it with.
    pub signature: Vec<u8>,
}

impl Signed {
    /// Reads the headers; `None` where none of them is there.
    ///
    /// # Errors
    /// Some are missing, there twice or malformed, or a key is there as well.
    pub fn read(headers: &HeaderMap) -> Result<Option<Signed>, ApiError> {
        if HEADERS.iter().all(|name| !headers.contains_key(*name)) {
            return Ok(None);
        }
        if headers.contains_key(AUTHORIZATION) {
            return Err(ApiError::request(
                "ambiguous_credentials",
                "A request has a key in `Authorization` or a signature in `gavel-signature`, not both",
            ));
        }
        let word = "0x and 64 hexadecimal digits";
        let fixed =
            |name, expected| one(headers, name, expected, |text| hex(text)?.try_into().ok());
        Ok(Some(Signed {
            account: one(
                headers,
                ACCOUNT_HEADER,
                "0x and 40 hexadecimal digits",
                |text| Some(Address::from(<[u8; 20]>::try_from(hex(text)?).ok()?)),
            )?,
            body_digest: fixed(BODY_DIGEST_HEADER, word).map(|bytes: [u8; 32]| bytes.into())?,
            deadline: one(
                headers,
                DEADLINE_HEADER,
                "seconds since the epoch, in decimal",
                |text| digits(text)?.parse().ok(),
            )?,
            nonce: one(
                headers,
                NONCE_HEADER,
                "a number below 2^256, in decimal, or 0x and 1 to 64 hexadecimal digits",
                number,
            )?,
            signature: one(
                headers,
                SIGNATURE_HEADER,
                "0x and the hexadecimal digits of 1 to 4096 bytes",
                |text| hex(text).filter(|bytes| (1..=MAX_SIGNATURE).contains(&bytes.len())),
            )?,
        }))
    }
}

/// What is signed of a body.
pub fn body_digest(body: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(body)))
}

/// The value of a header that is there once.
fn one<T>(
    headers: &HeaderMap,
    name: &'static str,
    expected: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, ApiError> {
    let wrong = |found: &str| {
        let message = format!("{name}: {found}, expected {expected}");
        ApiError::field(name, "invalid_header", message)
    };
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or_else(|| wrong("missing"))?;
    if values.next().is_some() {
        return Err(wrong("there twice"));
    }
    let value = value.to_str().ok().and_then(|text| read(text.trim()));
    value.ok_or_else(|| wrong("malformed"))
}

fn digits(text: &str) -> Option<&str> {
    let all = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    all.then_some(text)
}

/// The bytes behind `0x`.
fn hex(text: &str) -> Option<Vec<u8>> {
    // the library takes another prefix off
    let digits = text.strip_prefix("0x").filter(|d| !d.starts_with("0x"))?;
    alloy_primitives::hex::decode(digits).ok()
}

fn number(text: &str) -> Option<U256> {
    match text.strip_prefix("0x") {
        Some(hex) => {
            let all = (1..=64).contains(&hex.len()) && hex.bytes().all(|b| b.is_ascii_hexdigit());
            all.then(|| U256::from_str_radix(hex, 16).ok()).flatten()
        }
        None => U256::from_str_radix(digits(text)?, 10).ok(),
    }
}

/// Lets a signed request pass, with whose it is: once, in its time, as it was signed.
pub(crate) async fn admit(
    gateway: &Gateway,
    ring: &KeyRing,
    signed: Signed,
    request: Request,
) -> Result<(Caller, Request), ApiError> {
    let Signed {
        account,
        deadline,
        nonce,
        ..
    } = signed;
    let caller = ring.caller_of(&account).ok_or_else(|| {
        let message =
            format!("Account {account} is not known here; expected one of this gateway's clients");
        ApiError::signature("unknown_account", message)
    })?;
    let horizon = gateway.options.horizon.as_secs();
    check_time(deadline, now(), horizon)?;
    if ring.nonces().is_used(account, nonce) {
        return Err(used(account, nonce));
    }
    let path = request.uri().path_and_query();
    let path = path.map_or("/", |path| path.as_str());
    let route = format!("{} {path}", request.method());
    check_signature(gateway, &signed, &route).await?;
    // only now is anything of a stranger's kept
    let (parts, sent) = request.into_parts();
    let sent = body(gateway, sent).await?;
    let found = body_digest(&sent);
    if found != signed.body_digest {
        let message = format!(
            "The body has {} bytes with SHA-256 {found}; signed was {}",
            sent.len(),
            signed.body_digest
        );
        return Err(ApiError::signature("body_digest_mismatch", message));
    }
    let minutes = horizon.div_ceil(60).saturating_add(1);
    let most = u64::from(caller.requests_per_minute).saturating_mul(minutes);
    let nonces = Arc::clone(ring.nonces());
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let taking = move || nonces.take(account, nonce, deadline, now(), most);
    let taken = tokio::task::spawn_blocking(taking).await;
    match taken {
        Ok(Ok(())) => Ok((caller, Request::from_parts(parts, Body::from(sent)))),
        Ok(Err(NonceError::Used)) => Err(used(account, nonce)),
        Ok(Err(NonceError::Expired)) => Err(expired(deadline, now())),
        Ok(Err(NonceError::Full { seconds })) => {
            let message = format!(
                "This account has {most} signed requests whose deadlines have not passed, as many as it may; again in {seconds} s"
            );
            Err(ApiError::rate(seconds, message))
        }
        Ok(Err(NonceError::Io(e))) => Err(internal(&e)),
        Err(e) => Err(internal(&e)),
    }
}

fn internal(error: &dyn std::fmt::Display) -> ApiError {
    let message = format!("The nonce cannot be written down: {error}");
    ApiError::network(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
}

fn used(account: Address, nonce: U256) -> ApiError {
    let message = format!(
        "Nonce {nonce} of account {account} was taken before; expected one that the account has not used"
    );
    ApiError::signature("nonce_used", message)
}

fn expired(deadline: u64, now: u64) -> ApiError {
    let message = format!(
        "The request was to be taken until {deadline}, it is {now} now; expected a later deadline"
    );
    ApiError::signature("request_expired", message)
}

fn check_time(deadline: u64, now: u64, horizon: u64) -> Result<(), ApiError> {
    if deadline < now {
        return Err(expired(deadline, now));
    }
    let latest = now.saturating_add(horizon);
    if deadline > latest {
        let message = format!(
            "The deadline {deadline} is too far away; expected at most {latest}, {horizon} s from now"
        );
        return Err(ApiError::signature("deadline_too_far", message));
    }
    Ok(())
}

/// Whether the account has signed this request for this gateway: with its key, or by what its contract says.
async fn check_signature(gateway: &Gateway, signed: &Signed, route: &str) -> Result<(), ApiError> {
    let Identity {
        chain_id,
        market,
        gateway: me,
    } = gateway.network.identity();
    let asked = ClientRequest {
        chain_id,
        market: market.into(),
        body_digest: signed.body_digest.0,
        route,
        gateway: me.into(),
        deadline: signed.deadline,
        nonce: signed.nonce.to_be_bytes(),
    };
    let (hash, account) = (asked.signing_hash(), signed.account);
    let recovered = recover(&hash, &signed.signature);
    if recovered.is_ok_and(|signer| signer == account.0) {
        return Ok(());
    }
    let asking = async {
        // closed never
        let _place = gateway.wallets.acquire().await;
        let network = &gateway.network;
        network
            .wallet_says(account, hash.into(), &signed.signature)
            .await
    };
    let unreachable = |reason: String| {
        let message = format!("Whether account {account} has signed cannot be asked: {reason}");
        let status = StatusCode::SERVICE_UNAVAILABLE;
        ApiError::network(status, "network_unreachable", message)
    };
    let said = tokio::time::timeout(WALLET_TIME, asking).await;
    let said = said.map_err(|_| unreachable("the chain takes too long".to_owned()))?;
    let why = match said.map_err(|e| unreachable(e.to_string()))? {
        WalletVerdict::Accepted => return Ok(()),
        WalletVerdict::Refused => "the contract there refuses it".to_owned(),
        WalletVerdict::NoWallet => key_refused(recovered),
    };
    let message = format!(
        "The signature is not that of account {account}: {why}. Expected is EIP-712 of Request(bodyDigest {}, route \"{route}\", gateway {me}, deadline {}, nonce {}) in the domain (Gavel, 1, chain {chain_id}, market {market})",
        signed.body_digest, signed.deadline, signed.nonce
    );
    Err(ApiError::signature("invalid_signature", message))
}

fn key_refused(recovered: Result<[u8; 20], SignatureError>) -> String {
    match recovered {
        Ok(other) => format!("of what is expected it is that of {}", Address::from(other)),
        Err(e) => e.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(values: [&str; 5]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in HEADERS.into_iter().zip(values) {
            headers.insert(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_request_is_in_its_time_from_the_horizon_to_the_deadline() {
        let code = |deadline, now| check_time(deadline, now, 300).map_err(|e| e.code).err();
        assert_eq!(code(1000, 1000), None);
        assert_eq!(code(1000, 1001), Some("request_expired"));
        assert_eq!(code(1300, 1000), None);
        assert_eq!(code(1301, 1000), Some("deadline_too_far"));
        assert_eq!(code(u64::MAX, 1000), Some("deadline_too_far"));
        assert_eq!(code(u64::MAX, u64::MAX), None);
    }

    #[test]
    fn headers_are_read_as_they_are_described_or_refused_by_name() {
        let account = "0x00000000000000000000000000000000000000Aa";
        let word = "0x0100000000000000000000000000000000000000000000000000000000000000";
        let good = [account, word, "17", "0x2a", "0xff"];
        let read = Signed::read(&headers(good)).unwrap().unwrap();
        assert_eq!(read.account, Address::with_last_byte(0xaa));
        assert_eq!((read.deadline, read.nonce), (17, U256::from(42)));
        assert_eq!((read.body_digest[0], &read.signature[..]), (1, &[0xff][..]));
        assert_eq!(Signed::read(&HeaderMap::new()), Ok(None));
        let too_large = U256::MAX.to_string().replacen('1', "2", 1);
        let long = format!("0x{}", "00".repeat(MAX_SIGNATURE + 1));
        let bad: [(usize, &[&str]); 5] = [
            (
                0,
                &[
                    "",
                    "0x",
                    &account[2..],
                    "0x0x000000000000000000000000000000000000aa",
                    &account[..41],
                    word,
                ],
            ),
            (1, &["", account, &word[2..], &word[..65]]),
            (
                2,
                &["", "-1", "+1", "1.0", "0x1", "1_0", "18446744073709551616"],
            ),
            (
                3,
                &[
                    "",
                    "-1",
                    "0x",
                    "0xg",
                    "1a",
                    "0b1",
                    "1_0",
                    "0x1_0",
                    &too_large,
                    &format!("0x0{}", &word[2..]),
                ],
            ),
            (4, &["", "0x", "ff", "0xf", "0x0xff", &long]),
        ];
        for (i, values) in bad {
            for value in values {
                let mut with = good;
                with[i] = value;
                let refused = Signed::read(&headers(with)).unwrap_err();
                assert_eq!(refused.code, "invalid_header", "{value}");
                assert_eq!(refused.param.as_deref(), Some(HEADERS[i]), "{value}");
            }
        }
        for name in HEADERS {
            let mut without = headers(good);
            without.remove(name);
            let refused = Signed::read(&without).unwrap_err();
            assert_eq!(refused.param.as_deref(), Some(name));
            let mut twice = headers(good);
            twice.append(name, twice[name].clone());
            let refused = Signed::read(&twice).unwrap_err();
            assert_eq!(refused.param.as_deref(), Some(name));
        }
        let mut both = headers(good);
        both.insert(AUTHORIZATION, "Bearer gvk-x".parse().unwrap());
        assert_eq!(
            Signed::read(&both).unwrap_err().code,
            "ambiguous_credentials"
        );
    }

    proptest! {
        #[test]
        fn any_headers_are_read_or_refused(values in prop::array::uniform5(prop::collection::vec(32u8.., 0..80))) {
            let mut headers = HeaderMap::new();
            for (name, value) in HEADERS.into_iter().zip(values) {
                if let Ok(value) = value.try_into() {
                    let value: axum::http::HeaderValue = value;
                    headers.insert(name, value);
                }
            }
            let _ = Signed::read(&headers);
        }

        #[test]
        fn what_was_written_is_read(account: [u8; 20], digest: [u8; 32], deadline: u64, nonce: [u8; 32], signature in prop::collection::vec(any::<u8>(), 1..200), in_hex: bool) {
            let signed = Signed {
                account: account.into(),
                body_digest: digest.into(),
                deadline,
                nonce: U256::from_be_bytes(nonce),
                signature,
            };
            let nonce = match in_hex {
                true => format!("{:#x}", signed.nonce),
                false => signed.nonce.to_string(),
            };
            let read = Signed::read(&headers([
                &signed.account.to_string(),
                &signed.body_digest.to_string(),
                &deadline.to_string(),
                &nonce,
                &alloy_primitives::hex::encode_prefixed(&signed.signature),
            ]));
            prop_assert_eq!(read, Ok(Some(signed)));
        }
    }
}
