//! Heads of the requests to `hashlab serve` and `hashlab watch`.
#![no_main]

#[path = "../../cli/src/server/request.rs"]
#[allow(dead_code)]
mod request;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    match request::head(bytes, 8080) {
        Ok(Some(head)) => {
            assert!(head.start <= bytes.len() && head.length <= request::BODY);
            assert!(!head.request.path.contains('?'));
            let _ = head.request.parameter("top");
        }
        Ok(None) => {}
        Err(refusal) => assert!(!refusal.reason.is_empty() && (400..500).contains(&refusal.status)),
    }
});
