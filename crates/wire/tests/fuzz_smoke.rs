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
use millstream_wire::testing::Source;

/// Mutations of each seed.
const ROUNDS: usize = 400;

/// A small generator of its own, so that a failure's input never changes.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| (self.next() >> 24) as u8).collect()
    }
}

/// Values that lengths, counts and numbers are likely to trip over.
const TELLING: &[&[u8]] = &[
    &[0],
    &[0xff],
    &[0x80],
    &[0x7f, 0xff],
    &[0xff, 0xff],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
];

fn mutate(input: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(input.len());
        let telling = TELLING[random.below(TELLING.len())];
        match random.below(6) {
            0 if !input.is_empty() => input[at] = random.next() as u8,
            1 if !input.is_empty() => input[at] ^= 1 << random.below(8),
            2 => input.truncate(at),
            3 => drop(input.splice(at..at, telling.iter().copied())),
            4 => {
                let end = (at + telling.len()).min(input.len());
                drop(input.splice(at..end, telling.iter().copied()));
            }
            _ => {
                let piece = input[at..(at + random.below(16)).min(input.len())].to_vec();
                let to = random.below(input.len());
                drop(input.splice(to..to, piece));
            }
        }
    }
}

fn run(seeds: &[Vec<u8>], target: fn(&[u8])) {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for seed in seeds {
        target(seed);
        for _ in 0..ROUNDS {
            let mut input = seed.clone();
            mutate(&mut input, &mut random);
            target(&input);
        }
    }
}

#[test]
fn no_frame_does_harm() {
    let frames = [
        encode_request(&ApiVersionsRequest::default(), 3, 1, Some("c")),
        encode_request(&MetadataRequest::default(), 12, 2, None),
        encode_request(&ProduceRequest::default(), 9, 3, Some("c")),
        encode_request(&FetchRequest::default(), 12, 4, Some("c")),
    ];
    let seeds: Vec<_> = frames
        .map(|frame| frame.unwrap().to_bytes().to_vec())
        .into();
    run(&seeds, fuzzing::frame);
}

#[test]
fn no_message_does_harm() {
    let mut random = Random(7);
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
    run(&seeds, fuzzing::message);
}

#[test]
fn no_record_batch_does_harm() {
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
    // More rounds than the messages get: there are few seeds.
    let seeds: Vec<_> = std::iter::repeat_n(seeds, 20).flatten().collect();
    run(&seeds, fuzzing::batches);
}
