//! A way to an RPC node that loses answers: some are swallowed after the node has done its part.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// The proxy's URL, and how many answers it has swallowed so far.
pub(crate) struct Proxy {
    pub(crate) url: String,
    pub(crate) lost: Arc<AtomicU32>,
}

/// Forwards to `node` ("http://127.0.0.1:8545") and swallows the answers to one in `every` requests, told by what
/// they say; one that is sent again as it was is answered. Ends with the process.
pub(crate) fn losing_one_in(every: u64, node: &str) -> Proxy {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let node = node.trim_start_matches("http://").to_owned();
    let lost = Arc::new(AtomicU32::new(0));
    let (count, seen) = (Arc::clone(&lost), Arc::new(Mutex::new(HashSet::new())));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (node, seen, lost) = (node.clone(), Arc::clone(&seen), Arc::clone(&count));
            std::thread::spawn(move || {
                let _ = forward(client, &node, |request| {
                    let mut hasher = DefaultHasher::new();
                    request.hash(&mut hasher);
                    let hash = hasher.finish();
                    let swallow = hash.is_multiple_of(every) && seen.lock().unwrap().insert(hash);
                    lost.fetch_add(swallow.into(), Ordering::Relaxed);
                    swallow
                });
            });
        }
    });
    Proxy { url, lost }
}

/// Requests and answers in turn, until either side hangs up or an answer is swallowed.
fn forward(
    mut client: TcpStream,
    node: &str,
    mut swallow: impl FnMut(&[u8]) -> bool,
) -> std::io::Result<()> {
    let mut server = TcpStream::connect(node)?;
    loop {
        let request = message(&mut client)?;
        server.write_all(&request)?;
        let answer = message(&mut server)?;
        if swallow(&request) {
            return Ok(());
        }
        client.write_all(&answer)?;
    }
}

/// One HTTP message whose length its header says.
fn message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        bytes.extend(byte);
    }
    let header = String::from_utf8_lossy(&bytes).to_lowercase();
    let length = header
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    bytes.extend(body);
    Ok(bytes)
}
