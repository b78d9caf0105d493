//! Leases: locks by files, for file systems without locks that reach other machines.
//!
//! A holder creates the file so that only one process can, and appends a byte to it, a beat, again and again. Whoever
//! wants the lease reads the file. A holder under the same kernel is looked for among its processes. Another one has lost
//! the lease when no beat came for as long as its file says, by the clock of the process that watches: clocks of two
//! machines are never compared. The watcher then renames the file away. If that was no longer the file it has watched, it
//! puts it back. A holder reads its file before it writes results, so that one who was not heard of writes nothing.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Beats in the time after which a lease without any is lost.
const BEATS: u32 = 8;

/// The limit of a lease whose file tells none, as that of a process that died while it wrote it.
const LIMIT: Duration = Duration::from_secs(120);

/// Pause between two looks at a lease.
const POLL: Duration = Duration::from_millis(50);

/// Stack of the thread that beats.
const STACK: usize = 128 << 10;

/// A lease that this process holds; given back when dropped.
#[derive(Debug)]
pub(super) struct Lease {
    path: PathBuf,
    token: String,
    lost: Arc<AtomicBool>,
    beating: Option<(Sender<()>, JoinHandle<()>)>,
}

/// The first line of a lease's file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Holder {
    /// A random number that no other lease has.
    token: String,
    host: String,
    pid: u32,
    /// When the kernel started the process, in its own unit: numbers of processes come again.
    started: u64,
    /// The kernel and its view of processes, in which `pid` has a meaning.
    kernel: Option<String>,
    /// Seconds without a beat after which the lease is lost.
    limit: f64,
}

/// What a look at a lease tells.
#[derive(Debug, PartialEq)]
enum Look {
    Free,
    /// Its holder was heard of.
    Living,
    /// It was not heard of so far, but for too short a time.
    Unknown,
    /// Its holder is gone; the file as it was then.
    Lost(String),
}

/// What this process has read of leases, and since when it reads the same.
static SEEN: Mutex<BTreeMap<PathBuf, (String, Instant)>> = Mutex::new(BTreeMap::new());

/// The kernel and its view of processes; `None` where that is unknown.
static KERNEL: LazyLock<Option<String>> = LazyLock::new(|| {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let processes = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), processes.display()))
});

/// The file of the lease that stands for a lock.
pub(super) fn path_of(lock: &Path) -> PathBuf {
    let mut name = lock.as_os_str().to_owned();
    name.push(".lease");
    name.into()
}

/// Whether a process holds the lease of a file, as far as this one can tell yet.
pub(super) fn is_held(path: &Path) -> bool {
    !matches!(look(path), Ok(Look::Free | Look::Lost(_)))
}

impl Lease {
    /// Takes the lease of a file, which is lost after `limit` without a beat. Returns `None` if another process holds it. To
    /// know that of one under another kernel takes as long as a beat, or, if it died, its limit.
    pub(super) fn take(path: &Path, limit: Duration) -> io::Result<Option<Self>> {
        loop {
            match look(path)? {
                Look::Free => match Self::create(path, limit) {
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                    created => return created.map(Some),
                },
                Look::Living => return Ok(None),
                Look::Lost(text) => remove_lost(path, &text)?,
                Look::Unknown => thread::sleep(POLL),
            }
        }
    }

    fn create(path: &Path, limit: Duration) -> io::Result<Self> {
        let holder = Holder::new(limit)?;
        let mut line = serde_json::to_vec(&holder)?;
        line.push(b'\n');
        OpenOptions::new().write(true).create_new(true).open(path)?.write_all(&line)?;
        let (stop, stopped) = mpsc::channel::<()>();
        let lost = Arc::new(AtomicBool::new(false));
        let (file, token, flag) = (path.to_owned(), holder.token.clone(), Arc::clone(&lost));
        let beats = move || {
            while stopped.recv_timeout(limit / BEATS) == Err(RecvTimeoutError::Timeout) {
                // A disk that does not answer may answer the next time; the watchers decide how long that may take.
                if beat(&file, &token).is_ok_and(|mine| !mine) {
                    return flag.store(true, Ordering::Relaxed);
                }
            }
        };
        let thread = thread::Builder::new().name("lease".to_owned()).stack_size(STACK).spawn(beats)?;
        Ok(Self { path: path.to_owned(), token: holder.token, lost, beating: Some((stop, thread)) })
    }

    /// Whether the lease is still this process's, by its file.
    pub(super) fn is_mine(&self) -> bool {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let mine = !self.lost.load(Ordering::Relaxed) && is_of(&text, &self.token);
        if !mine {
            self.lost.store(true, Ordering::Relaxed);
        }
        mine
    }

    /// A flag that is raised when the loss of the lease is noticed.
    pub(super) fn lost(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.lost)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.beating.take() {
            drop(stop);
            let _ = thread.join();
        }
        if self.is_mine() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Holder {
    fn new(limit: Duration) -> io::Result<Self> {
        let mut random = [0; 16];
        fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
        let pid = std::process::id();
        Ok(Self {
            token: random.iter().map(|byte| format!("{byte:02x}")).collect(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            pid,
            started: started(pid).unwrap_or(0),
            kernel: KERNEL.clone(),
            limit: limit.as_secs_f64(),
        })
    }

    fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text.split_once('\n')?.0).ok()
    }

    /// Whether the holder lives, if this process can tell.
    fn lives(&self) -> Option<bool> {
        let same_kernel = self.kernel.is_some() && self.kernel == *KERNEL;
        same_kernel.then(|| started(self.pid) == Some(self.started))
    }

    fn limit(&self) -> Duration {
        Duration::try_from_secs_f64(self.limit).unwrap_or(LIMIT)
    }
}

/// When a living process was started, as /proc tells; `None` if there is none.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

fn is_of(text: &str, token: &str) -> bool {
    Holder::parse(text).is_some_and(|holder| holder.token == token)
}

fn look(path: &Path) -> io::Result<Look> {
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let text = match fs::read_to_string(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            seen.remove(path);
            return Ok(Look::Free);
        }
        read => read?,
    };
    let holder = Holder::parse(&text);
    match holder.as_ref().and_then(Holder::lives) {
        Some(true) => return Ok(Look::Living),
        Some(false) => return Ok(Look::Lost(text)),
        None => {}
    }
    Ok(match seen.get(path) {
        Some((before, since)) if *before == text => {
            let limit = holder.map_or(LIMIT, |holder| holder.limit());
            if since.elapsed() > limit { Look::Lost(text) } else { Look::Unknown }
        }
        before => {
            let look = if before.is_some() { Look::Living } else { Look::Unknown };
            seen.insert(path.to_owned(), (text, Instant::now()));
            look
        }
    })
}

/// Appends a beat. Returns whether the lease is still the token's.
fn beat(path: &Path, token: &str) -> io::Result<bool> {
    let mut file = match OpenOptions::new().read(true).append(true).open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let mine = is_of(&text, token);
    if mine {
        file.write_all(b".")?;
    }
    Ok(mine)
}

/// Removes a lease that was lost, unless it has changed since.
fn remove_lost(path: &Path, lost: &str) -> io::Result<()> {
    let aside = path.with_extension(format!("lease-{}", Holder::new(LIMIT)?.token));
    match fs::rename(path, &aside) {
        // Another process was faster.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        renamed => renamed?,
    }
    // A faster process has taken it over, or the holder was heard of again. Where another lease has taken its place
    // meanwhile, its holder finds out.
    if fs::read_to_string(&aside)? != lost {
        match fs::hard_link(&aside, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return fs::rename(&aside, path),
            _ => {}
        }
    }
    fs::remove_file(&aside)
}

#[cfg(test)]
mod tests;
