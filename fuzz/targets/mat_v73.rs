//! MATLAB's files of version 7.3, which are HDF5.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| hashlab_fuzz::read_mat(bytes));
