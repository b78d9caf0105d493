//! Arrays in .npz files: zip archives of .npy files, as numpy.savez and numpy.savez_compressed write them.

use std::fs::File;
use std::io::{BufReader, ErrorKind, Read};
use std::path::Path;

use candle_core::Tensor;
use flate2::CrcReader;
use flate2::read::DeflateDecoder;
use hashlab_data::DataError;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::header::{Header, Problem};
use super::{broken, chosen, foreign};
use crate::own::places::opened;

/// How many bytes a byte of a compressed file can stand for.
const COMPRESSED: u64 = 1032;

/// Reads the array of a name, or the only one.
pub(super) fn read(path: &Path, name: Option<&str>) -> Result<Tensor, DataError> {
    let mut archive = open(opened(path)?).map_err(broken(path))?;
    let names: Vec<String> = archive.file_names().map(|name| name.map_or_else(|_| "?".into(), array_of)).collect();
    let name = chosen(path, name, &names)?;
    let at = names.iter().position(|known| *known == name).expect("it was chosen from them");
    member(&mut archive, at).map_err(|problem| {
        let what = format!("array `{name}`: {}", problem.what);
        broken(path)(Problem { what, ..problem })
    })
}

/// The array's name of that of its file.
fn array_of(file: std::borrow::Cow<'_, str>) -> String {
    file.strip_suffix(".npy").unwrap_or(&file).to_owned()
}

fn open(mut file: File) -> Result<ZipArchive<BufReader<File>>, Problem> {
    let mut begun = Vec::new();
    file.by_ref().take(8).read_to_end(&mut begun)?;
    if !begun.starts_with(b"PK") {
        return Err(foreign::problem(&begun, "an archive of numpy (.npz)"));
    }
    ZipArchive::new(BufReader::new(file)).map_err(of_archive)
}

/// Reads a file of the archive.
fn member(archive: &mut ZipArchive<BufReader<File>>, at: usize) -> Result<Tensor, Problem> {
    let stored = archive.by_index_raw(at).map_err(of_archive)?;
    if stored.encrypted() {
        return Err(Problem { what: "it is encrypted".to_owned(), help: "write the archive without a password" });
    }
    let (method, size, sum) = (stored.compression(), stored.size(), stored.crc32());
    let most = stored.compressed_size().saturating_mul(COMPRESSED);
    let (bytes, header, found) = match method {
        CompressionMethod::Stored => values(stored, size)?,
        CompressionMethod::DEFLATE => values(DeflateDecoder::new(stored), size.min(most))?,
        other => {
            let what = format!("it is compressed by a method that numpy does not use ({other})");
            return Err(Problem { what, help: "write the archive with numpy.savez" });
        }
    };
    if found != sum {
        let what = "its bytes are not those that were written (another checksum)".to_owned();
        return Err(Problem { what, help: "copy or download the archive again" });
    }
    header.tensor(header.shape.first().copied().unwrap_or(1), bytes)
}

/// The values of an array of `size` bytes, its description, and the checksum of all of it.
fn values(from: impl Read, size: u64) -> Result<(Vec<u8>, Header, u32), Problem> {
    let mut from = CrcReader::new(from);
    let header = Header::read(&mut from)?;
    let mut bytes = vec![0; header.bytes_of(size.saturating_sub(header.start))?];
    from.read_exact(&mut bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => {
            Problem { what: "it is cut off within its values".to_owned(), ..Problem::cut(0, 0) }
        }
        _ => Problem { what: format!("its compressed bytes are damaged: {error}"), ..Problem::cut(0, 0) },
    })?;
    std::io::copy(&mut from, &mut std::io::sink())?;
    let sum = from.crc().sum();
    Ok((bytes, header, sum))
}

/// An error of the archive around the arrays, whose directory is at its end.
fn of_archive(error: ZipError) -> Problem {
    let what = match error {
        ZipError::Io(error) if error.kind() != ErrorKind::UnexpectedEof => format!("it cannot be read: {error}"),
        _ => "it is cut off or damaged: the archive's list of its arrays, at its end, is not there".to_owned(),
    };
    Problem { what, help: "copy or download it again" }
}
