//! Stores that break off, lie, and know no ranges: a server of ours on loopback says what they would.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gavel_node::weights::{
    Manifest, PIECE_BYTES, Staged, Weights, WeightsCache, WeightsError, WeightsFile, WeightsFormat,
    WeightsProgress,
};
use gavel_trace::Digest;

const PIECE: u64 = 1 << 10;
const ID: Digest = Digest([7; 32]);

/// What becomes of an answer.
#[derive(Clone, Copy, Default)]
struct Conduct {
    /// Answers with everything, whatever is asked for.
    no_ranges: bool,
    /// Says what a file's version is.
    tagged: bool,
    /// Breaks off the first answer for each range after this many bytes.
    cut: Option<usize>,
    /// Answers for this byte are wrong, so often.
    wrong: Option<(u64, u64)>,
}

#[derive(Default)]
struct Said {
    /// Bytes of files that went out.
    bytes: AtomicU64,
    wrong: AtomicU64,
    ranges: Mutex<Vec<(String, Range<u64>)>>,
}

struct Server {
    weights: Weights,
    said: Arc<Said>,
}

impl Server {
    fn new(objects: BTreeMap<String, Vec<u8>>, conduct: Conduct) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/store", listener.local_addr().unwrap());
        let (said, objects) = (Arc::new(Said::default()), Arc::new(objects));
        let shared = Arc::clone(&said);
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let (said, objects) = (Arc::clone(&shared), Arc::clone(&objects));
                std::thread::spawn(move || answer(&mut client, &objects, conduct, &said));
            }
        });
        Server {
            weights: Weights::open(&url).unwrap(),
            said,
        }
    }

    fn bytes(&self) -> u64 {
        self.said.bytes.load(Ordering::SeqCst)
    }
}

fn answer(
    client: &mut TcpStream,
    objects: &BTreeMap<String, Vec<u8>>,
    conduct: Conduct,
    said: &Said,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read_exact(&mut byte).is_err() {
            return;
        }
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let Some(content) = objects.get(path.trim_start_matches("/store/")) else {
        let _ = client
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
    };
    let size = content.len() as u64;
    let asked = head.lines().find_map(|line| {
        let (from, to) = line
            .to_lowercase()
            .strip_prefix("range: bytes=")?
            .split_once('-')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))?;
        Some(from.parse().ok()?..to.parse::<u64>().ok()? + 1)
    });
    // who knows no ranges is asked for one once, and that answer is not read
    let ignored = conduct.no_ranges && asked.is_some();
    let asked = asked.filter(|_| !conduct.no_ranges);
    let range = asked.clone().unwrap_or(0..size);
    let range = range.start.min(size)..range.end.min(size);
    let mut body = content[range.start as usize..range.end as usize].to_vec();
    let is_file = path.contains("/files/");
    if let Some((at, times)) = conduct.wrong
        && is_file
        && range.contains(&at)
        && said.wrong.fetch_add(1, Ordering::SeqCst) < times
    {
        body[(at - range.start) as usize] ^= 1;
    }
    let mut head = match asked {
        Some(_) => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {}-{}/{size}\r\n",
            range.start,
            range.end.max(1) - 1
        ),
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    head += &format!("Content-Length: {}\r\nConnection: close\r\n", body.len());
    if conduct.tagged {
        head += "ETag: \"1\"\r\n";
    }
    let first = {
        let mut ranges = said.ranges.lock().unwrap();
        let same = |(p, r): &(String, Range<u64>)| p == path && r.end == range.end;
        let first = !ignored && !ranges.iter().any(same);
        if is_file && !ignored {
            ranges.push((path.to_owned(), range));
        }
        first
    };
    if let Some(cut) = conduct.cut
        && is_file
        && first
    {
        body.truncate(cut);
    }
    if is_file {
        said.bytes.fetch_add(body.len() as u64, Ordering::SeqCst);
    }
    let _ = client.write_all(format!("{head}\r\n").as_bytes());
    let _ = client.write_all(&body);
}

fn content(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

fn manifest_name() -> String {
    format!("models/{ID}.json")
}

fn object(file: &WeightsFile) -> String {
    format!("files/{}", file.sha256)
}

/// Where a file is while it comes.
fn part(cache: &WeightsCache, sha256: &Digest) -> std::path::PathBuf {
    cache.root().join(format!("parts/{sha256}.part"))
}

/// What is read of a store with this manifest of a model.
async fn read(text: &[u8], id: &Digest) -> Result<Manifest, WeightsError> {
    let folder = tempfile::tempdir().unwrap();
    let models = folder.path().join("models");
    std::fs::create_dir(&models).unwrap();
    std::fs::write(models.join(format!("{id}.json")), text).unwrap();
    let weights = Weights::open(folder.path().to_str().unwrap())?;
    weights.manifest(id).await
}

/// Two files, and a store with them.
fn model() -> (Manifest, BTreeMap<String, Vec<u8>>) {
    let files = [("net.onnx", 10_540), ("net.data", 3 * PIECE as usize)];
    let files = files.map(|(name, n)| (name.to_owned(), Bytes::from(content(n as u64, n))));
    let manifest =
        Manifest::describe(ID, WeightsFormat::Onnx, "", &files, PIECE, &mut |_| {}).unwrap();
    let mut objects = BTreeMap::from([(manifest_name(), serde_json::to_vec(&manifest).unwrap())]);
    for (about, (_, bytes)) in manifest.files.iter().zip(&files) {
        objects.insert(object(about), bytes.to_vec());
    }
    (manifest, objects)
}

fn cache() -> (tempfile::TempDir, WeightsCache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = WeightsCache::new(folder.path().join("models"));
    (folder, cache)
}

async fn fetch(server: &Server, cache: &WeightsCache) -> Result<Staged, WeightsError> {
    let manifest = server.weights.manifest(&ID).await?;
    let lock = cache.lock(|| panic!("nobody else is here")).unwrap();
    server
        .weights
        .fetch(&manifest, cache, &lock, &mut |_| {})
        .await
}

/// Keeps what came and compares it with what the store has.
fn kept(staged: Staged, cache: &WeightsCache, objects: &BTreeMap<String, Vec<u8>>) {
    assert!(cache.find(&ID).is_none(), "no name before it is identified");
    let model = staged.keep(cache).unwrap();
    for file in &model.manifest.files {
        let found = std::fs::read(model.folder.join(&file.name)).unwrap();
        assert_eq!(found, objects[&object(file)], "{}", file.name);
    }
    let found = cache.find(&ID).unwrap();
    assert_eq!(
        found.name(),
        model.folder.join("net.onnx").display().to_string()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_breaks_within_every_piece_costs_no_byte_twice() {
    let (manifest, objects) = model();
    for tagged in [false, true] {
        let conduct = Conduct {
            cut: Some(300),
            tagged,
            ..Conduct::default()
        };
        let server = Server::new(objects.clone(), conduct);
        let (_folder, cache) = cache();
        let staged = fetch(&server, &cache).await.unwrap();
        // the last piece of the first file has exactly 300 bytes
        let asked = server.said.ranges.lock().unwrap().len();
        assert!(asked >= 2 * 13, "{asked} answers, each broken once");
        assert_eq!(server.bytes(), manifest.bytes());
        assert_eq!(staged.fetched, manifest.bytes());
        kept(staged, &cache, &objects);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_interrupted_goes_on_from_where_it_was() {
    let (manifest, objects) = model();
    for from in [1, 700, PIECE, 5 * PIECE + 13, 10_540, 10_541, 12_000] {
        let (_folder, cache) = cache();
        let server = Server::new(objects.clone(), Conduct::default());
        let there = Arc::new(AtomicU64::new(0));
        {
            let manifest = server.weights.manifest(&ID).await.unwrap();
            let lock = cache.lock(|| {}).unwrap();
            let enough = Arc::new(tokio::sync::Notify::new());
            let (tell, seen) = (Arc::clone(&enough), Arc::clone(&there));
            let mut progress = move |p: WeightsProgress<'_>| {
                seen.store(p.done, Ordering::SeqCst);
                if p.done >= from {
                    tell.notify_one();
                }
            };
            let work = server
                .weights
                .fetch(&manifest, &cache, &lock, &mut progress);
            tokio::select! {
                biased;
                () = enough.notified() => {}
                done = work => drop(done.unwrap()),
            }
        }
        let there = there.load(Ordering::SeqCst);
        let server = Server::new(objects.clone(), Conduct::default());
        let staged = fetch(&server, &cache).await.unwrap();
        assert_eq!(server.bytes(), manifest.bytes() - there, "from {there}");
        kept(staged, &cache, &objects);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_disk_has_wrong_comes_again_and_nothing_before_it() {
    let (manifest, objects) = model();
    let (_folder, cache) = cache();
    drop(cache.lock(|| {}).unwrap());
    let first = &manifest.files[0];
    let mut there = objects[&object(first)].clone();
    there[4 * PIECE as usize + 5] ^= 0x20;
    there.extend([0; 99]);
    std::fs::write(part(&cache, &first.sha256), there).unwrap();
    let server = Server::new(objects.clone(), Conduct::default());
    let staged = fetch(&server, &cache).await.unwrap();
    assert_eq!(server.bytes(), manifest.bytes() - 4 * PIECE);
    kept(staged, &cache, &objects);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_byte_is_asked_for_once_more_and_then_refused() {
    let (manifest, objects) = model();
    let (_folder, cache) = cache();
    let wrong = |times| Conduct {
        wrong: Some((3 * PIECE + 77, times)),
        ..Conduct::default()
    };
    let server = Server::new(objects.clone(), wrong(u64::MAX));
    let error = fetch(&server, &cache).await.unwrap_err();
    let WeightsError::Corrupt { name, from, to } = &error else {
        panic!("{error}");
    };
    assert_eq!(
        (name.as_str(), *from, *to),
        ("net.onnx", 3 * PIECE, 4 * PIECE)
    );
    assert!(cache.find(&ID).is_none());
    // another store has it right
    let server = Server::new(objects.clone(), wrong(1));
    let staged = fetch(&server, &cache).await.unwrap();
    assert_eq!(
        server.bytes(),
        manifest.bytes() - 2 * PIECE,
        "all but three pieces, and one of them twice"
    );
    kept(staged, &cache, &objects);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_ranges_gives_the_model_too() {
    let (manifest, objects) = model();
    let (_folder, cache) = cache();
    let conduct = Conduct {
        no_ranges: true,
        cut: Some(4 * PIECE as usize + 10),
        ..Conduct::default()
    };
    let server = Server::new(objects.clone(), conduct);
    let staged = fetch(&server, &cache).await.unwrap();
    assert!(staged.fetched > manifest.bytes(), "some of it came twice");
    kept(staged, &cache, &objects);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_another_length_or_none_are_refused() {
    let (manifest, objects) = model();
    let object = object(&manifest.files[0]);
    let (size, mut other) = (10_540, objects.clone());
    for found in [size - 1, size + 1, 100, 0] {
        other.insert(object.clone(), content(size, found as usize));
        for no_ranges in [false, true] {
            let (_folder, cache) = cache();
            let conduct = Conduct {
                no_ranges,
                ..Conduct::default()
            };
            let server = Server::new(other.clone(), conduct);
            let error = fetch(&server, &cache).await.unwrap_err();
            match &error {
                WeightsError::Size { said, found: f, .. } => {
                    assert_eq!((*said, *f), (size, found));
                }
                // a range of nothing is no range
                _ => assert_eq!(found, 0, "{error}"),
            }
            assert!(cache.find(&ID).is_none());
        }
    }
    other.remove(&object);
    let (_folder, cache) = cache();
    let server = Server::new(other.clone(), Conduct::default());
    let error = fetch(&server, &cache).await.unwrap_err();
    assert!(matches!(error, WeightsError::Lost { .. }), "{error}");
    other.clear();
    let server = Server::new(other, Conduct::default());
    let error = fetch(&server, &cache).await.unwrap_err();
    assert!(matches!(error, WeightsError::Absent { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pieces_that_together_are_another_file_leave_nothing() {
    let (mut manifest, mut objects) = model();
    let content = objects[&object(&manifest.files[0])].clone();
    manifest.files[0].sha256 = Digest([9; 32]);
    objects.insert(object(&manifest.files[0]), content);
    objects.insert(manifest_name(), serde_json::to_vec(&manifest).unwrap());
    let (_folder, cache) = cache();
    let server = Server::new(objects, Conduct::default());
    let error = fetch(&server, &cache).await.unwrap_err();
    assert!(matches!(error, WeightsError::Whole { .. }), "{error}");
    assert!(!part(&cache, &manifest.files[0].sha256).exists());
}

#[tokio::test]
async fn manifests_that_lead_elsewhere_are_refused() {
    let (good, _) = model();
    let refused = async |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = good.clone();
        change(&mut manifest);
        let text = serde_json::to_vec(&manifest).unwrap();
        let error = read(&text, &ID).await.unwrap_err();
        assert!(matches!(error, WeightsError::Manifest { .. }), "{error}");
        error.to_string()
    };
    let text = serde_json::to_vec(&good).unwrap();
    assert_eq!(read(&text, &ID).await.unwrap(), good);
    assert!(read(&text, &Digest([8; 32])).await.is_err());
    assert!(read(&text[..text.len() - 1], &ID).await.is_err());
    for name in [
        "../net.onnx",
        "..",
        ".",
        "",
        "/etc/passwd",
        "a/b",
        "a\\b",
        "C:net",
        ".hidden",
        "net\n.onnx",
        "gavel-weights.json",
        "Gavel-Weights.JSON",
        &"n".repeat(256),
    ] {
        let said = refused(&|m| m.files[0].name = name.to_owned()).await;
        assert!(said.contains("no plain file name"), "{said}");
        assert!(!said.contains('\n') && said.len() < 300, "{said}");
    }
    refused(&|m| m.files[1].name = "NET.onnx".to_owned()).await;
    refused(&|m| m.files.clear()).await;
    refused(&|m| m.kind = WeightsFormat::Gguf).await;
    refused(&|m| m.format = "gavel-weights-2".to_owned()).await;
    refused(&|m| m.binding = "96@97".to_owned()).await;
    refused(&|m| m.binding = "n=1\n".to_owned()).await;
    refused(&|m| m.files[0].bytes += PIECE).await;
    refused(&|m| m.files[0].pieces.truncate(3)).await;
    refused(&|m| m.piece_bytes = 0).await;
    refused(&|m| m.piece_bytes = u64::MAX).await;
    refused(&|m| {
        m.piece_bytes = 64 << 20;
        m.files[0].bytes = u64::MAX;
    })
    .await;
    refused(&|m| m.files = vec![m.files[0].clone(); 1025]).await;
}

#[tokio::test]
async fn a_published_model_comes_back_and_shares_what_another_has() {
    let folder = tempfile::tempdir().unwrap();
    let weights = Weights::open(folder.path().join("store").to_str().unwrap()).unwrap();
    // more than is sent at once, so that it goes in parts
    let bytes = Bytes::from(content(3, (16 << 20) + 5));
    let files = [("tales.gguf".to_owned(), bytes.clone())];
    let (short, long) = (Digest([1; 32]), Digest([2; 32]));
    let cache = WeightsCache::new(folder.path().join("cache"));
    for (id, binding, comes) in [(short, "96", bytes.len() as u64), (long, "128", 0)] {
        let manifest = Manifest::describe(
            id,
            WeightsFormat::Gguf,
            binding,
            &files,
            PIECE_BYTES,
            &mut |_| {},
        )
        .unwrap();
        let mut told = 0;
        let mut tell = |p: WeightsProgress<'_>| told = p.done;
        let contents = std::slice::from_ref(&bytes);
        let sent = weights.publish(&manifest, contents, &mut tell).await;
        assert_eq!(sent.unwrap(), comes, "a content is sent once");
        assert_eq!(told, comes);
        let found = weights.manifest(&id).await.unwrap();
        assert_eq!(found, manifest);
        let lock = cache.lock(|| {}).unwrap();
        let staged = weights.fetch(&found, &cache, &lock, &mut |_| {}).await;
        let staged = staged.unwrap();
        assert_eq!(staged.fetched, comes, "and fetched once");
        let model = staged.keep(&cache).unwrap();
        assert!(model.name().ends_with(&format!("tales.gguf@{binding}")));
        assert_eq!(
            std::fs::read(model.folder.join("tales.gguf")).unwrap(),
            bytes
        );
    }
    // a file that was cut is no cached model, and what is left of it is used
    let file = cache.folder(&long).join("tales.gguf");
    std::fs::File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(PIECE_BYTES + 3)
        .unwrap();
    assert!(cache.find(&long).is_none());
    assert!(cache.find(&short).is_some());
}
