//! One file on the hub, and its address in experiment files.

use std::path::PathBuf;

use crate::{ENDPOINT, Kind};

/// Scheme of an address.
const SCHEME: &str = "hf://";

/// The file that an address of a repository alone means.
const WEIGHTS: &str = "model.safetensors";

/// One file on the hub.
#[derive(Clone, Debug, PartialEq)]
pub struct Remote {
    /// The kind of the repository.
    pub kind: Kind,
    /// Its name, e.g. `google-bert/bert-base-uncased`.
    pub repo: String,
    /// A commit, a branch, or another name of a revision.
    pub revision: String,
    /// The file's path in the repository.
    pub name: String,
    /// Its path in the data directory.
    pub place: PathBuf,
    /// SHA-256 of its bytes, in hexadecimal, if it is known beforehand.
    pub sha256: Option<String>,
    /// Its size in MB (10⁶ bytes), if it is known beforehand.
    pub megabytes: Option<f64>,
    /// License or terms, if they are known.
    pub license: Option<String>,
}

impl Remote {
    /// Whether a text is meant as an address on the hub.
    pub fn is_address(text: &str) -> bool {
        text.starts_with(SCHEME)
    }

    /// Reads the address of a file of a model, as Hugging Face's libraries write it: `hf://org/name@revision/file`. The
    /// revision is `main` if none is named, the file `model.safetensors`; in a revision, `/` is written `%2F`.
    ///
    /// # Errors
    /// What is wrong with the address, and what one looks like.
    pub fn parse(address: &str) -> Result<Self, String> {
        let wrong = |problem: &str| {
            format!("`{address}` {problem}\nhelp: an address is `hf://org/name@revision/model.safetensors`")
        };
        let rest = address.strip_prefix(SCHEME).ok_or_else(|| wrong("is no address on the hub"))?;
        let mut parts = rest.splitn(3, '/');
        let (org, named) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (name, revision) = named.split_once('@').unwrap_or((named, "main"));
        let file = parts.next().unwrap_or(WEIGHTS);
        let plain = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)) && text != ".."
        };
        if !plain(org) || !plain(name) {
            return Err(wrong("names no repository `org/name`"));
        }
        if revision.is_empty() || !revision.chars().all(|c| c.is_ascii_alphanumeric() || "._-%".contains(c)) {
            return Err(wrong("names no revision"));
        }
        if !file.split('/').all(plain) {
            return Err(wrong("names no file"));
        }
        Ok(Self {
            kind: Kind::Model,
            repo: format!("{org}/{name}"),
            revision: revision.to_owned(),
            name: file.to_owned(),
            place: PathBuf::from(format!("weights/hub/{org}/{named}/{file}")),
            sha256: None,
            megabytes: None,
            license: None,
        })
    }

    /// The address, by which lock files know it.
    pub fn address(&self) -> String {
        format!("{SCHEME}{}@{}/{}", self.kind.path(&self.repo), self.revision, self.name)
    }

    /// The address of the repository's page.
    pub fn page(&self) -> String {
        format!("{ENDPOINT}/{}", self.kind.path(&self.repo))
    }

    /// URL of its bytes on the hub itself.
    pub fn url(&self) -> String {
        self.url_at(ENDPOINT)
    }

    /// URL of its bytes on the hub or a mirror of it.
    pub fn url_at(&self, endpoint: &str) -> String {
        format!("{endpoint}/{}/resolve/{}/{}", self.kind.path(&self.repo), self.revision, self.name)
    }

    /// Another file of the same folder; nothing is known of it beforehand.
    #[must_use]
    pub fn beside(&self, name: &str) -> Self {
        let folder = self.name.rfind('/').map_or("", |slash| &self.name[..=slash]);
        Self {
            name: format!("{folder}{name}"),
            place: self.place.with_file_name(name),
            sha256: None,
            megabytes: None,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_repository_revision_and_file() {
        let remote = Remote::parse("hf://openai/clip-vit-base-patch16@refs%2Fpr%2F17/a/model.safetensors").unwrap();
        assert_eq!(
            remote.url_at("http://mirror"),
            "http://mirror/openai/clip-vit-base-patch16/resolve/refs%2Fpr%2F17/a/model.safetensors"
        );
        assert_eq!(
            remote.place,
            PathBuf::from("weights/hub/openai/clip-vit-base-patch16@refs%2Fpr%2F17/a/model.safetensors")
        );
        assert_eq!(remote.address(), "hf://openai/clip-vit-base-patch16@refs%2Fpr%2F17/a/model.safetensors");
        assert_eq!(remote.beside("tokenizer.json").name, "a/tokenizer.json");
        let short = Remote::parse("hf://timm/resnet101.tv_in1k").unwrap();
        assert_eq!((short.revision.as_str(), short.name.as_str()), ("main", "model.safetensors"));
        assert_eq!(short.beside("vocab.txt").place, PathBuf::from("weights/hub/timm/resnet101.tv_in1k/vocab.txt"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for wrong in [
            "hf://",
            "hf://org",
            "hf://org/",
            "hf://org/../x",
            "hf://org/name@/x",
            "hf://org/name/../../x",
            "hf://o g/n",
        ] {
            let message = Remote::parse(wrong).unwrap_err();
            assert!(message.starts_with(&format!("`{wrong}` names no ")) && message.contains("\nhelp: "), "{message}");
        }
    }
}
