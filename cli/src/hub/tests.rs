use std::net::TcpListener;

use hashlab_hub::Kind;

use super::local::{CONTENT, Fault, LocalHub, REVISION, SHA256, TOKEN, proxied};
use super::*;

/// A data directory, and downloads into it.
struct Lab(tempfile::TempDir);

fn remote() -> Remote {
    Remote {
        kind: Kind::Dataset,
        repo: "org/set".into(),
        revision: REVISION.into(),
        name: "plain/a.bin".into(),
        place: "set/plain/b.bin".into(),
        sha256: Some(SHA256.into()),
        megabytes: Some(0.1),
        license: Some("MIT".into()),
    }
}

fn hub(local: &LocalHub) -> Hub {
    Hub::at(&local.endpoint)
}

impl Lab {
    /// `None` where a proxy stands before every hub.
    fn new() -> Option<Self> {
        (!proxied()).then(|| Self(tempfile::tempdir().unwrap()))
    }

    fn fetch(&self, hub: &Hub) -> Result<Arrived> {
        hub.bring(&remote(), self.0.path())
    }

    /// The message of a download that fails for a reason outside of the program.
    #[track_caller]
    fn failure(&self, hub: &Hub) -> String {
        let Err(error) = self.fetch(hub) else { panic!("the file arrived") };
        assert!(error.is::<hashlab_app::BadInput>(), "{error:?}");
        assert!(!self.place().exists());
        let message = error.to_string();
        assert!(!message.contains(TOKEN), "{message}");
        message
    }

    /// Asserts that the file is there and nothing else remains.
    #[track_caller]
    fn has_the_file(&self) {
        assert_eq!(fs::read(self.place()).unwrap(), CONTENT);
        assert!(fs::symlink_metadata(self.place()).unwrap().is_file());
        assert!(!self.unfinished().exists());
    }

    fn place(&self) -> PathBuf {
        self.0.path().join(remote().place)
    }

    fn unfinished(&self) -> PathBuf {
        self.0.path().join(UNFINISHED)
    }

    /// What is there of the file.
    fn part(&self) -> PathBuf {
        let folder = fs::read_dir(self.unfinished()).unwrap().next().unwrap().unwrap();
        folder.path().join("part")
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

const PATH: &str = "/datasets/org/set/resolve/0123456789abcdef0123456789abcdef01234567/plain/a.bin";

#[test]
fn a_file_lands_whole_in_its_place_and_nothing_else_remains() {
    let Some(lab) = Lab::new() else { return };
    let local = LocalHub::start(Fault::None);
    let arrived = lab.fetch(&Hub::at(&format!("{}/", local.endpoint))).unwrap();
    assert_eq!((arrived.sha256.as_str(), arrived.commit.as_deref()), (SHA256, Some(REVISION)));
    lab.has_the_file();
    assert_eq!(local.requests(), [format!("hub {PATH} bytes=0-"), format!("store {PATH} bytes=0-")]);
}

#[test]
fn a_small_file_comes_from_the_hub_itself() {
    let Some(lab) = Lab::new() else { return };
    let local = LocalHub::start(Fault::None);
    let small = remote().beside("tokenizer.json");
    let arrived = hub(&local).bring(&small, lab.0.path()).unwrap();
    assert_eq!((arrived.sha256.as_str(), arrived.commit.as_deref()), (SHA256, Some(REVISION)));
    assert_eq!(fs::read(lab.0.path().join("set/plain/tokenizer.json")).unwrap(), CONTENT);
    assert!(local.requests().iter().all(|request| request.starts_with("hub ")), "{:?}", local.requests());
}

#[test]
fn a_repository_of_another_name_is_followed() {
    let Some(lab) = Lab::new() else { return };
    let local = LocalHub::start(Fault::Renamed);
    lab.fetch(&hub(&local)).unwrap();
    lab.has_the_file();
    assert_eq!(local.requests()[1], format!("hub /new{PATH} bytes=0-"));
}

#[test]
fn a_transfer_that_broke_off_goes_on_where_it_stopped() {
    let Some(lab) = Lab::new() else { return };
    let local = LocalHub::start(Fault::BreaksOffAfter(60_000));
    let message = lab.failure(&hub(&local));
    assert_tells(&message, &["plain/a.bin", "broke off", "run the same command again"]);
    lab.fetch(&hub(&local)).unwrap();
    lab.has_the_file();
    assert_eq!(*local.requests().last().unwrap(), format!("store {PATH} bytes=60000-"));
}

#[test]
fn a_file_that_changed_meanwhile_is_begun_anew() {
    let Some(lab) = Lab::new() else { return };
    let local = LocalHub::start(Fault::BreaksOffAfter(60_000));
    lab.failure(&hub(&local));
    // The same path of another hub has other bytes, and another tag.
    let other: Vec<u8> = vec![b'y'; 80_000];
    let changed = LocalHub::with_files(Fault::None, std::sync::Arc::new(move |_| Some(other.clone())));
    let unknown = Remote { sha256: None, ..remote() };
    hub(&changed).bring(&unknown, lab.0.path()).unwrap();
    assert_eq!(fs::read(lab.place()).unwrap(), vec![b'y'; 80_000], "no byte of the first file");
    assert_eq!(changed.requests().last().unwrap(), &format!("store {PATH} bytes=0-"));
}

#[test]
fn a_store_that_ignores_ranges_sends_the_whole() {
    let Some(lab) = Lab::new() else { return };
    lab.failure(&hub(&LocalHub::start(Fault::BreaksOffAfter(60_000))));
    lab.fetch(&hub(&LocalHub::start(Fault::IgnoresRanges))).unwrap();
    lab.has_the_file();
}

#[test]
fn the_hub_alone_sees_the_token() {
    let Some(lab) = Lab::new() else { return };
    for status in ["401 Unauthorized", "403 Forbidden"] {
        let local = LocalHub::start(Fault::Token(status));
        let message = lab.failure(&hub(&local));
        assert_tells(&message, &OTHER_MEANS);
        assert_tells(&message, &[status, "HF_TOKEN", "accept its terms at https://huggingface.co/datasets/org/set"]);
        lab.failure(&hub(&local).with_token("wrong"));
        lab.fetch(&hub(&local).with_token(TOKEN)).unwrap();
        lab.has_the_file();
        let requests = local.requests();
        assert_eq!(requests[2..], [format!("hub {PATH} bytes=0- token"), format!("store {PATH} bytes=0-")]);
        fs::remove_file(lab.place()).unwrap();
    }
}

#[test]
fn a_hub_that_asks_for_patience_is_asked_again() {
    let Some(lab) = Lab::new() else { return };
    let local = LocalHub::start(Fault::AsksToWait("0"));
    lab.fetch(&hub(&local)).unwrap();
    lab.has_the_file();
    assert_eq!(local.requests().len(), 3);
    fs::remove_file(lab.place()).unwrap();
    let message = lab.failure(&hub(&LocalHub::start(Fault::AsksToWait("86400"))));
    assert_tells(&message, &["429 Too Many Requests", "HF_TOKEN"]);
}

#[test]
fn a_file_that_is_gone_is_told_with_other_means() {
    let Some(lab) = Lab::new() else { return };
    let message = lab.failure(&hub(&LocalHub::start(Fault::Status("404 Not Found"))));
    assert_tells(&message, &OTHER_MEANS);
    assert_tells(&message, &["answered 404 Not Found", REVISION]);
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
    let message = lab.failure(&hub(&LocalHub::start(Fault::Status("200 OK"))));
    assert_tells(&message, &OTHER_MEANS);
    assert_tells(&message, &["unexpected answer"]);
    assert_tells(&lab.failure(&Hub::at("no address")), &OTHER_MEANS);
}

#[test]
fn another_content_is_refused_and_removed() {
    let Some(lab) = Lab::new() else { return };
    let message = lab.failure(&hub(&LocalHub::start(Fault::OtherContent)));
    assert_tells(&message, &OTHER_MEANS);
    assert_tells(&message, &["SHA-256", SHA256]);
    assert!(!lab.unfinished().exists());
    lab.fetch(&hub(&LocalHub::start(Fault::None))).unwrap();
}

/// What is there may be as long as the file or longer.
#[test]
fn an_unfinished_download_that_does_not_fit_is_begun_anew() {
    let Some(lab) = Lab::new() else { return };
    for size in [CONTENT.len(), CONTENT.len() + 1] {
        let local = LocalHub::start(Fault::BreaksOffAfter(10));
        lab.failure(&hub(&local));
        assert_eq!(fs::read(lab.part()).unwrap().len(), 10);
        fs::write(lab.part(), vec![b'x'; size]).unwrap();
        lab.fetch(&hub(&local)).unwrap();
        lab.has_the_file();
        fs::remove_file(lab.place()).unwrap();
    }
}

#[test]
fn a_data_directory_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let Err(error) = Hub::at("http://127.0.0.1:1").bring(&remote(), &file) else { panic!("the file arrived") };
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
        let fetches: Vec<_> = (0..4).map(|_| scope.spawn(|| lab.fetch(&hub(&local)))).collect();
        fetches.into_iter().for_each(|fetch| _ = fetch.join().unwrap().unwrap());
    });
    lab.has_the_file();
    let transfers = local.requests().iter().filter(|request| request.starts_with("store ")).count();
    assert_eq!(transfers, 1, "{:?}", local.requests());
}

/// What Hugging Face's own programs have downloaded is not downloaded again; what is damaged there is.
#[test]
fn the_cache_of_hugging_face_is_used() {
    let Some(lab) = Lab::new() else { return };
    let cache = tempfile::tempdir().unwrap();
    let snapshot = cache.path().join("datasets--org--set/snapshots").join(REVISION).join("plain/a.bin");
    fs::create_dir_all(snapshot.parent().unwrap()).unwrap();
    fs::write(&snapshot, CONTENT).unwrap();
    let nowhere = || Hub::at("http://127.0.0.1:1").with_cache(cache.path());
    lab.fetch(&nowhere().offline()).unwrap();
    lab.has_the_file();
    fs::remove_file(lab.place()).unwrap();
    fs::write(&snapshot, b"damaged").unwrap();
    let message = lab.failure(&nowhere().offline());
    assert_tells(&message, &["--offline or HF_HUB_OFFLINE", "set/plain/b.bin"]);
    let local = LocalHub::start(Fault::None);
    lab.fetch(&hub(&local).with_cache(cache.path())).unwrap();
    lab.has_the_file();
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
    lab.fetch(&hub(&LocalHub::start(Fault::None))).unwrap();
    assert_eq!(fs::read(elsewhere.path().join("plain/b.bin")).unwrap(), CONTENT);
    assert_eq!(fs::read_dir(elsewhere.path().join("plain")).unwrap().count(), 1, "nothing else remains");
    assert!(!lab.unfinished().exists());
}
