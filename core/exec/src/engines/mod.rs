//! Files that other engines read: a Job of Kubernetes, a job definition file of HyperQueue.
//!
//! hashlab writes them and starts nothing: tasks execute `hashlab exec`, run directories say what is done, and a file
//! that is submitted again executes what is left.

mod hyperqueue;
mod kubernetes;

pub use hyperqueue::{HyperQueueJob, HyperQueueProfile};
pub use kubernetes::{KubernetesJob, KubernetesProfile};

/// Whether a text can stand where an engine expects a name: not empty, without blanks.
fn is_word(value: &str) -> bool {
    !value.is_empty() && !value.chars().any(|c| c.is_whitespace() || c.is_control())
}
