//! Reading and writing of whole files, so that readers never see a partial one.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::NamedTempFile;

use super::StoreError;
use crate::warnings::warn_once;

/// Extension of incomplete files.
const PARTIAL: &str = ".tmp";

/// Writes `bytes` to `path` atomically, even if the machine loses power.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    replace_by(path, |file| file.write_all(bytes))
}

/// Writes the output of `fill` to `path` atomically, even if the machine loses power.
pub(super) fn replace_by(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), StoreError> {
    let directory = directory_of(path);
    let name = path.file_name().expect("files of the store have a name").to_string_lossy();
    let write = || -> io::Result<()> {
        fs::create_dir_all(directory)?;
        let file = incomplete(directory, &format!(".{name}-"), fill)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|refused| refused.error)?;
        sync_directory(directory)
    };
    write().map_err(StoreError::io("write", path))
}

/// Checks that the content of `path` is the output of `fill`; any error says that it is not.
pub(super) fn holds(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut comparing = Comparing(BufReader::new(open_regular(path)?));
    fill(&mut comparing)?;
    if comparing.0.fill_buf()?.is_empty() { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// A writer that compares what it is given with what a file holds, and refuses what differs.
struct Comparing(BufReader<File>);

impl Write for Comparing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let held = self.0.fill_buf()?;
        let both = held.len().min(bytes.len());
        if both == 0 && !bytes.is_empty() || held[..both] != bytes[..both] {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.0.consume(both);
        Ok(both)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the output of `fill` to `path` atomically, under a name that begins with `prefix` until it is complete. A
/// loss of power may damage it.
pub(super) fn replace_derived(
    path: &Path,
    prefix: &str,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let file = incomplete(directory_of(path), prefix, fill)?;
    file.persist(path).map_err(|refused| refused.error)?;
    Ok(())
}

fn directory_of(path: &Path) -> &Path {
    path.parent().expect("files of the store lie in a directory")
}

/// A new file with the output of `fill`, removed unless it gets its name.
fn incomplete(
    directory: &Path,
    prefix: &str,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new()
        .prefix(prefix)
        .suffix(PARTIAL)
        // The default is for secrets; results get the permissions of the umask, for colleagues.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(directory)
        .map_err(of_system)?;
    let mut buffered = BufWriter::new(file.as_file_mut());
    fill(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    Ok(file)
}

/// The system's own error within one of `tempfile`, which names a path of its own and keeps the system's number in its
/// text alone.
fn of_system(error: io::Error) -> io::Error {
    let text = error.to_string();
    let number = text.split_once("(os error ").and_then(|(_, rest)| rest.split_once(')'));
    match number.and_then(|(number, _)| number.parse().ok()) {
        Some(number) => io::Error::from_raw_os_error(number),
        None => error,
    }
}

/// Checks that `directory` can be created and written, by making a file in it and removing it.
pub(super) fn probe(directory: &Path) -> Result<(), StoreError> {
    let probe = || {
        fs::create_dir_all(directory)?;
        let probe = tempfile::Builder::new().prefix(".probe-").suffix(PARTIAL).tempfile_in(directory);
        probe.map_err(of_system)?.close()
    };
    probe().map_err(StoreError::io("write in", directory))
}

/// Makes a new name durable. Some network file systems fail to sync a directory, and need no such call.
fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        Err(refused) if matches!(refused.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

/// Writes `value` to `path` as indented JSON.
pub(super) fn replace_json(path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
    let mut text = serde_json::to_vec_pretty(value).expect("records are plain data");
    text.push(b'\n');
    replace(path, &text)
}

/// Writes `value` to `path` as JSON on one line, for records with long lists.
pub(super) fn replace_json_line(path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
    let mut text = serde_json::to_vec(value).expect("records are plain data");
    text.push(b'\n');
    replace(path, &text)
}

/// Appends `value` to the JSON Lines file at `path`, with one system call.
pub(super) fn append_json(path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
    let append = || -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let mut line = Vec::new();
        if ends_mid_line(&mut file)? {
            line.push(b'\n');
        }
        serde_json::to_writer(&mut line, value)?;
        line.push(b'\n');
        file.write_all(&line)
    };
    append().map_err(StoreError::io("append to", path))
}

/// Whether the last writer was stopped in the middle of a line.
fn ends_mid_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// Reads a file. A pipe or device in its place has no end, and is an error.
pub(super) fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens a file for reading; a pipe or device in its place is an error.
pub(super) fn open_regular(path: &Path) -> io::Result<File> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_file() || kind.is_dir() { File::open(path) } else { Err(io::Error::other("it is no regular file")) }
}

/// Reads a file that may be absent, with or without its directory; one that cannot be read counts as absent, with a
/// warning.
pub(super) fn read(path: &Path) -> Option<Vec<u8>> {
    match read_regular(path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
                warn_once(format!("cannot read `{}`: {error}; it counts as absent", path.display()));
            }
            None
        }
    }
}

/// Reads the last `most` bytes of a text that may be absent, from the start of a line.
pub(super) fn read_tail(path: &Path, most: u64) -> String {
    let tail = || -> io::Result<Vec<u8>> {
        if !fs::metadata(path)?.is_file() {
            return Ok(Vec::new());
        }
        let mut file = File::open(path)?;
        let start = file.metadata()?.len().saturating_sub(most);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes)?;
        if start > 0 {
            let line = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
            bytes.drain(..line);
        }
        Ok(bytes)
    };
    String::from_utf8_lossy(&tail().unwrap_or_default()).into_owned()
}

/// Reads a JSON file that may be absent; a damaged one counts as absent, with a warning.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let bytes = read(path)?;
    serde_json::from_slice(&bytes)
        .inspect_err(|error| warn_once(format!("`{}` is damaged: {error}; it counts as absent", path.display())))
        .ok()
}

/// Lists a directory that may be absent. Other files in the place of a directory are empty.
pub(super) fn list(directory: &Path) -> Result<Vec<fs::DirEntry>, StoreError> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(entries.flatten().collect()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(StoreError::io("list", directory)(error)),
    }
}

/// Removes a file that may be absent.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(StoreError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes the incomplete files of killed processes whose names begin with `prefix`.
pub(super) fn remove_partial(directory: &Path, prefix: &str) -> Result<(), StoreError> {
    let entries = fs::read_dir(directory).map_err(StoreError::io("list", directory))?;
    for entry in entries {
        let entry = entry.map_err(StoreError::io("list", directory))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(prefix) && name.ends_with(PARTIAL) {
            remove(&entry.path())?;
        }
    }
    Ok(())
}

/// Opens a log for appending, and creates its directory.
///
/// # Errors
/// [`StoreError::Io`] on an error of the operating system.
pub fn open_log(path: &Path) -> Result<File, StoreError> {
    let open = || -> io::Result<File> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        OpenOptions::new().create(true).append(true).open(path)
    };
    open().map_err(StoreError::io("open", path))
}

/// Checks that `name` names a visible file or directory, not a path.
pub(super) fn plain_name(name: &str) -> Result<&str, StoreError> {
    let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    plain.then_some(name).ok_or_else(|| StoreError::BadName(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As on some network disks; `/proc` refuses with the same error.
    #[test]
    fn a_directory_that_cannot_be_synced_is_no_error() {
        let proc = Path::new("/proc");
        assert_eq!(File::open(proc).unwrap().sync_all().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        sync_directory(proc).unwrap();
    }

    #[test]
    fn a_file_holds_its_content_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let text = "line\n".repeat(5000);
        fs::write(&path, &text).unwrap();
        let is =
            |text: &str| holds(&path, |out| text.split_inclusive('\n').try_for_each(|l| out.write_all(l.as_bytes())));
        is(&text).unwrap();
        for other in
            ["", &text[1..], &text[..text.len() - 1], &text.replacen("line", "lane", 4000), &(text.clone() + "l")]
        {
            assert!(is(other).is_err());
        }
        fs::remove_file(&path).unwrap();
        assert!(is(&text).is_err() && is("").is_err(), "there is no file");
    }

    #[test]
    fn errors_name_their_path_once() {
        let refused = replace(Path::new("/proc/hashlab/file"), b"").unwrap_err().to_string();
        assert!(
            refused.starts_with("cannot write `/proc/hashlab/file`: ") && !refused.contains("at path"),
            "{refused}"
        );
        let refused = probe(Path::new("/proc")).unwrap_err().to_string();
        assert!(refused.starts_with("cannot write in `/proc`: ") && !refused.contains("at path"), "{refused}");
    }
}
