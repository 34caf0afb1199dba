//! Keys and what they have said, at the command line.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/process.rs"]
mod process;

use std::io::Write as _;
use std::process::Stdio;

use gavel_state::{Identity, Sqlite};
use process::{command, gavel};
use serde_json::{Value, json};

const KEY: &str = "0xbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

fn file(root: &str) -> Value {
    json!({
        "metadata": {
            "interchange_format_version": "1", "chain_id": "31337",
            "gavel_contract": "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        },
        "data": [{
            "address": KEY, "watermarks": {"tasks": "2", "disputes": "0"},
            "signed_results": [{
                "task": "3", "attempt": "0", "case": format!("0x{}", "01".repeat(32)),
                "value": format!("0x{}", root.repeat(32)), "at": "5",
            }],
            "signed_claims": [], "signed_challenges": [], "signed_audits": [],
            "signed_moves": [], "signed_rulings": [],
        }],
    })
}

#[test]
fn what_a_key_has_said_moves_to_another_machine() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("one.json"), file("07").to_string()).unwrap();
    std::fs::write(dir.join("other.json"), file("08").to_string()).unwrap();
    let run = |args: &[&str]| gavel(dir, &[&["protection"], args].concat());

    let (status, _, _) = run(&["check", "--state", "a.db"]);
    assert_ne!(status, Some(0), "there is none yet");
    for (new, known) in [(1, 0), (0, 1)] {
        let (status, object, stderr) = run(&["import", "one.json", "--state", "a.db"]);
        assert_eq!(status, Some(0), "{stderr}");
        assert_eq!(object["imported"], json!({"new": new, "known": known}));
    }
    let (status, _, stderr) = run(&["import", "other.json", "--state", "a.db"]);
    assert_eq!(status, Some(1));
    assert!(stderr.contains("two different things"), "{stderr}");

    let (_, object, _) = run(&["check", "--state", "a.db"]);
    assert_eq!(object["rows"]["result"], 1);
    assert_eq!(object["complete_from"]["tasks"], 2);
    assert_eq!(object["tripped"], json!([]));
    let out = ["export", "--state", "a.db", "--output", "copy.json"];
    assert_eq!(run(&out).0, Some(0));
    let copy: Value =
        serde_json::from_slice(&std::fs::read(dir.join("copy.json")).unwrap()).unwrap();
    let lower = copy.to_string().to_lowercase();
    assert_eq!(lower, file("07").to_string().to_lowercase());
    assert_eq!(run(&["import", "copy.json", "--state", "b.db"]).0, Some(0));
    let prune = ["prune", "--tasks-below", "4", "--state", "b.db"];
    assert_eq!(run(&prune).1["forgotten"], 1);

    // whoever has the database open has it alone; to look is free
    let identity = Identity {
        chain_id: 31337,
        contract: [0xaa; 20].into(),
        address: KEY.parse().unwrap(),
    };
    let held = Sqlite::open(&dir.join("a.db"), identity).unwrap();
    let (status, _, stderr) = run(&["reset", "--state", "a.db"]);
    assert_eq!(status, Some(8), "{stderr}");
    let holder = format!("process {}", std::process::id());
    assert!(stderr.contains(&holder), "{stderr}");
    assert_eq!(run(&["check", "--state", "a.db"]).0, Some(0));
    drop(held);
    assert_eq!(run(&["reset", "--state", "a.db"]).0, Some(0));
}

#[test]
fn a_secret_key_comes_from_standard_input_and_is_shown_only_on_purpose() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let secret = format!("0x{}", "17".repeat(32));
    let import = |text: &str| {
        let mut child = command(dir, &["key", "import", "keys/one.json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // a child that refuses early does not read
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
        child.wait_with_output().unwrap()
    };
    let refused = import("not a key 1717");
    assert!(!refused.status.success());
    assert!(!String::from_utf8_lossy(&refused.stderr).contains("1717"));
    let imported = import(&format!("{secret}\n"));
    assert!(imported.status.success());
    let imported: Value = serde_json::from_slice(&imported.stdout).unwrap();
    assert!(!import(&secret).status.success(), "written over");

    let (_, listed, _) = gavel(dir, &["key", "list", "keys"]);
    let lower = |address: &Value| address.as_str().unwrap().to_lowercase();
    assert_eq!(
        lower(&listed["keys"][0]["address"]),
        lower(&imported["address"])
    );
    let (status, _, stderr) = gavel(dir, &["key", "export", "keys/one.json"]);
    assert_eq!(status, Some(2), "{stderr}");
    let (_, shown, _) = gavel(dir, &["key", "export", "keys/one.json", "--yes"]);
    assert_eq!(shown["secret"], secret.as_str());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |name: &str| dir.join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("keys"), mode("keys/one.json")), (0o700, 0o600));
    }
}
