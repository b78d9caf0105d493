//! Cache, environment variables and token of Hugging Face's own programs.

use std::fs;
#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;

use hashlab_hub::{Kind, Remote};
use hf_hub::{Repo, RepoType};

/// Hugging Face's cache: `models--org--name/snapshots/COMMIT/FILE`, which are links to `blobs/DIGEST`.
pub(super) struct Cache(hf_hub::Cache);

impl Cache {
    /// The folder of `HF_HUB_CACHE`, else `hub` in that of `HF_HOME`, else `~/.cache/huggingface/hub`.
    pub(super) fn from_env() -> Self {
        Self(variable("HF_HUB_CACHE").map_or_else(of_hub, |folder| hf_hub::Cache::new(folder.into())))
    }

    #[cfg(test)]
    pub(super) fn at(folder: &Path) -> Self {
        Self(hf_hub::Cache::new(folder.to_owned()))
    }

    /// The file, if it is there: by its digest, or at its revision.
    pub(super) fn find(&self, remote: &Remote) -> Option<PathBuf> {
        let kind = match remote.kind {
            Kind::Dataset => RepoType::Dataset,
            Kind::Model => RepoType::Model,
        };
        let repo = self.0.path().join(Repo::new(remote.repo.clone(), kind).folder_name());
        let blob = remote.sha256.as_ref().map(|digest| repo.join("blobs").join(digest));
        let named = fs::read_to_string(repo.join("refs").join(remote.revision.replace("%2F", "/")));
        let commit = named.map_or_else(|_| remote.revision.clone(), |commit| commit.trim().to_owned());
        let snapshot = repo.join("snapshots").join(commit).join(&remote.name);
        blob.into_iter().chain([snapshot]).find(|path| path.is_file())
    }
}

/// The cache of Hugging Face's programs. An empty `HF_HOME` counts as unset.
fn of_hub() -> hf_hub::Cache {
    if variable("HF_HOME").is_some() { hf_hub::Cache::from_env() } else { hf_hub::Cache::default() }
}

/// The token that a user has for the hub.
pub(super) fn token() -> Option<String> {
    let stored = || match variable("HF_TOKEN_PATH") {
        Some(path) => fs::read_to_string(path).ok(),
        None => of_hub().token(),
    };
    let token = variable("HF_TOKEN").or_else(stored)?;
    let token = token.trim();
    (!token.is_empty() && token.chars().all(|c| c.is_ascii_graphic())).then(|| token.to_owned())
}

/// Whether the user's programs are not to touch the network.
pub(super) fn is_offline() -> bool {
    let set = |name: &str| variable(name).is_some_and(|value| is_on(&value));
    set("HF_HUB_OFFLINE") || set("TRANSFORMERS_OFFLINE")
}

/// Whether Hugging Face's programs take a value for yes.
fn is_on(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str())
}

/// A variable of the environment, unless it is empty.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_digest_or_revision() {
        let folder = tempfile::tempdir().unwrap();
        let mut remote = Remote::parse("hf://org/name@main/a/b.bin").unwrap();
        let cache = Cache::at(folder.path());
        assert_eq!(cache.find(&remote), None);
        let repo = folder.path().join("models--org--name");
        for (path, text) in [("refs/main", "c0ffee\n"), ("snapshots/c0ffee/a/b.bin", "x"), ("blobs/abc", "x")] {
            fs::create_dir_all(repo.join(path).parent().unwrap()).unwrap();
            fs::write(repo.join(path), text).unwrap();
        }
        assert_eq!(cache.find(&remote), Some(repo.join("snapshots/c0ffee/a/b.bin")));
        remote.revision = "c0ffee".into();
        assert_eq!(cache.find(&remote), Some(repo.join("snapshots/c0ffee/a/b.bin")));
        remote.sha256 = Some("abc".into());
        assert_eq!(cache.find(&remote), Some(repo.join("blobs/abc")));
    }

    #[test]
    fn yes_has_the_words_of_hugging_face() {
        assert!(is_on("1") && is_on("TRUE") && is_on("Yes") && !is_on("0") && !is_on("off"));
    }
}
