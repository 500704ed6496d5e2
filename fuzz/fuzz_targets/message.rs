//! Every request and response at every version.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_wire::fuzzing::message(data));
