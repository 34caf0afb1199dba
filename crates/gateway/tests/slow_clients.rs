//! Clients that keep a connection and do nothing with it.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use gavel_gateway::{Bounds, serve};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

async fn listening(bounds: Bounds) -> (std::net::SocketAddr, oneshot::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endless = || async {
        let zeros =
            futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![0u8; 1 << 16]));
        axum::body::Body::from_stream(zeros)
    };
    let router = Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/endless", get(endless));
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async {
        let _ = stopped.await;
    };
    tokio::spawn(serve(listener, router, bounds, stopped));
    (address, stop)
}

#[tokio::test]
async fn headers_that_do_not_come_and_headers_without_end_are_cut() {
    let bounds = Bounds {
        header_time: Duration::from_millis(100),
        ..Bounds::default()
    };
    let (address, _stop) = listening(bounds).await;
    let mut slow = TcpStream::connect(address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n")
        .await
        .unwrap();
    let mut rest = Vec::new();
    // ends, where a patient server would wait for ever
    let _ = slow.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    let mut large = TcpStream::connect(address).await.unwrap();
    let header = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n",
        "a".repeat(1 << 16)
    );
    let _ = large.write_all(header.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = large.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
}

#[tokio::test]
async fn whoever_does_not_read_is_cut_and_others_get_its_place() {
    let bounds = Bounds {
        write_time: Duration::from_millis(200),
        connections: 1,
        ..Bounds::default()
    };
    let (address, _stop) = listening(bounds).await;
    let mut deaf = TcpStream::connect(address).await.unwrap();
    deaf.write_all(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut next = TcpStream::connect(address).await.unwrap();
    next.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    next.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.contains("200 OK") && answer.ends_with("hello"),
        "{answer}"
    );
    drop(deaf);
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_the_end() {
    let (address, stop) = listening(Bounds::default()).await;
    let mut client = TcpStream::connect(address).await.unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut first = vec![0; 15];
    client.read_exact(&mut first).await.unwrap();
    stop.send(()).unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert!(rest.ends_with("hello"), "{rest}");
}
