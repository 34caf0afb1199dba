//! drand's HTTP API: `GET BASE/public/ROUND`.

use std::time::Duration;

use alloy::hex;
use alloy::primitives::B256;
use alloy::transports::http::reqwest::{self, Client, StatusCode, Url};
use async_trait::async_trait;
use serde::Deserialize;

use super::verify::{DrandNetwork, DrandRound, QUICKNET_CHAIN};
use super::{BeaconSource, SourceError};

/// Public relays of quicknet, of several operators.
pub const PUBLIC_ENDPOINTS: [&str; 4] = [
    "https://api.drand.sh",
    "https://drand.cloudflare.com",
    "https://api2.drand.sh",
    "https://api3.drand.sh",
];
/// A round is some two hundred bytes of JSON.
const ANSWER_MOST: usize = 4096;
const CONNECT_MOST: Duration = Duration::from_secs(3);
const WAIT_MOST: Duration = Duration::from_secs(6);

/// Relays of one network, asked one after the other.
#[derive(Clone, Debug)]
pub struct HttpSource {
    client: Client,
    bases: Vec<Url>,
}

/// What a relay answers; what else it says is not read.
#[derive(Deserialize)]
struct Answer {
    round: u64,
    signature: String,
    randomness: Option<String>,
}

impl HttpSource {
    /// Relays by the address of the network there: `https://api.drand.sh/CHAINHASH`.
    ///
    /// # Errors
    /// None is given, or one is no URL.
    pub fn new<S: AsRef<str>>(bases: &[S]) -> Result<HttpSource, SourceError> {
        let refused = |endpoint: &str, reason: String| SourceError::Endpoint {
            endpoint: endpoint.to_owned(),
            reason,
        };
        if bases.is_empty() {
            return Err(refused("no endpoint", "none is given".to_owned()));
        }
        let client = Client::builder()
            .connect_timeout(CONNECT_MOST)
            .timeout(WAIT_MOST)
            .redirect(reqwest::redirect::Policy::limited(2))
            .build()
            .map_err(|e| refused("no endpoint", e.to_string()))?;
        let bases = bases.iter().map(|base| {
            let base = base.as_ref();
            let with_slash = format!("{}/", base.trim_end_matches('/'));
            let url = Url::parse(&with_slash).map_err(|e| refused(base, e.to_string()))?;
            match url.scheme() {
                "http" | "https" => Ok(url),
                other => Err(refused(base, format!("{other} is neither http nor https"))),
            }
        });
        Ok(HttpSource {
            client,
            bases: bases.collect::<Result<_, _>>()?,
        })
    }

    /// The public relays of quicknet.
    ///
    /// # Errors
    /// No TLS.
    pub fn quicknet() -> Result<HttpSource, SourceError> {
        HttpSource::new(&PUBLIC_ENDPOINTS.map(|relay| format!("{relay}/{QUICKNET_CHAIN}")))
    }

    async fn ask(
        &self,
        base: &Url,
        network: &DrandNetwork,
        round: u64,
    ) -> Result<DrandRound, String> {
        let url = base
            .join(&format!("public/{round}"))
            .map_err(|e| e.to_string())?;
        let mut answer = self
            .client
            .get(url)
            .send()
            .await
            .map_err(|e| e.without_url().to_string())?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::TOO_EARLY => return Err("has it not".to_owned()),
            other => return Err(format!("answers {other}")),
        }
        let mut text = Vec::new();
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|e| e.without_url().to_string())?
        {
            if text.len() + chunk.len() > ANSWER_MOST {
                return Err(format!("answers more than {ANSWER_MOST} bytes"));
            }
            text.extend_from_slice(&chunk);
        }
        let network = network.clone();
        // two pairings: too long for a thread that others wait for
        let checked = tokio::task::spawn_blocking(move || checked(&network, round, &text));
        checked.await.map_err(|e| e.to_string())?
    }
}

/// The round in an answer, if it is that round.
fn checked(network: &DrandNetwork, round: u64, text: &[u8]) -> Result<DrandRound, String> {
    let answer: Answer =
        serde_json::from_slice(text).map_err(|e| format!("answers no round: {e}"))?;
    if answer.round != round {
        return Err(format!("answers round {}", answer.round));
    }
    let signature = hex::decode(&answer.signature).map_err(|e| format!("signature: {e}"))?;
    let found = network
        .verify(round, &signature)
        .map_err(|e| e.to_string())?;
    match answer.randomness.map(|text| text.parse::<B256>()) {
        Some(Ok(said)) if said == found.randomness => Ok(found),
        None => Ok(found),
        Some(_) => Err("its randomness is not the hash of its signature".to_owned()),
    }
}

#[async_trait]
impl BeaconSource for HttpSource {
    async fn round(&self, network: &DrandNetwork, round: u64) -> Result<DrandRound, SourceError> {
        let mut reasons = Vec::new();
        for base in &self.bases {
            match self.ask(base, network, round).await {
                Ok(found) => return Ok(found),
                Err(reason) => reasons.push(format!("{} {reason}", base.host_str().unwrap_or("?"))),
            }
        }
        Err(SourceError::Nowhere { round, reasons })
    }
}
