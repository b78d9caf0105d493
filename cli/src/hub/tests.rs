use std::net::TcpListener;

use super::local::{CONTENT, Fault, LocalHub, REVISION, SHA256, proxied};
use super::*;

const FILE: File = File { name: "plain/a.bin", place: "set/plain/b.bin", sha256: SHA256, megabytes: 0.1 };

const PUBLISHED: Published =
    Published { kind: Kind::Dataset, repo: "org/set", revision: REVISION, license: "MIT", files: &[FILE] };

/// A data directory, and downloads into it.
struct Lab(tempfile::TempDir);

impl Lab {
    /// `None` where a proxy stands before every hub.
    fn new() -> Option<Self> {
        (!proxied()).then(|| Self(tempfile::tempdir().unwrap()))
    }

    fn fetch(&self, hub: &Hub) -> Result<()> {
        hub.download(&PUBLISHED, &FILE, self.0.path())
    }

    /// The message of a download that fails for a reason outside of the program.
    #[track_caller]
    fn failure(&self, hub: &Hub) -> String {
        let error = self.fetch(hub).unwrap_err();
        assert!(error.is::<hashlab_app::BadInput>(), "{error:?}");
        assert!(!self.place().exists());
        error.to_string()
    }

    fn place(&self) -> PathBuf {
        self.0.path().join(FILE.place)
    }

    fn unfinished(&self) -> PathBuf {
        self.0.path().join(UNFINISHED)
    }
}

#[track_caller]
fn assert_tells(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "`{part}` in {message}");
    }
}

/// What every message says that has no better help.
const OTHER_MEANS: [&str; 5] = [
    "cannot fetch plain/a.bin of org/set: ",
    "HTTPS_PROXY",
    "HF_ENDPOINT",
    "https://huggingface.co/datasets/org/set/resolve/0123456789abcdef0123456789abcdef01234567/plain/a.bin",
    "set/plain/b.bin",
];

#[test]
fn a_file_lands_whole_in_its_place_and_nothing_else_remains() {
    let Some(lab) = Lab::new() else { return };
    let local = LocalHub::start(Fault::None);
    lab.fetch(&Hub::at(&format!("{}/", local.endpoint))).unwrap();
    assert_eq!(fs::read(lab.place()).unwrap(), CONTENT);
    assert!(fs::symlink_metadata(lab.place()).unwrap().is_file());
    assert!(!lab.unfinished().exists());
    assert_eq!(local.requests()[0], format!("/datasets/org/set/resolve/{REVISION}/plain/a.bin bytes=0-0"));
}

#[test]
fn a_transfer_that_broke_off_goes_on_where_it_stopped() {
    let Some(lab) = Lab::new() else { return };
    let local = LocalHub::start(Fault::BreaksOffAfter(60_000));
    let message = lab.failure(&local.hub());
    assert_tells(&message, &["plain/a.bin", "broke off", "run the same command again"]);
    lab.fetch(&local.hub()).unwrap();
    assert_eq!(fs::read(lab.place()).unwrap(), CONTENT);
    assert_eq!(local.requests().last().unwrap(), "/store bytes=60000-");
}

#[test]
fn a_file_that_is_gone_is_told_with_other_means() {
    let Some(lab) = Lab::new() else { return };
    let message = lab.failure(&LocalHub::start(Fault::Status("404 Not Found")).hub());
    assert_tells(&message, &OTHER_MEANS);
    assert_tells(&message, &["status code 404"]);
    assert!(!lab.unfinished().exists(), "nothing was begun");
}

#[test]
fn an_unreachable_hub_is_told_with_other_means() {
    let Some(lab) = Lab::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let message = lab.failure(&Hub::at(&endpoint));
    assert_tells(&message, &OTHER_MEANS);
    assert_tells(&message, &[&endpoint, "refused"]);
}

#[test]
fn an_endpoint_that_is_no_hub_is_told() {
    let Some(lab) = Lab::new() else { return };
    let message = lab.failure(&LocalHub::start(Fault::Status("200 OK")).hub());
    assert_tells(&message, &OTHER_MEANS);
    assert_tells(&message, &["unexpected answer"]);
    assert_tells(&lab.failure(&Hub::at("no address")), &OTHER_MEANS);
}

#[test]
fn another_content_is_refused_and_removed() {
    let Some(lab) = Lab::new() else { return };
    let message = lab.failure(&LocalHub::start(Fault::OtherContent).hub());
    assert_tells(&message, &OTHER_MEANS);
    assert_tells(&message, &["SHA-256", SHA256]);
    assert!(!lab.unfinished().exists());
    lab.fetch(&LocalHub::start(Fault::None).hub()).unwrap();
}

#[test]
fn an_unfinished_download_that_does_not_fit_is_removed() {
    let Some(lab) = Lab::new() else { return };
    let local = LocalHub::start(Fault::BreaksOffAfter(10));
    lab.failure(&local.hub());
    let blobs = lab.unfinished().join(&SHA256[..16]).join("datasets--org--set/blobs");
    let part = blobs.join(format!("{SHA256}.part"));
    assert_eq!(fs::read(&part).unwrap().len(), 10);
    for size in [CONTENT.len(), CONTENT.len() + 1] {
        fs::create_dir_all(&blobs).unwrap();
        fs::write(&part, vec![b'x'; size]).unwrap();
        assert_tells(&lab.failure(&local.hub()), &["is removed", "run the same command again"]);
    }
    lab.fetch(&local.hub()).unwrap();
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Hub::at("http://127.0.0.1:1").download(&PUBLISHED, &FILE, &file).unwrap_err();
    assert_tells(
        &error.to_string(),
        &["file/set/plain/b.bin cannot be written", "help: --data-dir or HASHLAB_DATA names"],
    );
}

#[test]
fn two_downloads_at_once_fetch_the_file_once() {
    let Some(lab) = Lab::new() else { return };
    let local = LocalHub::start(Fault::None);
    std::thread::scope(|scope| {
        let fetches: Vec<_> = (0..4).map(|_| scope.spawn(|| lab.fetch(&local.hub()))).collect();
        fetches.into_iter().for_each(|fetch| fetch.join().unwrap().unwrap());
    });
    assert_eq!(fs::read(lab.place()).unwrap(), CONTENT);
    assert!(!lab.unfinished().exists());
    let transfers = local.requests().iter().filter(|request| *request == "/store bytes=0-").count();
    assert_eq!(transfers, 1, "{:?}", local.requests());
}

/// The data directory may be put together by links, e.g. to a larger disk.
#[test]
fn a_folder_on_another_file_system_receives_the_file() {
    use std::os::unix::fs::MetadataExt as _;
    let Some(lab) = Lab::new() else { return };
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else { return };
    if fs::metadata(elsewhere.path()).unwrap().dev() == fs::metadata(lab.0.path()).unwrap().dev() {
        return; // this machine has one file system for both
    }
    std::os::unix::fs::symlink(elsewhere.path(), lab.0.path().join("set")).unwrap();
    lab.fetch(&LocalHub::start(Fault::None).hub()).unwrap();
    assert_eq!(fs::read(elsewhere.path().join("plain/b.bin")).unwrap(), CONTENT);
    assert_eq!(fs::read_dir(elsewhere.path().join("plain")).unwrap().count(), 1, "nothing else remains");
    assert!(!lab.unfinished().exists());
}
