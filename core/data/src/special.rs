//! What is in the place of a file: a directory, or a pipe or device, which may have no end.

use std::fs::{self, FileType};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

/// What a path leads to that is no file, e.g. `a directory`; `None` for a file, for nothing, and for a pipe without a
/// name, which a shell or another program fills (`/dev/stdin`, `<(…)`). One with a name would wait for a writer.
pub fn special(path: &Path) -> Option<&'static str> {
    let kind = fs::metadata(path).ok()?.file_type();
    match kind {
        kind if kind.is_file() => None,
        kind if kind.is_dir() => Some("a directory"),
        kind if kind.is_fifo() => fs::canonicalize(path).is_ok().then_some("a pipe"),
        kind if kind.is_socket() => Some("a socket"),
        kind => Some(device(kind)),
    }
}

fn device(kind: FileType) -> &'static str {
    if kind.is_block_device() { "a disk" } else { "a device" }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_no_file_has_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let (file, pipe, link) = (folder.path().join("file"), folder.path().join("pipe"), folder.path().join("link"));
        fs::write(&file, "").unwrap();
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).unwrap();
        assert_eq!([special(&file), special(&folder.path().join("none"))], [None, None]);
        assert_eq!(
            [special(folder.path()), special(&pipe), special(&link)],
            [Some("a directory"), Some("a pipe"), Some("a pipe")]
        );
        assert_eq!(
            [special(Path::new("/dev/zero")), special(&folder.path().join("socket"))],
            [Some("a device"), Some("a socket")]
        );
        let (reader, _writer) = std::io::pipe().unwrap();
        assert_eq!(special(Path::new(&format!("/dev/fd/{}", reader.as_raw_fd()))), None);
    }
}
