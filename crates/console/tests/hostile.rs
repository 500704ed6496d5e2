//! HTTP clients that mean harm, and one beside them that does not: it keeps
//! its service, and what the others hold stays within its bounds.
#![allow(clippy::unwrap_used, reason = "a test")]

mod support;

use millstream_console::http::limits::HttpLimits;
use std::time::Duration;
use support::{PATIENCE, Stage, all, assert_status, frame, get, live, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const KIB: usize = 1024;
/// A time that no test waits for.
const NEVER: Duration = Duration::from_secs(3_600);
const SOON: Duration = Duration::from_millis(100);

/// Bounds so small that a few clients reach them; times out of the way.
fn limits() -> HttpLimits {
    HttpLimits {
        connections_max: 40,
        head_read_max: NEVER,
        body_read_max: NEVER,
        body_read_pressed_max: SOON,
        bodies_bytes_max: 256 * KIB,
        body_bytes_free: KIB,
        ..Default::default()
    }
}

#[tokio::test]
async fn silent_connections_make_room_for_who_speaks() {
    let stage = Stage::set(limits()).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(stage.sends("").await);
    }
    stage.serves(100 * KIB).await;
    stage.end().await;
}

#[tokio::test]
async fn half_sent_heads_make_room_for_who_speaks() {
    let stage = Stage::set(limits()).await;
    let mut half = Vec::new();
    for _ in 0..100 {
        half.push(stage.sends("GET /healthz HTTP/1.1\r\nHost: local").await);
    }
    stage.serves(100 * KIB).await;
    stage.end().await;
}

#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_is_cut_off() {
    let stage = Stage::set(HttpLimits {
        head_read_max: SOON,
        ..limits()
    })
    .await;
    let mut half = stage.sends("GET /healthz HTTP/1.1\r\nHost: local").await;
    let mut idle = stage.sends("").await;
    all(&mut half).await;
    all(&mut idle).await;
    stage.serves(100 * KIB).await;
    stage.end().await;
}

#[tokio::test]
async fn a_head_without_bound_is_refused() {
    let stage = Stage::set(limits()).await;
    let endless = format!(
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}",
        "x".repeat(128 * KIB)
    );
    let answer = stage.answer(endless).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    stage.serves(100 * KIB).await;
    stage.end().await;
}

/// Claims 100 KiB and sends half of it.
async fn half_sent_body(stage: &Stage) -> TcpStream {
    let half = "x".repeat(50 * KIB);
    stage
        .sends(post("/api/v1/topics/t/produce", 100 * KIB, &half))
        .await
}

#[tokio::test]
async fn half_sent_bodies_let_others_by() {
    let stage = Stage::set(limits()).await;
    let mut half = Vec::new();
    for _ in 0..30 {
        half.push(half_sent_body(&stage).await);
    }
    for _ in 0..3 {
        stage.serves(100 * KIB).await;
    }
    stage.end().await;
}

#[tokio::test]
async fn more_half_sent_bodies_than_connections_let_others_by() {
    let stage = Stage::set(limits()).await;
    let mut half = Vec::new();
    for _ in 0..100 {
        half.push(half_sent_body(&stage).await);
    }
    stage.serves(100 * KIB).await;
    stage.end().await;
}

#[tokio::test]
async fn senders_of_a_byte_now_and_then_let_others_by() {
    let stage = Stage::set(limits()).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let mut stream = half_sent_body(&stage).await;
        tasks.spawn(async move {
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
    }
    for _ in 0..3 {
        stage.serves(100 * KIB).await;
    }
    tasks.shutdown().await;
    stage.end().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_to_its_end_is_answered_408() {
    let stage = Stage::set(HttpLimits {
        body_read_max: SOON,
        ..limits()
    })
    .await;
    let mut half = half_sent_body(&stage).await;
    assert_status(&all(&mut half).await, 408);
    stage.end().await;
}

#[tokio::test]
async fn a_body_is_as_large_as_its_route_takes() {
    let stage = Stage::set(HttpLimits {
        bodies_bytes_max: 64 << 20,
        ..limits()
    })
    .await;
    for (path, max) in [
        ("/api/v1/sql", 1024 * KIB),
        ("/api/v1/topics/t/produce", 1024 * KIB),
        ("/api/v1/topics", 64 * KIB),
    ] {
        let body = "x".repeat(max + 1);
        let refused = stage.answer(post(path, body.len(), &body)).await;
        assert_status(&refused, 413);
    }
    stage.serves(900 * KIB).await;
    stage.end().await;
}

/// Stopping waits for answers that are being taken, not for who takes none.
#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_off() {
    let stage = Stage::set(HttpLimits {
        write_stall_max: SOON,
        ..limits()
    })
    .await;
    let _takes_nothing = stage.takes_little(get("/metrics").as_bytes()).await;
    stage.serves(100 * KIB).await;
    assert_status(&stage.get("/metrics").await, 200);
    stage.end().await;
}

#[tokio::test]
async fn a_frame_larger_than_the_bound_ends_its_connection_before_it_is_sent() {
    let stage = Stage::set(limits()).await;
    let mut stream = live(&stage).await;
    let large = frame(0x81, &vec![b' '; 15 << 20]);
    // Sent in full, it would be in nobody's buffer: the server has to close.
    let sent = tokio::time::timeout(PATIENCE, stream.write_all(&large));
    assert!(sent.await.unwrap().is_err(), "15 MB were taken");
    let mut honest = live(&stage).await;
    pings(&mut honest).await;
    stage.end().await;
}

/// A frame in parts, each within the bound.
#[tokio::test]
async fn a_message_of_many_frames_is_bounded_too() {
    let stage = Stage::set(limits()).await;
    let mut stream = live(&stage).await;
    let _ = stream.write_all(&frame(0x01, &[b' '; 60 * KIB])).await;
    let _ = stream.write_all(&frame(0x80, &[b' '; 60 * KIB])).await;
    all(&mut stream).await;
    stage.end().await;
}

/// One message there and back.
async fn pings(stream: &mut TcpStream) {
    let ping = frame(0x81, br#"{"op":"ping","t":7}"#);
    stream.write_all(&ping).await.unwrap();
    let mut seen = Vec::new();
    while !seen.windows(6).any(|w| w == b"\"pong\"") {
        seen.push(stream.read_u8().await.unwrap());
    }
}

#[tokio::test]
async fn a_websocket_whose_client_is_gone_is_closed_and_one_that_answers_stays() {
    let stage = Stage::set(HttpLimits {
        live_ping: Duration::from_millis(20),
        live_silent_max: Duration::from_millis(400),
        ..limits()
    })
    .await;
    let mut gone = live(&stage).await;
    let mut honest = live(&stage).await;
    let closed = tokio::spawn(async move { all(&mut gone).await });
    while !closed.is_finished() {
        // What a browser does by itself: each ping is answered.
        assert_eq!(honest.read_u8().await.unwrap(), 0x89);
        assert_eq!(honest.read_u8().await.unwrap(), 0);
        honest.write_all(&frame(0x8a, b"")).await.unwrap();
    }
    pings(&mut honest).await;
    stage.end().await;
}

#[tokio::test]
async fn who_is_silent_on_a_websocket_makes_room_too() {
    let stage = Stage::set(HttpLimits {
        live_ping: NEVER,
        live_silent_max: NEVER,
        ..limits()
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..60 {
        silent.push(live(&stage).await);
    }
    stage.serves(100 * KIB).await;
    stage.end().await;
}

#[tokio::test]
async fn once_it_stops_the_api_says_so_and_readyz_too() {
    let stage = Stage::set(limits()).await;
    assert_status(&stage.get("/readyz").await, 200);
    stage.stop.cancel();
    stage
        .not_ready
        .send_replace(Some("the server is stopping".into()));
    let answer = stage.get("/readyz").await;
    assert_status(&answer, 503);
    assert!(answer.ends_with("the server is stopping\n"), "{answer}");
    assert_status(&stage.get("/api/v1/topics").await, 503);
    assert_status(&stage.get("/healthz").await, 200);
    stage.end().await;
}
