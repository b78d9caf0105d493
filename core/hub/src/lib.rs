//! Declarations of files on the Hugging Face hub: repository, revision, digest, and path in the data directory.
//!
//! Data sets and encoders declare their files as [`Published`]; an experiment may name others by an address
//! (`hf://org/name@revision/file`). A [`Remote`] is one file of either kind; `hashlab fetch` downloads it.
//!
//! ```
//! use hashlab_hub::{File, Kind, Published};
//!
//! const TEST: File = File { name: "data/test.parquet", place: "digits/test.parquet", sha256: None, megabytes: 2.5 };
//! let digits = Published { kind: Kind::Dataset, repo: "me/digits", revision: "c0ffee", license: "MIT", files: &[TEST] };
//! let test = digits.remotes().next().unwrap();
//! assert_eq!(test.url(), "https://huggingface.co/datasets/me/digits/resolve/c0ffee/data/test.parquet");
//! assert_eq!(test.address(), "hf://datasets/me/digits@c0ffee/data/test.parquet");
//! ```

mod remote;

pub use remote::Remote;

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
    /// The full commit, so that the same files are fetched at any time; a branch where none was verified.
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
    /// SHA-256 of its bytes, in hexadecimal, as public sources state it; `None` where none does. Then the first fetch
    /// records it beside the experiment.
    pub sha256: Option<&'static str>,
    /// Its size in MB (10⁶ bytes), for people.
    pub megabytes: f64,
}

impl Published {
    /// The address of the repository's page.
    pub fn page(&self) -> String {
        format!("{ENDPOINT}/{}", self.kind.path(self.repo))
    }

    /// The files, in order.
    pub fn remotes(&self) -> impl Iterator<Item = Remote> {
        self.files.iter().map(|file| Remote {
            kind: self.kind,
            repo: self.repo.to_owned(),
            revision: self.revision.to_owned(),
            name: file.name.to_owned(),
            place: file.place.into(),
            sha256: file.sha256.map(str::to_owned),
            megabytes: Some(file.megabytes),
            license: Some(self.license.to_owned()),
        })
    }

    /// The size of all files in MB (10⁶ bytes).
    pub fn megabytes(&self) -> f64 {
        self.files.iter().map(|file| file.megabytes).sum()
    }
}

impl Kind {
    /// The path of a repository on the hub.
    fn path(self, repo: &str) -> String {
        match self {
            Self::Dataset => format!("datasets/{repo}"),
            Self::Model => repo.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_the_hub() {
        const FILE: File = File { name: "a/b.parquet", place: "x/b.parquet", sha256: None, megabytes: 1.5 };
        let files = &[FILE, FILE];
        let data = Published { kind: Kind::Dataset, repo: "o/n", revision: "abc", license: "MIT", files };
        assert_eq!(data.page(), "https://huggingface.co/datasets/o/n");
        let urls = |published: Published| published.remotes().map(|remote| remote.url()).next().unwrap();
        assert_eq!(urls(data), "https://huggingface.co/datasets/o/n/resolve/abc/a/b.parquet");
        assert_eq!(data.megabytes(), 3.0);
        let model = Published { kind: Kind::Model, ..data };
        assert_eq!(urls(model), "https://huggingface.co/o/n/resolve/abc/a/b.parquet");
    }
}
