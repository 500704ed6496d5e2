//! The files of a data folder, as recovery reads them.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| millstream_log::fuzzing::files(data));
