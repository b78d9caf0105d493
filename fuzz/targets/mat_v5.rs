//! MATLAB's files of versions 5 to 7.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hashlab_fuzz::read_mat(bytes));
