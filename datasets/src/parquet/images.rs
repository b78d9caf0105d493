//! Images in parquet files, read in blocks of rows.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ::parquet::basic::{ConvertedType, Type};
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType as _};
use ::parquet::errors::ParquetError;
use hashlab_data::{DataError, Images, Rgb};
use hashlab_image::{Exif, decode, decode_with};
use rayon::prelude::*;

use super::file::ParquetFile;
use crate::own::digests::digest_files;
use crate::own::image_files::undecodable;
use crate::own::places::damaged;
use crate::own::{Examined, Pictures};

/// Bytes of a block: about a page, which has to be decompressed as a whole.
const BLOCK: usize = 1 << 20;
/// Bytes of blocks that are kept.
const KEPT: usize = 256 << 20;

/// The image column of parquet files.
pub(super) struct ParquetImages {
    files: Vec<ParquetFile>,
    column: String,
    groups: Vec<Group>,
    exif: Exif,
    blocks: Mutex<Blocks>,
}

/// A row group.
struct Group {
    file: usize,
    group: usize,
    /// Number of the first item.
    first: usize,
    rows: usize,
    /// Rows of a block.
    block: usize,
    /// The leaf of the column with the bytes, and the level at which they are there.
    leaf: usize,
    defined: i16,
}

/// The encoded images of a block of rows; `None` where there is none.
type Block = Arc<Vec<Option<ByteArray>>>;

/// Blocks that were read last.
#[derive(Default)]
struct Blocks {
    /// By row group and first row: when it was last asked for, and the block.
    kept: BTreeMap<(usize, usize), (u64, Block)>,
    bytes: usize,
    clock: u64,
}

impl Blocks {
    fn get(&mut self, key: (usize, usize)) -> Option<Block> {
        self.clock += 1;
        let (used, block) = self.kept.get_mut(&key)?;
        *used = self.clock;
        Some(block.clone())
    }

    fn insert(&mut self, key: (usize, usize), block: Block) {
        self.clock += 1;
        self.bytes += size(&block);
        if let Some((_, before)) = self.kept.insert(key, (self.clock, block)) {
            self.bytes -= size(&before); // another thread read the same
        }
        while self.bytes > KEPT && self.kept.len() > 1 {
            let oldest = self.kept.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key);
            let gone = oldest.and_then(|key| self.kept.remove(&key));
            self.bytes -= gone.map_or(0, |(_, block)| size(&block));
        }
    }
}

fn size(block: &Block) -> usize {
    block.iter().flatten().map(ByteArray::len).sum()
}

impl ParquetImages {
    /// Finds the column in every file.
    ///
    /// # Errors
    /// If a file lacks it, or it holds no bytes.
    pub(super) fn new(files: Vec<ParquetFile>, column: &str, exif: Exif) -> Result<Self, DataError> {
        let (mut groups, mut first) = (Vec::new(), 0);
        for (at, file) in files.iter().enumerate() {
            let leaf = file.leaves(column).into_iter().find(|(_, leaf)| {
                let place = leaf.path().parts();
                let bytes = place.len() == 1 || place.len() == 2 && place[1] == "bytes";
                let text = leaf.converted_type() == ConvertedType::UTF8;
                bytes && !text && leaf.physical_type() == Type::BYTE_ARRAY && leaf.max_rep_level() == 0
            });
            let (leaf, descriptor) = leaf.ok_or_else(|| file.no_column(column, "image bytes, nor {bytes, path}"))?;
            for group in 0..file.groups() {
                let rows = file.rows(group);
                let per_row = file.bytes(group, leaf) / rows.max(1);
                let block = (BLOCK / per_row.max(1)).clamp(1, rows.max(1));
                groups.push(Group { file: at, group, first, rows, block, leaf, defined: descriptor.max_def_level() });
                first += rows;
            }
        }
        Ok(Self { files, column: column.to_owned(), groups, exif, blocks: Mutex::default() })
    }

    /// The row group of an item, and the row in it.
    fn locate(&self, index: usize) -> (usize, usize) {
        let group = self.groups.partition_point(|group| group.first + group.rows <= index);
        (group, index - self.groups[group].first)
    }

    /// The block that an item is in, and the item's place there.
    fn block(&self, index: usize) -> Result<(Block, usize), DataError> {
        let (group, row) = self.locate(index);
        let size = self.groups[group].block;
        let (start, place) = (row / size * size, row % size);
        let kept = self.blocks.lock().unwrap_or_else(PoisonError::into_inner).get((group, start));
        let block = match kept {
            Some(block) => block,
            None => {
                let block = Arc::new(self.read(&self.groups[group], start)?);
                self.blocks.lock().unwrap_or_else(PoisonError::into_inner).insert((group, start), block.clone());
                block
            }
        };
        Ok((block, place))
    }

    /// Reads the block that begins with row `start` of a row group.
    fn read(&self, group: &Group, start: usize) -> Result<Vec<Option<ByteArray>>, DataError> {
        let file = &self.files[group.file];
        let rows = group.block.min(group.rows - start);
        let block = file.with_group(group.group, |reader| {
            let mut column =
                ByteArrayType::get_column_reader(reader.get_column_reader(group.leaf)?).ok_or_else(|| {
                    ParquetError::General("the column's type differs between schema and row group".into())
                })?;
            column.skip_records(start)?;
            let (mut levels, mut values) = (Vec::new(), Vec::with_capacity(rows));
            let mut read = 0;
            while read < rows {
                let (records, _, _) = column.read_records(rows - read, Some(&mut levels), None, &mut values)?;
                if records == 0 {
                    break;
                }
                read += records;
            }
            let mut values = values.into_iter();
            let cell = |row: usize| match levels.get(row) {
                Some(level) if *level < group.defined => None,
                _ => values.next(),
            };
            // A copy each, so that a kept image does not keep its page.
            let own = |bytes: Option<ByteArray>| bytes.map(|bytes| ByteArray::from(bytes.data().to_vec()));
            Ok((0..read).map(cell).map(own).collect::<Vec<_>>())
        })?;
        if block.len() != rows {
            let problem =
                format!("row group {} ends after {} of {} rows", group.group, start + block.len(), group.rows);
            return Err(damaged(file.path(), problem, "the file is cut short or damaged: fetch it again"));
        }
        Ok(block)
    }

    /// Calls `work` with the bytes of an image.
    fn with_bytes<T>(&self, index: usize, work: impl FnOnce(&[u8]) -> Result<T, DataError>) -> Result<T, DataError> {
        let (block, place) = self.block(index)?;
        match &block[place] {
            Some(bytes) => work(bytes.data()),
            None => Err(undecodable(Path::new(&self.name(index)), "there is no image")),
        }
    }
}

impl Images for ParquetImages {
    fn image(&self, index: usize) -> Result<Rgb, DataError> {
        self.with_bytes(index, |bytes| {
            decode_with(bytes, self.exif).map_err(|error| undecodable(Path::new(&self.name(index)), &error.to_string()))
        })
    }

    fn encoded(&self, index: usize) -> Result<Option<Vec<u8>>, DataError> {
        self.with_bytes(index, |bytes| Ok(Some(bytes.to_vec())))
    }
}

impl Pictures for ParquetImages {
    fn examine(&mut self, decode_all: bool, notes: Option<&Path>) -> Result<Examined, DataError> {
        let known = digest_files(self.files.len(), |at| self.files[at].path().to_owned(), false, notes)?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.column.as_bytes());
        known.iter().for_each(|known| {
            hasher.update(&known.digest);
        });
        let digest = *hasher.finalize().as_bytes();
        let undecodable = match decode_all {
            false => Vec::new(),
            true => self.undecodable(&digest, notes)?,
        };
        Ok(Examined { digest, missing: Vec::new(), undecodable })
    }

    fn name(&self, index: usize) -> String {
        let (group, row) = self.locate(index);
        let file = &self.files[self.groups[group].file];
        format!("{}, row {}", file.path().display(), file.first_row(self.groups[group].group) + row)
    }
}

impl ParquetImages {
    /// The items whose image cannot be decoded, as noted of files with this digest or found by decoding all.
    fn undecodable(&self, digest: &[u8; 32], notes: Option<&Path>) -> Result<Vec<u32>, DataError> {
        let note = notes.map(|dir| dir.join(format!("rows-{}", &blake3::Hash::from(*digest).to_hex()[..24])));
        let noted = note.as_ref().and_then(|note| std::fs::read(note).ok());
        if let Some(found) = noted.and_then(|bytes| serde_json::from_slice::<Vec<u32>>(&bytes).ok()) {
            return Ok(found);
        }
        let items = self.groups.iter().map(|group| group.rows).sum::<usize>() as u32;
        let bad = |item: u32| -> Result<Option<u32>, DataError> {
            let (block, place) = self.block(item as usize)?;
            let good = block[place].as_ref().is_some_and(|bytes| decode(bytes.data()).is_ok());
            Ok((!good).then_some(item))
        };
        let found = (0..items).into_par_iter().map(bad).collect::<Result<Vec<_>, DataError>>()?;
        let found: Vec<u32> = found.into_iter().flatten().collect();
        if let Some(note) = note {
            let written = std::fs::create_dir_all(note.parent().unwrap_or(Path::new(".")))
                .and_then(|()| std::fs::write(&note, serde_json::to_vec(&found).unwrap_or_default()));
            if let Err(error) = written {
                tracing::debug!("cannot note rows in {}: {error}", note.display());
            }
        }
        Ok(found)
    }
}
