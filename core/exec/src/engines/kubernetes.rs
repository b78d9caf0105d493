//! Indexed Jobs of Kubernetes, `batch/v1`.

use std::fmt::Write as _;

use hashlab_settings::{Params, Violations};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_word;

/// Most characters of a sweep's name in that of its Job, which with digest and index must stay below 63.
const NAME: usize = 30;

/// What a Job's tasks are given. It is no part of a run's identity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KubernetesProfile {
    /// Container image that holds the program `hashlab`.
    pub image: String,
    /// Namespace; that of the user's context if not set.
    pub namespace: Option<String>,
    /// PersistentVolumeClaim with the experiment file, `--runs` and data, which all nodes share.
    pub claim: String,
    /// Directory at which the claim is mounted, and in which tasks are started.
    pub mount: String,
    /// Processors of a task.
    #[schemars(range(min = 1))]
    pub cpus: usize,
    /// Memory of a task, e.g. `8Gi`.
    pub memory: String,
    /// NVIDIA GPUs of a task; with any, runs compute on them.
    pub gpus: usize,
    /// Tasks that run at once; not limited if not set.
    #[schemars(range(min = 1))]
    pub max_running: Option<usize>,
    /// Runs of a task; as many as it has processors if not set.
    #[schemars(range(min = 1))]
    pub runs_per_task: Option<usize>,
    /// Times that a task is repeated which a signal, its node or its memory ended.
    pub retries: usize,
    /// Seconds in which the runs of a task that is ended write a checkpoint.
    #[schemars(range(min = 1))]
    pub warning: usize,
}

impl Default for KubernetesProfile {
    fn default() -> Self {
        Self {
            image: "registry.example.org/hashlab:latest".to_owned(),
            namespace: None,
            claim: "hashlab".to_owned(),
            mount: "/work".to_owned(),
            cpus: 1,
            memory: "4Gi".to_owned(),
            gpus: 0,
            max_running: None,
            runs_per_task: None,
            retries: 3,
            warning: 120,
        }
    }
}

impl Params for KubernetesProfile {
    fn check(&self) -> Violations {
        Violations::none()
            .require(is_word(&self.image), ["image"], "`image` must be a container image")
            .require(self.namespace.as_deref().is_none_or(is_word), ["namespace"], "`namespace` must be a name")
            .require(is_word(&self.claim), ["claim"], "`claim` must be the name of a PersistentVolumeClaim")
            .require(self.mount.starts_with('/'), ["mount"], "`mount` must be an absolute path such as `/work`")
            .require(is_word(&self.memory), ["memory"], "`memory` must be a quantity such as `8Gi`")
    }
}

impl KubernetesProfile {
    /// Runs of a task.
    pub fn pack(&self) -> usize {
        self.runs_per_task.unwrap_or(self.cpus)
    }
}

/// A Job whose index N executes the N-th pack of a plan's runs.
#[derive(Clone, Debug)]
pub struct KubernetesJob<'a> {
    /// Name of the sweep.
    pub sweep: &'a str,
    /// Digest of the plan.
    pub plan: &'a str,
    /// Resources.
    pub profile: &'a KubernetesProfile,
    /// Number of packs.
    pub tasks: usize,
    /// Program and arguments that come before the index; the index is the last argument.
    pub command: &'a [String],
    /// Environment variables.
    pub env: &'a [(String, String)],
}

impl KubernetesJob<'_> {
    /// Renders the Job as YAML. Texts are written as JSON, which is YAML.
    pub fn render(&self) -> String {
        let KubernetesProfile { image, namespace, claim, mount, cpus, memory, gpus, max_running, .. } = self.profile;
        let (tasks, retries, warning) = (self.tasks, self.profile.retries, self.profile.warning);
        let namespace = namespace.as_ref().map(|name| format!("\n  namespace: {}", text(name))).unwrap_or_default();
        let gpus = if *gpus > 0 { format!(", nvidia.com/gpu: \"{gpus}\"") } else { String::new() };
        let resources = format!("{{ cpu: \"{cpus}\", memory: {}{gpus} }}", text(memory));
        let mut words = self.command.iter().map(|word| text(&unexpanded(word)));
        let program = words.next().unwrap_or_default();
        let args: String = words.map(|word| format!("\n            - {word}")).collect();
        format!(
            r#"# The sweep {sweep} as {tasks} tasks, of which each executes up to {pack} runs.
# Image, claim and resources come from a profile: docs/other-engines.md.
apiVersion: batch/v1
kind: Job
metadata:
  name: {name}{namespace}
spec:
  completionMode: Indexed
  completions: {tasks}
  parallelism: {parallelism}
  backoffLimitPerIndex: {retries}
  podFailurePolicy:
    rules:
      # Bad input, and runs that failed: both would fail again.
      - action: FailIndex
        onExitCodes: {{ containerName: hashlab, operator: In, values: [2, 3] }}
      # An eviction is no failure of the task.
      - action: Ignore
        onPodConditions: [{{ type: DisruptionTarget, status: "True" }}]
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: {warning}
      containers:
        - name: hashlab
          image: {image}
          workingDir: {mount}
          command: [{program}]
          args:{args}
            - "$(JOB_COMPLETION_INDEX)"
{env}          resources:
            requests: {resources}
            limits: {resources}
          volumeMounts:
            - {{ name: work, mountPath: {mount} }}
      volumes:
        - name: work
          persistentVolumeClaim: {{ claimName: {claim} }}
"#,
            sweep = text(self.sweep),
            pack = self.profile.pack(),
            name = self.name(),
            parallelism = max_running.unwrap_or(tasks).min(tasks),
            image = text(image),
            mount = text(mount),
            claim = text(claim),
            env = self.environment(),
        )
    }

    /// A name that Kubernetes takes: small letters, digits and hyphens.
    fn name(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = self.sweep.chars().take(NAME).map(plain).collect();
        format!("hashlab-{}-{}", name.trim_matches('-'), self.plan)
    }

    fn environment(&self) -> String {
        let mut lines = String::new();
        for (at, (name, value)) in self.env.iter().enumerate() {
            if at == 0 {
                lines += "          env:\n";
            }
            let value = text(&unexpanded(value));
            let _ = writeln!(lines, "            - {{ name: {}, value: {value} }}", text(name));
        }
        lines
    }
}

/// A word in which Kubernetes expands nothing: it reads `$(NAME)` as a variable, and `$$` as a dollar.
fn unexpanded(word: &str) -> String {
    word.replace("$(", "$$(")
}

fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_kubernetes() {
        let profile = KubernetesProfile::default();
        let name = |sweep| {
            KubernetesJob { sweep, plan: "0123456789ab", profile: &profile, tasks: 1, command: &[], env: &[] }.name()
        };
        assert_eq!(name("tiny"), "hashlab-tiny-0123456789ab");
        assert_eq!(name("_Über uns.2"), "hashlab-ber-uns-2-0123456789ab");
        assert!(name(&"long".repeat(40)).len() <= 63 - "-99999".len());
    }

    #[test]
    fn nothing_that_a_user_wrote_is_expanded() {
        assert_eq!(unexpanded("$(HOME)/a$b"), "$$(HOME)/a$b");
        assert_eq!(text("a: \"b\"\n- c"), r#""a: \"b\"\n- c""#);
    }
}
