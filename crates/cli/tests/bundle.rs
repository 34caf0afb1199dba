//! What a fault report carries away, and what it must not.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output};

use common::text;

/// Parts of every secret that the test sets.
const MARK: &str = "s3cret";

/// A machine with secrets in every place that takes some.
fn doctor(folder: &Path, bundle: &str) -> Output {
    let config = format!(
        "rpc = \"http://ann:{MARK}1@127.0.0.1:1/v3/{MARK}2?apikey={MARK}3\"\n\
         blobs = \"https://bob:{MARK}4@127.0.0.1:1/{MARK}5?sig={MARK}6\"\n\
         key = \"key.json\"\n\
         password_file = \"password\"\n\
         [provider]\n\
         model = [\"http://h/{MARK}7\"]\n"
    );
    std::fs::write(folder.join("gavel.toml"), config).unwrap();
    std::fs::write(folder.join("password"), format!("{MARK}8-pass\n")).unwrap();
    let gavel = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gavel"));
        command.current_dir(folder);
        command
    };
    if !folder.join("key.json").exists() {
        let made = gavel()
            .args(["key", "new", "key.json", "--password-file", "password"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
    }
    gavel()
        .args(["doctor", "--config", "gavel.toml", "--bundle", bundle])
        .env("GAVEL_PASSWORD", format!("{MARK}9-pass"))
        .env("AWS_SECRET_ACCESS_KEY", format!("{MARK}10-key"))
        .env("GOOGLE_SERVICE_ACCOUNT_KEY", format!("{{{MARK}11}}"))
        .env(
            "GAVEL_STATE",
            format!("postgres://u:{MARK}12@127.0.0.1:1/{MARK}13?password={MARK}14"),
        )
        .output()
        .unwrap()
}

#[test]
fn a_bundle_has_what_a_report_needs_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let keys = |folder: &Path| {
        let key = std::fs::read_to_string(folder.join("key.json")).unwrap();
        let key: serde_json::Value = serde_json::from_str(&key).unwrap();
        key["crypto"]["ciphertext"].as_str().unwrap().to_owned()
    };
    for name in ["bundle.tar", "bundle.tar.gz"] {
        let output = doctor(folder.path(), name);
        let told = text(&output.stdout);
        let bytes = std::fs::read(folder.path().join(name))
            .unwrap_or_else(|e| panic!("{e}: {told}{}", text(&output.stderr)));
        let mut plain = Vec::new();
        match name.ends_with("gz") {
            true => flate2::read::GzDecoder::new(&bytes[..])
                .read_to_end(&mut plain)
                .map(drop)
                .unwrap(),
            false => plain = bytes,
        }
        let all = String::from_utf8_lossy(&plain);
        let at = all
            .find(MARK)
            .map(|at| &all[at.saturating_sub(200)..at + 20]);
        assert!(at.is_none(), "a secret: {at:?}");
        assert!(!all.contains(&keys(folder.path())), "the key file");
        for part in [
            "version.json",
            "config.json",
            "doctor.json",
            "network.json",
            "state.json",
            env!("CARGO_PKG_VERSION"),
            "http://127.0.0.1:1/(hidden)",
            "file gavel.toml",
            "\"check\": \"rpc\"",
        ] {
            assert!(all.contains(part), "{part} is missing");
        }
        // it was listed before it was written
        let listed = told.find("state.json").unwrap();
        assert!(listed < told.find("written to").unwrap());
    }
    // nothing is written over
    let again = doctor(folder.path(), "bundle.tar");
    assert!(!again.status.success());
    assert!(text(&again.stderr).contains("does not exist yet"));
}
