//! Declarations of files on the Hugging Face hub: repository, revision, digest, and path in the data directory.
//!
//! Data sets and encoders declare their files; `hashlab fetch` downloads them.
//!
//! ```
//! use hashlab_hub::{File, Kind, Published};
//!
//! const TEST: File = File { name: "data/test.parquet", place: "digits/test.parquet", sha256: "…", megabytes: 2.5 };
//! let digits = Published { kind: Kind::Dataset, repo: "me/digits", revision: "c0ffee", license: "MIT", files: &[TEST] };
//! assert_eq!(digits.url(&TEST), "https://huggingface.co/datasets/me/digits/resolve/c0ffee/data/test.parquet");
//! ```

/// Address of the hub, unless a mirror is named.
pub const ENDPOINT: &str = "https://huggingface.co";

/// The kind of a repository on the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Data.
    Dataset,
    /// Weights.
    Model,
}

/// Files of one repository, at one revision.
#[derive(Clone, Copy, Debug)]
pub struct Published {
    /// The kind of the repository.
    pub kind: Kind,
    /// Its name, e.g. `uoft-cs/cifar10`.
    pub repo: &'static str,
    /// The full commit, so that the same files are fetched at any time.
    pub revision: &'static str,
    /// License or terms of the files.
    pub license: &'static str,
    /// The files that are needed.
    pub files: &'static [File],
}

/// One file.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Its path in the repository.
    pub name: &'static str,
    /// Its path in the data directory.
    pub place: &'static str,
    /// SHA-256 of its bytes, in hexadecimal; the hub shows it on the file's page.
    pub sha256: &'static str,
    /// Its size in MB (10⁶ bytes), for people.
    pub megabytes: f64,
}

impl Published {
    /// The address of the repository's page.
    pub fn page(&self) -> String {
        format!("{ENDPOINT}/{}", self.path())
    }

    /// The address of a file's bytes.
    pub fn url(&self, file: &File) -> String {
        format!("{ENDPOINT}/{}/resolve/{}/{}", self.path(), self.revision, file.name)
    }

    /// The size of all files in MB (10⁶ bytes).
    pub fn megabytes(&self) -> f64 {
        self.files.iter().map(|file| file.megabytes).sum()
    }

    fn path(&self) -> String {
        match self.kind {
            Kind::Dataset => format!("datasets/{}", self.repo),
            Kind::Model => self.repo.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_hub() {
        const FILE: File = File { name: "a/b.parquet", place: "x/b.parquet", sha256: "", megabytes: 1.5 };
        let files = &[FILE, FILE];
        let data = Published { kind: Kind::Dataset, repo: "o/n", revision: "abc", license: "MIT", files };
        assert_eq!(data.page(), "https://huggingface.co/datasets/o/n");
        assert_eq!(data.url(&FILE), "https://huggingface.co/datasets/o/n/resolve/abc/a/b.parquet");
        assert_eq!(data.megabytes(), 3.0);
        let model = Published { kind: Kind::Model, ..data };
        assert_eq!(model.url(&FILE), "https://huggingface.co/o/n/resolve/abc/a/b.parquet");
    }
}
