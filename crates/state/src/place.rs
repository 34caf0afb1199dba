//! Where state is kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use alloy_primitives::Address;
use tokio_postgres_rustls::MakeRustlsConnect;
use url::Url;

use crate::{Identity, Postgres, Sqlite, StateError, Store};

/// Parameter of a URL that names the certificates to trust, as libpq has it.
const ROOT: &str = "sslrootcert";

/// Opens a file or a `postgres://` URL as its only writer.
///
/// # Errors
/// Another process has it, it is another's, or it cannot be reached.
pub async fn open(place: &str, identity: Identity) -> Result<Arc<dyn Store>, StateError> {
    if !is_url(place) {
        return Ok(Arc::new(Sqlite::open(Path::new(place), identity)?));
    }
    let store = Postgres::connect(place, identity).await?;
    match store.lead().await? {
        true => Ok(Arc::new(store)),
        false => Err(StateError::Taken {
            place: store.place().to_owned(),
            holder: (store.writer().await?).unwrap_or_else(|| "another process".to_owned()),
        }),
    }
}

/// Opens a `postgres://` URL beside its writer; see [`Store::hold`]. A file cannot be shared: it is opened as with [`open`].
///
/// # Errors
/// As [`open`], but for another process that has it.
pub async fn open_shared(place: &str, identity: Identity) -> Result<Arc<dyn Store>, StateError> {
    if !is_url(place) {
        return open(place, identity).await;
    }
    Ok(Arc::new(Postgres::connect(place, identity).await?))
}

/// Opens a `postgres://` URL to take jobs from; see [`Postgres::join`]. A file is not shared.
///
/// # Errors
/// It is no such URL, or as [`Postgres::join`].
pub async fn join(place: &str, address: Option<Address>) -> Result<Arc<dyn Store>, StateError> {
    if !is_url(place) {
        return Err(StateError::failed(
            place,
            "a file has one process; jobs are taken from a postgres:// URL",
        ));
    }
    Ok(Arc::new(Postgres::join(place, address).await?))
}

/// Opens what is there to read, whoever writes it; one store for each identity in it.
///
/// # Errors
/// There is nothing, or it cannot be reached.
pub async fn read(place: &str) -> Result<Vec<Arc<dyn Store>>, StateError> {
    if !is_url(place) {
        return Ok(vec![Arc::new(Sqlite::read(Path::new(place))?)]);
    }
    let mut all: Vec<Arc<dyn Store>> = Vec::new();
    for identity in Postgres::identities(place).await? {
        all.push(Arc::new(Postgres::connect(place, identity).await?));
    }
    Ok(all)
}

/// Whether a place is a server's URL, and no file.
pub fn is_url(place: &str) -> bool {
    place.starts_with("postgres://") || place.starts_with("postgresql://")
}

/// The file of an identity in the user's state folder: `$XDG_STATE_HOME/gavel/CHAIN-MARKET/ADDRESS.db`. `None` where there
/// is no home.
pub fn default_place(identity: Identity) -> Option<PathBuf> {
    let set = |name| {
        let path = PathBuf::from(std::env::var_os(name)?);
        // the specification has relative paths ignored
        path.is_absolute().then_some(path)
    };
    let base = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    let market = identity.contract.to_string().to_lowercase();
    let market = market.get(2..10).unwrap_or(&market);
    let network = format!("{}-{market}", identity.chain_id);
    let name = format!("{}.db", identity.address.to_string().to_lowercase());
    Some(base.join("gavel").join(network).join(name))
}

/// The URL without the parameter that the client library does not know, and the parameter.
pub(crate) fn without_root(mut url: Url) -> (Url, Option<PathBuf>) {
    let root = url.query_pairs().find(|(name, _)| name == ROOT);
    let Some(root) = root.map(|(_, value)| PathBuf::from(value.into_owned())) else {
        return (url, None);
    };
    let rest: Vec<_> = (url.query_pairs().filter(|(name, _)| name != ROOT))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.set_query(None);
    if !rest.is_empty() {
        url.query_pairs_mut().extend_pairs(rest);
    }
    (url, Some(root))
}

/// TLS that trusts the certificates in a file, else those that the system trusts.
pub(crate) fn tls(place: &str, root: Option<&Path>) -> Result<MakeRustlsConnect, StateError> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    let failed = |e: &dyn std::fmt::Display| StateError::failed(place, e);
    let mut trusted = rustls::RootCertStore::empty();
    match root {
        Some(file) => {
            let reason =
                |e: &dyn std::fmt::Display| failed(&format!("{ROOT} {}: {e}", file.display()));
            let all = CertificateDer::pem_file_iter(file).map_err(|e| reason(&e))?;
            for certificate in all {
                let certificate = certificate.map_err(|e| reason(&e))?;
                trusted.add(certificate).map_err(|e| reason(&e))?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            trusted.add_parsable_certificates(found.certs);
        }
    }
    if trusted.is_empty() {
        return Err(failed(&format!(
            "no certificates to trust; {ROOT}=FILE.pem in the URL names some"
        )));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| failed(&e))?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_place_names_network_and_key() {
        let identity = Identity {
            chain_id: 31337,
            contract: alloy_primitives::Address::repeat_byte(0xab),
            address: alloy_primitives::Address::repeat_byte(0xcd),
        };
        let place = default_place(identity).unwrap();
        let place = place.to_str().unwrap();
        let name = format!("gavel/31337-abababab/0x{}.db", "cd".repeat(20));
        assert!(place.ends_with(&name), "{place}");
    }

    #[test]
    fn the_root_certificate_is_taken_out_of_a_url() {
        let url = |text: &str| Url::parse(text).unwrap();
        let (rest, root) = without_root(url(
            "postgres://a:b@h/db?sslrootcert=/etc/ca.pem&sslmode=require",
        ));
        assert_eq!(rest.as_str(), "postgres://a:b@h/db?sslmode=require");
        assert_eq!(root, Some("/etc/ca.pem".into()));
        let plain = url("postgres:///db?host=/run");
        assert_eq!(without_root(plain.clone()), (plain, None));
    }
}
