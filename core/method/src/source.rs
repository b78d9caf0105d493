//! Digest of a source file, without the parts that cannot change a result.

/// Digests the code of a Rust file (sixteen hexadecimal digits): without comment lines, blank lines, indentation and
/// the test modules at the ends of files.
pub(crate) fn digest(source: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut tests = false;
    for line in source.lines() {
        // A file that `concat!` appends begins with its module documentation.
        tests = (tests || line.starts_with("#[cfg(test)]")) && !line.starts_with("//!");
        let code = line.trim();
        if !tests && !code.is_empty() && !code.starts_with("//") {
            hasher.update(code.as_bytes());
            hasher.update(b"\n");
        }
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_counts_and_comments_and_tests_do_not() {
        let base = digest("//! Doc.\nfn loss() -> f64 {\n    1.0\n}\n");
        assert_eq!(base, digest("//! Other doc.\n\n/// New.\nfn loss() -> f64 {\n  // why\n1.0\n}\n"));
        assert_eq!(base, digest("fn loss() -> f64 {\n1.0\n}\n#[cfg(test)]\nmod tests { fn t() {} }\n"));
        assert_ne!(base, digest("fn loss() -> f64 {\n    10.0\n}\n"));
        let two = "fn loss() -> f64 {\n1.0\n}\n#[cfg(test)]\nmod tests {}\n//! Second.\nfn helper() {}\n";
        assert_ne!(base, digest(two));
    }
}
