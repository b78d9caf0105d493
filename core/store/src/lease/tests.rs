//! Leases of processes under this kernel and, by files that say so, under others.

use std::process::Command;
use std::sync::Barrier;

use super::*;

const SHORT: Duration = Duration::from_millis(400);

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        path_of(&self.0.path().join(".lock"))
    }

    /// Writes the lease of a process on another machine.
    fn foreign(&self, limit: Duration) -> Holder {
        let holder = Holder { host: "elsewhere".into(), kernel: Some("another".into()), ..Holder::new(limit).unwrap() };
        fs::write(self.path(), serde_json::to_string(&holder).unwrap() + "\n").unwrap();
        holder
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn take(path: &Path) -> Option<Lease> {
    Lease::take(path, SHORT).unwrap()
}

#[test]
fn one_of_many_contenders_gets_a_lease() {
    let place = Place::new();
    let (path, start) = (place.path(), Barrier::new(8));
    for _ in 0..20 {
        let taken = thread::scope(|scope| {
            let contend = || {
                start.wait();
                take(&path)
            };
            let contenders: Vec<_> = (0..8).map(|_| scope.spawn(contend)).collect();
            let taken: Vec<Lease> = contenders.into_iter().filter_map(|one| one.join().unwrap()).collect();
            taken
        });
        assert_eq!(taken.len(), 1);
        assert!(taken[0].is_mine() && is_held(&path));
        drop(taken);
        assert!(!is_held(&path));
        assert_eq!(place.names(), Vec::<String>::new(), "nothing is left");
    }
}

#[test]
fn a_dead_process_of_this_machine_holds_nothing() {
    let place = Place::new();
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let started = started(child.id()).unwrap();
    let holder = Holder { pid: child.id(), started, ..Holder::new(Duration::from_secs(3600)).unwrap() };
    fs::write(place.path(), serde_json::to_string(&holder).unwrap() + "\n").unwrap();
    assert!(is_held(&place.path()) && take(&place.path()).is_none(), "it lives, whether or not it beats");
    child.kill().unwrap();
    while !matches!(look(&place.path()).unwrap(), Look::Lost(_)) {
        thread::sleep(POLL); // until the kernel has ended it, before its parent asks for it
    }
    child.wait().unwrap();
    assert!(!is_held(&place.path()));
    assert!(take(&place.path()).is_some(), "at once");
    // Its number may come again, for another process.
    let other = Holder { pid: std::process::id(), started: started + 1, ..Holder::new(SHORT).unwrap() };
    assert_eq!(other.lives(), Some(false));
}

/// Whatever the clocks of both machines say: the lease is dated into the past and the future.
#[test]
fn a_lease_without_beats_is_taken_over_after_its_own_limit() {
    for date in ["1970-01-02", "2100-01-01"] {
        let place = Place::new();
        place.foreign(SHORT);
        assert!(Command::new("touch").args(["-d", date]).arg(place.path()).status().unwrap().success());
        assert!(is_held(&place.path()), "as far as one look tells");
        let began = Instant::now();
        let lease = Lease::take(&place.path(), Duration::from_secs(60)).unwrap().expect("nobody beats");
        assert!(began.elapsed() > SHORT && began.elapsed() < 20 * SHORT, "{:?}", began.elapsed());
        assert!(lease.is_mine());
        assert_eq!(place.names().len(), 1);
    }
}

#[test]
fn a_lease_that_beats_is_not_taken_over() {
    let place = Place::new();
    let holder = place.foreign(SHORT);
    let (path, stop) = (place.path(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert!(beat(&path, &holder.token).unwrap());
                thread::sleep(SHORT / BEATS);
            }
        });
        let began = Instant::now();
        while began.elapsed() < 4 * SHORT {
            assert!(take(&path).is_none());
            assert!(is_held(&path));
        }
        stop.store(true, Ordering::Relaxed);
    });
    // A beat after the last look shows it alive once more.
    assert!(take(&path).or_else(|| take(&path)).is_some(), "then it is");
}

#[test]
fn a_holder_beats_and_notices_a_loss() {
    let place = Place::new();
    let lease = take(&place.path()).unwrap();
    let first = fs::read_to_string(place.path()).unwrap();
    thread::sleep(SHORT);
    assert!(fs::read_to_string(place.path()).unwrap().len() > first.len(), "it beats");
    let other = place.foreign(SHORT);
    let flag = lease.lost();
    while !flag.load(Ordering::Relaxed) {
        thread::sleep(POLL); // the next beat finds out
    }
    assert!(!lease.is_mine());
    drop(lease);
    assert!(is_of(&fs::read_to_string(place.path()).unwrap(), &other.token), "the other's lease stays");
}

/// A process that judged a lease, and was overtaken by another one before it renamed the file.
#[test]
fn a_newer_lease_is_put_back() {
    let place = Place::new();
    place.foreign(SHORT);
    let judged = fs::read_to_string(place.path()).unwrap();
    fs::remove_file(place.path()).unwrap();
    let lease = take(&place.path()).unwrap();
    remove_lost(&place.path(), &judged).unwrap();
    assert!(lease.is_mine());
    assert_eq!(place.names().len(), 1);
    remove_lost(&place.path(), &fs::read_to_string(place.path()).unwrap()).unwrap();
    remove_lost(&place.path(), "").unwrap(); // it is gone
    assert!(!lease.is_mine());
}

#[test]
fn a_file_that_nobody_finished_writing_is_waited_for() {
    let place = Place::new();
    fs::write(place.path(), "{\"token\"").unwrap();
    assert_eq!((look(&place.path()).unwrap(), look(&place.path()).unwrap()), (Look::Unknown, Look::Unknown));
    let holder = place.foreign(SHORT);
    assert_eq!(look(&place.path()).unwrap(), Look::Living, "it was");
    assert_eq!(Holder::parse(&fs::read_to_string(place.path()).unwrap()), Some(holder));
}
