//! A socket's bytes: frames, headers, and bodies as requests.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_wire::fuzzing::frame(data));
