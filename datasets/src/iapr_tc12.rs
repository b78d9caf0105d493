//! IAPR TC-12: photos of travels with descriptions, as features.
//!
//! Grubinger et al. (2006). The file is that of cross-modal papers (DCMH, UCCH and their descendants), `iapr-tc12-rand.mat`:
//! 4,096 numbers of an image network and 2,912 of a bag of words per item, already divided into 18,000 database items
//! (`VDatabase`, `YDatabase`, `databaseL`) and 2,000 queries (`VTest`, `YTest`, `testL`).

use std::path::{Path, PathBuf};

use hashlab_data::{
    ByModality, DataDirs, DataError, DataKind, Dataset, DatasetInfo, DatasetSource, DatasetSummary, ItemData, Labels,
    Modality, Protocol, Roles, Split, StoredFeatures,
};
use hashlab_rng::stream;
use hashlab_settings::NoParams;

use crate::own::mat::{Array, read_several};
use crate::own::places::damaged;
use crate::own::public::{count, folder};

const NAME: &str = "iapr_tc12";
const FILE: &str = "iapr-tc12-rand.mat";
const HELP: &str = "put iapr-tc12-rand.mat, which the repositories of DCMH's and UCCH's authors link, into the folder `iapr_tc12` of \
                    a data directory";

/// Database items and queries.
const SIZES: [usize; 2] = [18_000, 2_000];

/// Protocols by name, line and number of training items; all are of the database.
const PROTOCOLS: [(&str, &str, Option<usize>); 2] = [
    ("all", "the file's 2,000 queries, train and database its other 18,000", None),
    (
        "unsupervised",
        "the file's 2,000 queries, 5,000 train drawn by split_seed from its other 18,000, the database",
        Some(5_000),
    ),
];

/// IAPR TC-12.
pub struct IaprTc12 {
    info: DatasetInfo,
    labels: Labels,
    image: Rows,
    text: Rows,
    path: PathBuf,
    /// Number of the first query.
    queries: usize,
}

impl DatasetSource for IaprTc12 {
    const SUMMARY: DatasetSummary = DatasetSummary {
        name: NAME,
        title: "IAPR TC-12",
        description: "features of 20,000 photos of travels (4,096) and of their descriptions (2,912), 255 labels",
        source: "iapr-tc12-rand.mat of cross-modal papers; photos: https://www.imageclef.org/photodata",
        license: "photos and descriptions: free of charge and without copyright restrictions, as ImageCLEF states",
        citation: "M. Grubinger, P. Clough, H. Müller, T. Deselaers: The IAPR TC-12 benchmark: a new evaluation resource for visual information systems. 2006",
    };
    type Settings = NoParams;

    fn open(_: &NoParams, dirs: &DataDirs) -> Result<Box<dyn Dataset>, DataError> {
        Ok(Box::new(load(dirs, SIZES)?))
    }
}

/// Variables of the file: images, texts and labels of database and queries.
const VARIABLES: [&str; 6] = ["VDatabase", "VTest", "YDatabase", "YTest", "databaseL", "testL"];

/// Opens a file of so many database items and queries.
fn load(dirs: &DataDirs, sizes: [usize; 2]) -> Result<IaprTc12, DataError> {
    let path = folder(NAME, &[], FILE, dirs, HELP)?.join(FILE);
    let [image, image_test, text, text_test, hot, hot_test] = read_several(&path, VARIABLES)?;
    let rows = |names: [&str; 2], database: Array, queries: Array| -> Result<Rows, DataError> {
        let mut database = Rows::of(&path, names[0], database)?;
        let queries = Rows::of(&path, names[1], queries)?;
        for (name, (expected, part)) in names.iter().zip(sizes.iter().zip([&database, &queries])) {
            count(&path, &format!("rows of `{name}`"), *expected, part.values.len() / part.dim.max(1), HELP)?;
        }
        count(&path, &format!("columns of `{}`", names[1]), database.dim, queries.dim, HELP)?;
        database.values.extend(queries.values);
        Ok(database)
    };
    let image = rows(["VDatabase", "VTest"], image, image_test)?;
    let text = rows(["YDatabase", "YTest"], text, text_test)?;
    let hot = rows(["databaseL", "testL"], hot, hot_test)?;
    let classes = hot.dim;
    if let Some(other) = hot.values.iter().find(|value| **value != 0.0 && **value != 1.0) {
        return Err(damaged(&path, format!("labels of 0 or 1 are expected, got {other}"), HELP));
    }
    let of_item = |row: &[f32]| (0..classes).filter(|class| row[*class] == 1.0).collect::<Vec<_>>();
    let labels = Labels::multi(classes, hot.values.chunks_exact(classes.max(1)).map(of_item));
    let mut hasher = blake3::Hasher::new();
    for rows in [&image, &text, &hot] {
        hasher.update(&(rows.dim as u64).to_le_bytes()).update(bytemuck::cast_slice(&rows.values));
    }
    let mut modalities = ByModality::one(Modality::Image, DataKind::Features);
    modalities.insert(Modality::Text, DataKind::Features);
    let info = DatasetInfo {
        identity: hasher.finalize().to_hex().to_string(),
        modalities,
        classes: (0..classes).map(|class| class.to_string()).collect(),
        protocols: PROTOCOLS.iter().map(|(name, about, _)| Protocol::new(name, about, None)).collect(),
    };
    Ok(IaprTc12 { info, labels, image, text, path, queries: sizes[0] })
}

impl Dataset for IaprTc12 {
    fn info(&self) -> &DatasetInfo {
        &self.info
    }

    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn data(&self, modality: Modality) -> Option<ItemData<'_>> {
        match modality {
            Modality::Image => Some(ItemData::Features(&self.image)),
            Modality::Text => Some(ItemData::Features(&self.text)),
            _ => None,
        }
    }

    fn digest(&self) -> Result<&str, DataError> {
        Ok(&self.info.identity)
    }

    fn split(&self, protocol: &str, split_seed: u64) -> Result<Split, DataError> {
        self.info.protocol(protocol)?;
        let trained = PROTOCOLS.iter().find(|(name, ..)| *name == protocol).and_then(|(.., trained)| *trained);
        let database: Vec<u32> = (0..self.queries as u32).collect();
        let train = match trained {
            None => database.clone(),
            Some(trained) => {
                let mut order = stream(split_seed, "split/train", &[]).permutation(self.queries);
                order.truncate(trained);
                order
            }
        };
        let query = (self.queries as u32..self.labels.len() as u32).collect();
        let labelled = |item: u32| self.labels.item(item as usize).iter().any(|word| *word != 0);
        Roles { train, validation_query: None, query, database }.into_split_among(
            self.labels.len(),
            split_seed,
            labelled,
        )
    }

    fn found_at(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }
}

/// A matrix by rows.
struct Rows {
    dim: usize,
    values: Vec<f32>,
}

impl Rows {
    /// Transposes a variable, whose numbers lie by columns.
    fn of(path: &Path, name: &str, variable: Array) -> Result<Self, DataError> {
        let Array::Numbers([rows, dim], numbers) = variable else {
            return Err(damaged(path, format!("`{name}` holds no numbers"), HELP));
        };
        let mut values = vec![0.0; numbers.len()];
        for (column, numbers) in numbers.chunks_exact(rows.max(1)).enumerate() {
            for (row, number) in numbers.iter().enumerate() {
                values[row * dim + column] = *number;
            }
        }
        Ok(Self { dim, values })
    }
}

impl StoredFeatures for Rows {
    fn dim(&self) -> usize {
        self.dim
    }

    fn read(&self, items: &[u32], _: usize, out: &mut [f32]) -> Result<(), DataError> {
        for (&item, row) in items.iter().zip(out.chunks_exact_mut(self.dim)) {
            row.copy_from_slice(&self.values[item as usize * self.dim..][..self.dim]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 12 database items and 6 queries, written by fixtures/mat.py: image (i, j) is 10 i + j, text 100 i + j.
    #[test]
    fn rows_of_both_parts_follow_each_other() {
        let dirs = DataDirs::of(vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mat")]);
        let set = load(&dirs, [12, 6]).unwrap();
        assert_eq!((set.len(), set.info.classes.len(), set.image.dim, set.text.dim), (18, 3, 4, 5));
        let mut row = [0.0; 4];
        set.image.read(&[13], 0, &mut row).unwrap();
        assert_eq!(row, [130.0, 131.0, 132.0, 133.0]);
        assert_eq!(set.labels.classes_of(13), [1]);
        let split = set.split("all", 0).unwrap();
        assert_eq!(split.query.iter().copied().min(), Some(12));
        let refused = load(&dirs, SIZES).map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains("expected 18000 rows of `VDatabase`, got 12"), "{refused}");
    }

    #[test]
    fn changed_files_are_answered() {
        let root = tempfile::tempdir().unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/mat/iapr_tc12");
        std::fs::copy(fixture.join(FILE), root.path().join(FILE)).unwrap();
        let dirs = DataDirs::of(vec![root.path().to_owned()]);
        crate::own::mutations::are_answered(root.path(), 2_000, || load(&dirs, [12, 6]));
    }
}
