//! What made-up bytes can make a decoder allocate, measured by the allocator.

#![allow(clippy::unwrap_used)]
// A test file: a panic is a failed test.
// Counting allocations takes a global allocator, which is an unsafe trait.
#![allow(unsafe_code)]

use bytes::Bytes;
use millstream_wire::ApiKey;
use millstream_wire::batch::{BatchBuilder, BatchOptions, BatchView};
use millstream_wire::codec::{Message, Reader};
use millstream_wire::compression::Compression;
use millstream_wire::frame::RequestFrame;
use millstream_wire::messages::{FetchRequest, MetadataRequest};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: isize) {
    // A thread that ends may free after its counters are gone.
    let _ = LIVE_BYTES.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = PEAK_BYTES.try_with(|peak| peak.set(peak.get().max(live.get())));
    });
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes alive at once while `run` ran, above those before it.
fn peak_bytes<T>(run: impl FnOnce() -> T) -> usize {
    let before = LIVE_BYTES.get();
    PEAK_BYTES.set(before);
    drop(run());
    (PEAK_BYTES.get() - before) as usize
}

#[test]
fn the_allocator_counts() {
    assert!((1_000_000..1_001_000).contains(&peak_bytes(|| vec![0u8; 1_000_000])));
}

#[test]
fn an_array_bomb_of_eight_bytes_allocates_nothing() {
    // A count of two thousand million in an old and in a flexible version.
    let old = Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    let flexible = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x07, 0, 0, 0]);
    let peak = peak_bytes(|| {
        assert!(MetadataRequest::decode_all(1, old).is_err());
        assert!(MetadataRequest::decode_all(9, flexible).is_err());
    });
    assert_eq!(peak, 0);
}

#[test]
fn no_message_at_any_version_allocates_for_what_eight_bytes_claim() {
    let patterns: [[u8; 8]; 6] = [
        [0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff],
        [0xff, 0xff, 0xff, 0xff, 0x07, 0xff, 0xff, 0x07],
        [0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff],
        [0x01, 0xff, 0xff, 0xff, 0xff, 0x07, 0xff, 0xff],
        [0x00, 0x0f, 0x42, 0x40, 0x00, 0x0f, 0x42, 0x40],
        [0x02, 0x01, 0xff, 0xff, 0xff, 0xff, 0x07, 0xff],
    ];
    for &api in ApiKey::ALL {
        for message in <[_; 2]>::from(api.messages()) {
            for version in message.version_first..=message.version_last {
                for pattern in patterns {
                    let bytes = Bytes::copy_from_slice(&pattern);
                    let peak = peak_bytes(|| (message.recode)(version, &mut Reader::new(bytes)));
                    // The largest structure has some hundred bytes, 8 of which
                    // eight bytes may hold.
                    assert!(peak < 16 * 1024, "{} v{version}: {peak}", message.name);
                }
            }
        }
    }
}

#[test]
fn a_message_of_the_smallest_elements_stops_at_the_cap() {
    // Fetch v12: topics of three bytes each, which become a hundred or so.
    let mut frame = vec![0; 21];
    frame.extend_from_slice(&[0xc0, 0x84, 0x3d]); // 999,999 topics
    frame.resize(frame.len() + 3_000_000, 1);
    let frame = Bytes::from(frame);
    let mut result = None;
    let peak = peak_bytes(|| result = Some(FetchRequest::decode_all(12, frame).is_err()));
    assert_eq!(result, Some(true));
    assert!(peak < 300 * 1024 * 1024, "{peak}");
}

#[test]
fn a_request_header_allocates_no_more_than_its_frame() {
    for claimed in [0x7fff_u16, 0xfffe, 0x0fff] {
        let mut frame = vec![0, 3, 0, 9, 0, 0, 0, 1];
        frame.extend_from_slice(&claimed.to_be_bytes());
        let peak = peak_bytes(|| assert!(RequestFrame::parse(frame.into()).is_err()));
        assert!(peak < 256, "{peak}");
    }
}

#[test]
fn a_decompression_bomb_takes_no_more_than_its_cap() {
    const CAP: usize = 1024 * 1024;
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(BatchOptions {
            compression,
            ..Default::default()
        });
        builder
            .append(0, None, Some(&vec![0; 64 * 1024 * 1024]), &[])
            .unwrap();
        let view = BatchView::parse(&builder.build().unwrap()).unwrap();
        let peak = peak_bytes(|| assert!(view.records_capped(CAP).is_err()));
        // The output doubles as it grows, and a codec keeps a block or two.
        assert!(peak < 3 * CAP, "{}: {peak}", compression.name());
    }
}

#[test]
fn record_headers_are_not_believed() {
    // One record that claims 2^31 - 1 headers, in a batch that is valid else.
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(0, None, Some(&[0; 16]), &[]).unwrap();
    let mut bytes = builder.build().unwrap().to_vec();
    let value_at = bytes.len() - 17;
    // The value becomes null and what follows the count.
    bytes[value_at - 1] = 0x01;
    bytes[value_at..value_at + 5].copy_from_slice(&[0xfe, 0xff, 0xff, 0xff, 0x0f]);
    let view = BatchView::parse(&bytes.into()).unwrap();
    let peak = peak_bytes(|| assert!(view.records().unwrap().next().unwrap().is_err()));
    assert!(peak < 1024, "{peak}");
}
