//! What a file is instead, by its first bytes.

use super::header::Problem;

/// First bytes of other files, what they are, and what to do.
const KNOWN: [(&[u8], &str, &str); 9] = [
    (b"\x93NUMPY", "a .npy file", "give it the ending .npy"),
    (
        b"PK\x03\x04",
        "a zip archive",
        "a numpy archive has the ending .npz; a PyTorch file is not read, since it may hold programs",
    ),
    (b"\x89HDF", "an HDF5 file", "give it the ending .h5"),
    (b"MATLAB", "a MATLAB file", "give it the ending .mat"),
    (b"\x1f\x8b", "a gzip file", "unpack it with gunzip"),
    (b"\x80", "a Python pickle, which may hold programs and is not read", "write the array with numpy.save"),
    (b"version ", "a pointer of Git LFS in the place of the file", "`git lfs pull` fetches the file"),
    (b"<", "a web page or XML, e.g. of a download that was refused", "download it again"),
    (b"{", "JSON", "write the array with numpy.save"),
];

/// The problem of a file that begins otherwise than what it should be.
pub(super) fn problem(begun: &[u8], expected: &str) -> Problem {
    if begun.is_empty() {
        return Problem { what: "the file is empty".to_owned(), help: "copy or download it again" };
    }
    match KNOWN.iter().find(|(start, ..)| begun.starts_with(start)) {
        Some((_, found, help)) => Problem { what: format!("it is not {expected}, but {found}"), help },
        None => Problem::new(format!("it is not {expected}: it begins with `{}`", begun.escape_ascii())),
    }
}
