//! The archive of a bundle: a compressed tar file without times and owners.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use sha2::{Digest as _, Sha256};
use tar::{Builder, Header};

use super::{Content, SUMS};

/// Writes files below one folder, in order, then their digests.
pub(super) fn write(folder: &str, files: BTreeMap<String, Content>, out: impl Write) -> Result<()> {
    let mut archive = Builder::new(GzBuilder::new().mtime(0).write(out, Compression::default()));
    let mut sums = String::new();
    for (path, content) in files {
        let bytes = match content {
            Content::Bytes(bytes) => bytes,
            Content::File(file) => std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?,
        };
        let _ = writeln!(sums, "{}  {path}", sum(&bytes));
        append(&mut archive, &format!("{folder}/{path}"), &bytes)?;
    }
    append(&mut archive, &format!("{folder}/{SUMS}"), sums.as_bytes())?;
    archive.into_inner()?.finish()?.flush()?;
    Ok(())
}

fn append(archive: &mut Builder<impl Write>, path: &str, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    archive.append_data(&mut header, path, bytes).with_context(|| format!("cannot write {path} to the archive"))
}

/// The SHA-256 of a file's content.
pub(super) fn sum(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}
