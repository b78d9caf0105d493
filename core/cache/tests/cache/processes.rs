//! Several processes, some of them killed: the test binary starts itself as a child.

use std::env;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// Large enough for a kill to land inside of a write.
const LARGE: Shape = Shape { rows: 24 * 64, dim: 1024, chunk_rows: 64 };

/// Variable with the cache of a child; unset in a run of the whole test binary.
const ROOT: &str = "CACHE_TEST_ROOT";
const PAUSE: &str = "CACHE_TEST_PAUSE_MS";

/// Ensures the large feature file, noting every chunk in a file as its extraction starts.
#[test]
#[ignore = "the body of the other tests' child processes"]
fn child() {
    let Ok(root) = env::var(ROOT) else { return };
    let pause = Duration::from_millis(env::var(PAUSE).unwrap().parse().unwrap());
    let log = File::options().create(true).append(true).open(log_of(Path::new(&root))).unwrap();
    let extract = |rows: Range<usize>| {
        (&log).write_all(format!("{}\n", rows.start / LARGE.chunk_rows).as_bytes()).unwrap();
        thread::sleep(pause);
        Ok::<_, CacheError>(features(0, rows, LARGE.dim))
    };
    let cache = FeatureCache::open(root, None).unwrap();
    match cache.ensure(&key(0), LARGE, extract, |_| Ok(())) {
        Ok(feature_file) => assert_holds(&feature_file, 0),
        Err(error) => panic!("{error}"),
    }
}

fn log_of(root: &Path) -> PathBuf {
    root.with_extension("log")
}

/// The chunks whose extraction was started, in order.
fn log(cache: &FeatureCache) -> Vec<usize> {
    let text = fs::read_to_string(log_of(cache.root())).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn command(cache: &FeatureCache, pause_ms: u64, limits: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limits} exec \"$0\" \"$@\"")]).arg(env::current_exe().unwrap());
    command.args(["processes::child", "--exact", "--ignored", "--nocapture"]);
    command.env(ROOT, cache.root()).env(PAUSE, pause_ms.to_string());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Waits until the log has `lines` lines, or the child is done.
fn wait_for(cache: &FeatureCache, child: &mut Child, lines: usize) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while log(cache).len() < lines && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline, "the child does nothing");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn processes_that_want_the_same_feature_file_extract_it_once() {
    let (_folder, cache) = temporary_cache(None);
    let children: Vec<Child> = (0..4).map(|_| command(&cache, 5, "").spawn().unwrap()).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(log(&cache), Vec::from_iter(0..LARGE.chunks()));
}

#[test]
fn a_killed_extraction_is_resumed_where_it_was() {
    let (_folder, cache) = temporary_cache(None);
    let mut starts = Vec::new();
    for round in 0.. {
        let before = log(&cache).len();
        starts.push(before);
        let mut child = command(&cache, 1, "").spawn().unwrap();
        wait_for(&cache, &mut child, before + 1 + round % 2);
        // From the extraction itself over the write to its checksum.
        thread::sleep(Duration::from_micros(700 * (round as u64 % 8)));
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            break;
        }
    }
    let log = log(&cache);
    for &start in starts.iter().filter(|&&start| (1..log.len()).contains(&start)) {
        let (in_flight, next) = (log[start - 1], log[start]);
        assert!(next == in_flight || next == in_flight + 1, "went on with chunk {next} after {in_flight}");
    }
    assert!(starts.len() > 3, "killed too rarely: {starts:?}");

    let (feature_file, extracted) = ensure(&cache, 0, LARGE).unwrap();
    assert_eq!(extracted, [0; 0]);
    let (_folder, uninterrupted) = temporary_cache(None);
    ensure(&uninterrupted, 0, LARGE).unwrap();
    let expected = fs::read(only_feature_file(&uninterrupted).join("data.f32")).unwrap();
    assert!(fs::read(feature_file.path()).unwrap() == expected, "the same bytes as without interruption");
}

#[test]
fn a_waiting_process_takes_over_from_a_killed_one() {
    let (_folder, cache) = temporary_cache(None);
    let mut first = command(&cache, 20, "").spawn().unwrap();
    wait_for(&cache, &mut first, 3);
    let (waiting, holding) = std::sync::mpsc::channel();
    thread::scope(|scope| {
        let second = scope.spawn(|| {
            let extract = |rows| Ok::<_, CacheError>(features(0, rows, LARGE.dim));
            let progress = |progress| {
                if let Progress::Waiting { .. } = progress {
                    waiting.send(()).expect("the receiver lives as long as the test");
                }
                Ok(())
            };
            cache.ensure(&key(0), LARGE, extract, progress).unwrap()
        });
        holding.recv_timeout(Duration::from_secs(60)).expect("the second one waits");
        first.kill().unwrap();
        first.wait().unwrap();
        assert_holds(&second.join().unwrap(), 0);
    });
    assert!(log(&cache).len() < LARGE.chunks(), "the first one was killed on its way");
}

#[test]
fn a_file_size_limit_interrupts_and_no_more() {
    let (_folder, cache) = temporary_cache(None);
    // 2,000 blocks of 512 or 1,024 bytes end inside of a chunk; without the trap the limit would kill.
    let output = command(&cache, 0, "trap '' XFSZ; ulimit -f 2000;").output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && stderr.contains("`ulimit -f`, is too low"), "{stderr}");
    let started = log(&cache);
    assert!((2..LARGE.chunks()).contains(&started.len()));
    let (feature_file, extracted) = ensure(&cache, 0, LARGE).unwrap();
    assert_eq!(extracted[0] / LARGE.chunk_rows, *started.last().unwrap());
    assert_holds(&feature_file, 0);
}
