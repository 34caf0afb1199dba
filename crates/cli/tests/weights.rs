//! Models by their identity: published, fetched, interrupted, lied about, and served.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/process.rs"]
mod process;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use common::{root, text};
use process::{Running, chain_up, command, gavel};
use serde_json::Value;

/// The objects that a command prints, one a line.
fn lines(bytes: &[u8]) -> Vec<Value> {
    let each = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    each.map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

/// Publishes a model into a folder and gives its identity.
fn published(dir: &Path, model: &str) -> String {
    let output = command(dir, &["model", "publish", model, "--to", "store"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let last = lines(&output.stdout).pop().unwrap();
    assert_eq!(last["event"], "published");
    last["model_id"].as_str().unwrap().to_owned()
}

fn picture() -> String {
    let path = root().join("models/images/digit-7-a.png");
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_model_is_run_by_its_identity_and_then_without_its_store() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let id = published(dir, "digits");
    let plain = gavel(dir, &["run", "digits", &picture()]);
    assert_eq!(plain.1["model_id"], id);
    let absent = ["run", &id, &picture(), "--models-dir", "kept"];
    let (status, said, _) = gavel(dir, &absent);
    assert_eq!(status, Some(2), "{said}");
    let expected = said["error"]["expected"].as_str().unwrap();
    assert!(expected.contains("--models-from"), "{said}");
    let fetched = gavel(dir, &[&absent[..], &["--models-from", "store"]].concat());
    assert_eq!(fetched.0, Some(0), "{}", fetched.2);
    std::fs::remove_dir_all(dir.join("store")).unwrap();
    let again = gavel(dir, &absent);
    for (_, found, error) in [&fetched, &again] {
        assert_eq!(found["trace_root"], plain.1["trace_root"], "{error}");
    }
    // the configuration file knows both places
    std::fs::write(dir.join("own.toml"), "models_dir = \"kept\"\n").unwrap();
    let by_file = gavel(dir, &["model", "id", &id, "--config", "own.toml"]);
    assert_eq!(by_file.1["model_id"], id, "{}", by_file.2);
    let behind = gavel(dir, &["model", "id", &format!("{id}@96")]);
    assert_eq!(behind.0, Some(2), "{}", behind.2);
    // a file that has changed under its name is not that model any more
    let file = dir.join("kept").join(&id).join("digits.onnx");
    let mut changed = std::fs::read(&file).unwrap();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(&file, changed).unwrap();
    let (status, said, _) = gavel(dir, &absent);
    assert_eq!(status, Some(7), "{said}");
}

#[test]
fn another_models_files_never_get_the_name() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (asked, other) = (published(dir, "digits"), published(dir, "digits-small"));
    let manifest = |id: &str| dir.join(format!("store/models/{id}.json"));
    let text = std::fs::read_to_string(manifest(&other)).unwrap();
    std::fs::write(manifest(&asked), text.replace(&other, &asked)).unwrap();
    let fetch = [
        "model", "fetch", &asked, "--from", "store", "--into", "kept",
    ];
    let output = command(dir, &fetch).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let said = common::text(&output.stderr);
    assert!(said.contains(&other), "{said}");
    assert!(!dir.join("kept").join(&asked).exists());
    let left = |folder: &str| std::fs::read_dir(dir.join("kept").join(folder)).unwrap();
    assert_eq!(left("incoming").count() + left("parts").count(), 0);
    // files that are no model at all
    let text = std::fs::read_to_string(manifest(&other)).unwrap();
    let mut manifest_of: Value = serde_json::from_str(&text).unwrap();
    manifest_of["kind"] = "safetensors".into();
    std::fs::write(manifest(&other), manifest_of.to_string()).unwrap();
    let fetch = [
        "model", "fetch", &other, "--from", "store", "--into", "kept",
    ];
    let output = command(dir, &fetch).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert!(!dir.join("kept").join(&other).exists());
}

/// A server of a folder that stops within the first answer with a file's bytes, until it is let go on.
struct Stalling {
    url: String,
    bytes: Arc<AtomicU64>,
    free: Arc<AtomicBool>,
    stalled: Receiver<()>,
}

impl Stalling {
    fn new(folder: PathBuf, after: usize) -> Stalling {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (tell, stalled) = channel();
        let bytes = Arc::new(AtomicU64::new(0));
        let free = Arc::new(AtomicBool::new(false));
        let (sent, go) = (Arc::clone(&bytes), Arc::clone(&free));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (folder, tell) = (folder.clone(), tell.clone());
                let (sent, go) = (Arc::clone(&sent), Arc::clone(&go));
                std::thread::spawn(move || {
                    let after = (!go.load(Ordering::SeqCst)).then_some(after);
                    serve(client, &folder, after, &sent, &tell);
                });
            }
        });
        Stalling {
            url,
            bytes,
            free,
            stalled,
        }
    }
}

fn serve(
    mut client: TcpStream,
    folder: &Path,
    after: Option<usize>,
    sent: &AtomicU64,
    tell: &Sender<()>,
) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let (mut path, mut range) = (String::new(), None);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
            break;
        }
        if path.is_empty() {
            path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        }
        if let Some(bytes) = line.to_lowercase().trim().strip_prefix("range: bytes=") {
            let (from, to) = bytes.split_once('-').unwrap();
            range = Some((from.parse().unwrap(), to.parse::<usize>().unwrap() + 1));
        }
    }
    let content = std::fs::read(folder.join(path.trim_start_matches('/'))).unwrap();
    let size = content.len();
    let (from, to) = range.unwrap_or((0, size));
    let (from, to) = (from, to.min(size));
    let head = match range {
        Some(_) => format!(
            "206 Partial Content\r\nContent-Range: bytes {from}-{}/{size}",
            to - 1
        ),
        None => "200 OK".to_owned(),
    };
    let length = to - from;
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    client.write_all(head.as_bytes()).unwrap();
    let stops = after.filter(|_| path.contains("files"));
    let to = stops.map_or(to, |after| to.min(from + after));
    client.write_all(&content[from..to]).unwrap();
    if path.contains("files") {
        sent.fetch_add((to - from) as u64, Ordering::SeqCst);
    }
    if stops.is_some() {
        tell.send(()).unwrap();
        // until the other side is gone
        let _ = client.read(&mut [0]);
    }
}

/// Waits for a file to have so many bytes.
fn until_there(folder: &Path, bytes: u64) {
    for _ in 0..6_000 {
        let parts = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let there: u64 = parts.map(|part| part.metadata().unwrap().len()).sum();
        if there == bytes {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("{bytes} bytes never came");
}

#[test]
fn a_killed_fetch_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let id = published(dir, "llm@96");
    let half = 1_234_567;
    let server = Stalling::new(dir.join("store"), half);
    let fetch = [
        "model",
        "fetch",
        &id,
        "--from",
        &server.url,
        "--into",
        "kept",
    ];
    let child = command(dir, &fetch).stdout(Stdio::null()).spawn().unwrap();
    let mut first = Running(child);
    server.stalled.recv().unwrap();
    until_there(&dir.join("kept/parts"), half as u64);
    // SIGKILL
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    assert_eq!(server.bytes.load(Ordering::SeqCst), half as u64);
    server.free.store(true, Ordering::SeqCst);
    let output = command(dir, &fetch).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let events = lines(&output.stdout);
    assert_eq!(events[0]["event"], "fetching");
    assert_eq!(events[0]["done"], half, "{}", events[0]);
    let last = events.last().unwrap();
    assert_eq!(last["event"], "fetched");
    let total = last["bytes"].as_u64().unwrap();
    assert_eq!(last["fetched_bytes"], total - half as u64);
    assert_eq!(server.bytes.load(Ordering::SeqCst), total);
    // the third finds it, and asks nobody
    let output = command(dir, &fetch).output().unwrap();
    let last = lines(&output.stdout).pop().unwrap();
    assert_eq!(last["fetched_bytes"], 0);
    assert_eq!(server.bytes.load(Ordering::SeqCst), total);
    let asked = [
        "generate",
        &id,
        "--prompt",
        "Once",
        "--max-tokens",
        "4",
        "--models-dir",
        "kept",
    ];
    let by_id = gavel(dir, &asked);
    assert_eq!(by_id.0, Some(0), "{}", by_id.2);
}

#[test]
fn a_provider_serves_what_it_names_by_identity() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (_chain, url, _) = chain_up(dir, "chain");
    let run = |args: &[&str]| {
        let output = command(dir, args).env("GAVEL_RPC", &url).output().unwrap();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            text(&output.stderr)
        );
        output.stdout
    };
    let key = |name: &str| -> String {
        let made: Value = serde_json::from_slice(&run(&["key", "new", name])).unwrap();
        made["address"].as_str().unwrap().to_owned()
    };
    key("deployer.json");
    let ann = key("ann.json");
    run(&["chain", "deploy", "--key", "deployer.json", "--mint", &ann]);
    let id = published(dir, "digits-small");
    let from = ["--models-from", "store", "--models-dir", "kept"];
    let register = ["model", "register", &id, "--key", "deployer.json"];
    run(&[&register[..], &from[..]].concat());
    // fetched anew, as on another machine
    std::fs::remove_dir_all(dir.join("kept")).unwrap();
    let provide = ["provider", "run", "--model", &id, "--key", "ann.json"];
    let mut child = command(dir, &[&provide[..], &from[..]].concat())
        .env("GAVEL_RPC", &url)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let _running = Running(child);
    let events = stdout
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let mut serving = events.filter(|event| event["event"] == "serving");
    let serving = serving.next().expect("it serves");
    assert_eq!(serving["models"], serde_json::json!([id]));
}
