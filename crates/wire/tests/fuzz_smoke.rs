//! The fuzzers' targets under a seeded mutator: no nightly compiler, no
//! coverage, a few seconds, the same inputs every time. For the real thing see
//! `fuzz/`.

#![allow(clippy::unwrap_used)] // A test file: a panic is a failed test.

use millstream_wire::ApiKey;
use millstream_wire::batch::{BatchBuilder, BatchOptions, ControlKind, EndTxnMarker};
use millstream_wire::compression::Compression;
use millstream_wire::frame::encode_request;
use millstream_wire::fuzzing;
use millstream_wire::messages::{
    ApiVersionsRequest, FetchRequest, MetadataRequest, ProduceRequest,
};
use millstream_wire::mutate::{Random, run};
use millstream_wire::testing::Source;

/// Mutations of each seed.
const ROUNDS: usize = 400;

#[test]
fn no_frame_does_harm() {
    let frames = [
        encode_request(&ApiVersionsRequest::default(), 3, 1, Some("c")),
        encode_request(&MetadataRequest::default(), 12, 2, None),
        encode_request(&ProduceRequest::default(), 9, 3, Some("c")),
        encode_request(&FetchRequest::default(), 12, 4, Some("c")),
    ];
    let seeds: Vec<_> = frames
        .map(|frame| frame.unwrap().to_bytes().unwrap().to_vec())
        .into();
    run(&seeds, ROUNDS, fuzzing::frame);
}

#[test]
fn no_message_does_harm() {
    let mut random = Random::new(7);
    let mut seeds = Vec::new();
    for (which, api) in (0u8..).zip(ApiKey::ALL) {
        for (kind, message) in (0u8..).zip(<[_; 2]>::from(api.messages())) {
            for version in message.version_first..=message.version_last {
                let choices = random.bytes(120);
                let body = (message.sample)(version, &mut Source::new(&choices)).unwrap();
                let mut seed = vec![which, kind, (version - message.version_first) as u8];
                seed.extend_from_slice(&body);
                seeds.push(seed);
            }
        }
    }
    run(&seeds, ROUNDS, fuzzing::message);
}

#[test]
fn no_record_of_an_internal_topic_does_harm() {
    let mut random = Random::new(11);
    let mut seeds = Vec::new();
    for (which, message) in (0u8..).zip(fuzzing::record_messages()) {
        for version in message.version_first..=message.version_last {
            for _ in 0..5 {
                let choices = random.bytes(120);
                let body = (message.sample)(version, &mut Source::new(&choices)).unwrap();
                let mut seed = vec![which, (version - message.version_first) as u8];
                seed.extend_from_slice(&body);
                seeds.push(seed);
            }
        }
    }
    run(&seeds, ROUNDS, fuzzing::records);
}

#[test]
fn no_record_batch_does_harm() {
    // More rounds than the messages get: there are few seeds.
    let seeds: Vec<_> = std::iter::repeat_n(batch_seeds(), 20).flatten().collect();
    run(&seeds, ROUNDS, fuzzing::batches);
}

#[test]
fn no_record_batch_is_changed_by_another_compression() {
    let seeds: Vec<_> = batch_seeds()
        .into_iter()
        .flat_map(|batch| {
            (0..Compression::ALL.len() as u8).map(move |to| [&[to], batch.as_slice()].concat())
        })
        .collect();
    // Behind a checksum that a mutation nearly always breaks: the records are
    // read without it, and the target itself compares.
    run(&seeds, ROUNDS, fuzzing::recompress);
}

/// A batch of each compression, and a marker.
fn batch_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = Compression::ALL
        .map(|compression| {
            let mut builder = BatchBuilder::new(BatchOptions {
                compression,
                ..Default::default()
            });
            for i in 0..5u8 {
                let headers: &[(&str, Option<&[u8]>)] = &[("h", Some(&[i])), ("", None)];
                builder
                    .append(i.into(), Some(&[i; 9]), Some(&[7; 40]), headers)
                    .unwrap();
            }
            builder.build().unwrap().to_vec()
        })
        .into();
    let marker = EndTxnMarker {
        kind: ControlKind::Abort,
        coordinator_epoch: 3,
    };
    seeds.push(marker.to_batch(9, 1, 5).unwrap().to_vec());
    seeds
}
