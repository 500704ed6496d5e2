//! Record batches, as Produce carries them.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_wire::fuzzing::batches(data));
