//! Stores that answer badly: a server of ours on loopback says what a broken or hostile one would.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::store::Store;
use crate::NodeError;

/// What the server does with the n-th request for a blob.
type Answer = Box<dyn Fn(u32, &mut TcpStream) + Send + Sync>;

struct Wild {
    store: Store,
    asked: Arc<AtomicU32>,
    written: Arc<Mutex<Vec<u8>>>,
}

/// A server on loopback and a store over it. Its threads end with the process.
fn wild(answer: Answer) -> Wild {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/blobs", listener.local_addr().unwrap());
    let (asked, written) = (
        Arc::new(AtomicU32::new(0)),
        Arc::new(Mutex::new(Vec::new())),
    );
    let (count, kept, answer) = (Arc::clone(&asked), Arc::clone(&written), Arc::new(answer));
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (count, kept, answer) =
                (Arc::clone(&count), Arc::clone(&kept), Arc::clone(&answer));
            std::thread::spawn(move || {
                let mut client = client;
                let Some((head, body)) = request(&mut client) else {
                    return;
                };
                if head.starts_with("PUT") {
                    *kept.lock().unwrap() = body;
                    let _ = client.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nETag: \"1\"\r\nConnection: close\r\n\r\n");
                    return;
                }
                answer(count.fetch_add(1, Ordering::SeqCst), &mut client);
            });
        }
    });
    let store = Store::open(&url).unwrap();
    Wild {
        store,
        asked,
        written,
    }
}

fn request(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).ok()?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// A whole answer that says it has `length` bytes.
fn says(client: &mut TcpStream, length: u64, body: &[u8]) {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nLast-Modified: Fri, 27 Nov 2026 00:00:00 GMT\r\nETag: \"1\"\r\nConnection: close\r\n\r\n"
    );
    let _ = client.write_all(head.as_bytes());
    let _ = client.write_all(body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_has_is_read_and_written() {
    let server = wild(Box::new(|_, client| says(client, 5, b"whole")));
    server.store.put("a", "bytes".into()).await.unwrap();
    assert_eq!(*server.written.lock().unwrap(), b"bytes");
    assert_eq!(server.store.get("a", 5).await.unwrap().unwrap(), "whole");
    let empty = wild(Box::new(|_, client| {
        let _ = client
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }));
    assert!(empty.store.get("a", 5).await.unwrap().is_none());
    assert_eq!(empty.asked.load(Ordering::SeqCst), 1, "absent is an answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_promises_too_much_is_not_read() {
    // a petabyte that never comes
    let server = wild(Box::new(|_, client| says(client, 1 << 50, b"")));
    let error = server.store.get("inputs/a.json", 1000).await.unwrap_err();
    let NodeError::Blob { name, reason } = &error else {
        panic!("{error}");
    };
    assert_eq!(name, "inputs/a.json");
    assert!(reason.contains("at most 1000"), "{reason}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_cut_short_is_asked_for_again() {
    let server = wild(Box::new(|n, client| match n {
        0 => says(client, 8, b"half"),
        _ => says(client, 8, b"all of i"),
    }));
    assert_eq!(server.store.get("a", 8).await.unwrap().unwrap(), "all of i");
    assert!(server.asked.load(Ordering::SeqCst) >= 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_answers_too_slowly_is_given_up() {
    let server = wild(Box::new(|_, client| {
        says(client, 8, b"a");
        // until the other side hangs up
        let _ = client.read(&mut [0; 16]);
    }));
    let store = server.store.clone().patience(Duration::from_millis(200));
    let started = Instant::now();
    let error = store.get("a", 8).await.unwrap_err();
    assert!(matches!(error, NodeError::Store(_)), "{error}");
    assert!(error.to_string().contains("no answer within"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(60));
    assert!(
        server.asked.load(Ordering::SeqCst) >= 2,
        "asked again before that"
    );
}
