//! The fuzzers' target over the files of a data folder, under the seeded
//! mutator. For the real thing see `fuzz/`.

use millstream_log::fuzzing;
use millstream_wire::mutate;

#[test]
fn no_file_of_a_data_folder_does_harm() {
    mutate::run(&fuzzing::seeds(), 12, fuzzing::files);
}
