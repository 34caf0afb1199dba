//! The committed contract artifacts, by name.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use alloy::json_abi::JsonAbi;
use alloy::primitives::Bytes;
use serde::Deserialize;

include!(concat!(env!("OUT_DIR"), "/artifact_files.rs"));

/// A compiled contract.
#[derive(Clone, Debug, Deserialize)]
pub struct Artifact {
    /// Its interface.
    pub abi: JsonAbi,
    /// Creation code without constructor arguments; empty for an interface.
    pub bytecode: Bytes,
    /// Code as deployed, immutables not set; empty for an interface.
    #[serde(rename = "deployedBytecode")]
    pub deployed_bytecode: Bytes,
}

/// Why a contract cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// It was not there when this program was built.
    #[error("this program was built without the contract {0}")]
    Missing(String),
    /// An interface has no code.
    #[error("{0} is an interface and cannot be deployed")]
    NoCode(String),
}

/// All artifacts this program was built with.
pub fn artifacts() -> &'static BTreeMap<&'static str, Artifact> {
    static ALL: OnceLock<BTreeMap<&'static str, Artifact>> = OnceLock::new();
    ALL.get_or_init(|| {
        // files of the build, not input: a test parses every one of them
        FILES
            .iter()
            .filter_map(|(name, text)| Some((*name, serde_json::from_str(text).ok()?)))
            .collect()
    })
}

/// Creation code of a contract.
///
/// # Errors
/// There is no such artifact, or it is an interface.
pub fn bytecode(name: &str) -> Result<&'static Bytes, ArtifactError> {
    code(name, |artifact| &artifact.bytecode)
}

/// Code of a contract as deployed, immutables not set.
///
/// # Errors
/// There is no such artifact, or it is an interface.
pub fn runtime(name: &str) -> Result<&'static Bytes, ArtifactError> {
    code(name, |artifact| &artifact.deployed_bytecode)
}

fn code(name: &str, of: fn(&Artifact) -> &Bytes) -> Result<&'static Bytes, ArtifactError> {
    let artifact = artifacts()
        .get(name)
        .ok_or_else(|| ArtifactError::Missing(name.to_owned()))?;
    let code = of(artifact);
    if code.is_empty() {
        return Err(ArtifactError::NoCode(name.to_owned()));
    }
    Ok(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_committed_artifact_parses() {
        assert_eq!(artifacts().len(), FILES.len());
        assert!(!bytecode("Market").unwrap().is_empty());
    }

    #[test]
    fn interfaces_and_unknown_contracts_have_no_code() {
        assert_eq!(
            bytecode("ICourt"),
            Err(ArtifactError::NoCode("ICourt".into()))
        );
        assert_eq!(
            bytecode("Nobody"),
            Err(ArtifactError::Missing("Nobody".into()))
        );
    }
}
