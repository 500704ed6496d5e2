//! Every request at every version, made up and then mutated, through the
//! dispatch of a running broker. Nothing may panic, and whoever behaves is
//! served all the while.
//!
//! `MILLSTREAM_FUZZ_FACTOR` multiplies how many there are.

mod support;

use bytes::{BufMut, BytesMut};
use millstream_wire::ApiKey;
use millstream_wire::messages::metadata::MetadataRequest;
use millstream_wire::mutate::{Random, mutate};
use millstream_wire::testing::Source;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::kafka::create_topic;
use support::{TestBroker, eventually};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Requests of each kind at each version.
const EACH: usize = 4;
/// Connections that are open at a time, each with one request: some requests
/// wait, and what waits holds up its own connection only.
const OPEN_MAX: usize = 100;

static PANICS: AtomicUsize = AtomicUsize::new(0);

#[tokio::test]
async fn no_request_at_any_version_does_harm() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(panic);
    }));
    let dir = tempfile::tempdir().unwrap();
    let broker = TestBroker::start(dir.path()).await;
    let mut polite = broker.client().await;
    create_topic(&mut polite, "orders", 1, &[]).await;
    let factor = std::env::var("MILLSTREAM_FUZZ_FACTOR").map_or(1, |n| n.parse().unwrap());
    let mut random = Random::new(3);
    let (mut open, mut sent, mut well_formed) = (Vec::new(), 0, 0);
    for api in ApiKey::ALL {
        let (request, _) = api.messages();
        for version in request.version_first..=request.version_last {
            for n in 0..EACH * factor {
                let choices = random.bytes(120);
                let body = (request.sample)(version, &mut Source::new(&choices)).unwrap();
                let mut body = body.to_vec();
                if n % 2 == 1 {
                    mutate(&mut body, &mut random);
                } else {
                    well_formed += 1;
                }
                let mut stream = TcpStream::connect(broker.handle.address()).await.unwrap();
                stream
                    .write_all(&frame(*api, version, &body))
                    .await
                    .unwrap();
                open.push(stream);
                sent += 1;
                if open.len() == OPEN_MAX {
                    let answer = polite.call(&MetadataRequest::default(), 12).await;
                    assert!(!answer.brokers.is_empty());
                    open.clear();
                }
            }
        }
    }
    assert!(sent > 500, "{sent} requests only");
    let state = broker.handle.state();
    // The others wait for something, or were refused before they had a name.
    eventually("most requests were dispatched", async || {
        let apis = state.stats().snapshot().apis;
        let counted: u64 = apis.values().map(|api| api.requests).sum();
        counted as usize > well_formed / 2
    })
    .await;
    drop(open);
    let answer = polite.call(&MetadataRequest::default(), 12).await;
    assert!(!answer.brokers.is_empty());
    broker.stop().await;
    assert_eq!(PANICS.load(Ordering::Relaxed), 0);
}

fn frame(api: ApiKey, version: i16, body: &[u8]) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_i16(api.code());
    frame.put_i16(version);
    frame.put_i32(7);
    frame.put_i16(-1);
    if api.request_header_version(version) >= 2 {
        frame.put_u8(0);
    }
    frame.extend_from_slice(body);
    let mut whole = BytesMut::new();
    whole.put_i32(frame.len() as i32);
    whole.unsplit(frame);
    whole
}
