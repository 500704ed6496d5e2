//! Records of the internal topics and of group members.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_wire::fuzzing::records(data));
