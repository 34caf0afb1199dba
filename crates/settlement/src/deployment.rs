//! Where the contracts of one network live.

use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

/// Addresses of one deployment: what a party must know to take part. A JSON file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// Chain id.
    pub chain_id: u64,
    /// Block after which the first event of the protocol can be.
    pub deploy_block: u64,
    /// Version of the arithmetic its models are defined in.
    pub numerics_version: u32,
    /// `DevToken`, or the ERC-20 that a real network settles in.
    pub token: Address,
    /// `GovernanceTimelock`.
    pub timelock: Address,
    /// `Parameters`.
    pub parameters: Address,
    /// `DevBeacon`, or a beacon that nobody steers.
    pub beacon: Address,
    /// `StakeVault`.
    pub vault: Address,
    /// `ProviderPool`.
    pub pool: Address,
    /// `Market`.
    pub market: Address,
    /// `Court`.
    pub court: Address,
    /// `Audits`.
    pub audits: Address,
    /// `AppealLevels`; zero where a network has none.
    pub appeal_levels: Address,
    /// `Demands`; zero where a network has none.
    #[serde(default)]
    pub demands: Address,
    /// `Traps`; zero where a network has none.
    #[serde(default)]
    pub traps: Address,
}

/// Why a deployment file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeploymentError {
    /// The file system said no.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a deployment.
    #[error("{path} is no deployment file: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

impl Deployment {
    /// Reads a file.
    ///
    /// # Errors
    /// Unreadable, or no deployment.
    pub fn load(path: &Path) -> Result<Deployment, DeploymentError> {
        let text = std::fs::read(path).map_err(|source| DeploymentError::Io {
            path: path.to_owned(),
            source,
        })?;
        serde_json::from_slice(&text).map_err(|source| DeploymentError::Parse {
            path: path.to_owned(),
            source,
        })
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// The file system said no.
    pub fn save(&self, path: &Path) -> Result<(), DeploymentError> {
        let io = |source| DeploymentError::Io {
            path: path.to_owned(),
            source,
        };
        let text = serde_json::to_vec_pretty(self).map_err(|e| io(e.into()))?;
        let partial = path.with_extension("partial");
        std::fs::write(&partial, text).map_err(io)?;
        std::fs::rename(&partial, path).map_err(io)
    }

    /// The contracts that emit the protocol's events, with their names; token and timelock are not among them.
    pub fn protocol(&self) -> Vec<(&'static str, Address)> {
        let all = [
            ("parameters", self.parameters),
            ("beacon", self.beacon),
            ("vault", self.vault),
            ("pool", self.pool),
            ("market", self.market),
            ("court", self.court),
            ("audits", self.audits),
            ("appeal levels", self.appeal_levels),
            ("demands", self.demands),
            ("traps", self.traps),
        ];
        let installed = all.into_iter().filter(|(_, address)| !address.is_zero());
        installed.collect()
    }
}
