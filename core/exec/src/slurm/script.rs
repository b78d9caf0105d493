//! Batch scripts.

use std::fmt::Write as _;
use std::path::Path;

use super::SlurmProfile;

/// A script for sbatch: one array of tasks, or one job.
#[derive(Clone, Debug)]
pub struct BatchScript<'a> {
    /// Unique name, by which a submission is found again whose answer was lost.
    pub name: &'a str,
    /// Resources.
    pub profile: &'a SlurmProfile,
    /// Number of tasks; `None` for a job that is no array.
    pub tasks: Option<usize>,
    /// Jobs whose end, however it comes, this one waits for.
    pub after: &'a [u64],
    /// Directory of the tasks' output.
    pub logs: &'a Path,
    /// The command, a shell text; it may use `$SLURM_ARRAY_TASK_ID`.
    pub command: &'a str,
}

impl BatchScript<'_> {
    /// Renders the script. The command takes the shell's place, so that Slurm's warning reaches it and not a shell that
    /// waits for it.
    pub fn render(&self) -> String {
        let mut text = "#!/bin/bash\n".to_owned();
        for option in self.options() {
            let _ = writeln!(text, "#SBATCH {option}");
        }
        for line in &self.profile.lines {
            let _ = writeln!(text, "{line}");
        }
        let _ = writeln!(text, "exec {}", self.command);
        text
    }

    fn options(&self) -> Vec<String> {
        let profile = self.profile;
        let output = if self.tasks.is_some() { "%A_%a.log" } else { "%j.log" };
        let mut options = vec![format!("--job-name={}", self.name)];
        let mut add =
            |name: &str, value: Option<String>| options.extend(value.map(|value| format!("--{name}={value}")));
        add("partition", profile.partition.clone());
        add("account", profile.account.clone());
        if let Some(tasks) = self.tasks {
            let throttle = profile.max_running.map(|most| format!("%{most}")).unwrap_or_default();
            add("array", Some(format!("0-{}{throttle}", tasks.saturating_sub(1))));
        }
        add("gres", profile.gres.clone().filter(|_| self.tasks.is_some()));
        add("ntasks", Some("1".to_owned()));
        add("cpus-per-task", Some(if self.tasks.is_some() { profile.cpus } else { 1 }.to_string()));
        // Without a request, a job waits until no other uses the node.
        add("mem", Some(profile.mem.clone()));
        add("time", Some(profile.time.clone()));
        // To the batch process alone, which warns its children itself.
        add("signal", Some(format!("B:USR1@{}", profile.warning)));
        add("output", Some(quoted(&self.logs.join(output).display().to_string())));
        add("open-mode", Some("append".to_owned()));
        if !self.after.is_empty() {
            let jobs: Vec<String> = self.after.iter().map(u64::to_string).collect();
            // `afterok` would never start after an array with one failure.
            add("dependency", Some(format!("afterany:{}", jobs.join(":"))));
        }
        // Requeued jobs are held for two minutes, and unfinished runs are submitted again anyway.
        options.push("--no-requeue".to_owned());
        options.extend(profile.options.iter().cloned());
        options
    }
}

/// A value of an option line, in quotes if it holds blanks.
fn quoted(text: &str) -> String {
    if text.contains(char::is_whitespace) { format!("\"{text}\"") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_asks_for_what_the_profile_says() {
        let profile = SlurmProfile {
            partition: Some("gpu".into()),
            account: Some("lab".into()),
            gres: Some("gpu:1".into()),
            cpus: 4,
            max_running: Some(8),
            options: vec!["--constraint=a100".into()],
            lines: vec!["module load cuda".into()],
            ..SlurmProfile::default()
        };
        let script = BatchScript {
            name: "hashlab-1",
            profile: &profile,
            tasks: Some(64),
            after: &[7, 9],
            logs: Path::new("/my runs/logs"),
            command: "hashlab exec tiny --pack hashlab-1:$SLURM_ARRAY_TASK_ID",
        };
        let expected = "#!/bin/bash\n\
                        #SBATCH --job-name=hashlab-1\n\
                        #SBATCH --partition=gpu\n\
                        #SBATCH --account=lab\n\
                        #SBATCH --array=0-63%8\n\
                        #SBATCH --gres=gpu:1\n\
                        #SBATCH --ntasks=1\n\
                        #SBATCH --cpus-per-task=4\n\
                        #SBATCH --mem=4G\n\
                        #SBATCH --time=04:00:00\n\
                        #SBATCH --signal=B:USR1@120\n\
                        #SBATCH --output=\"/my runs/logs/%A_%a.log\"\n\
                        #SBATCH --open-mode=append\n\
                        #SBATCH --dependency=afterany:7:9\n\
                        #SBATCH --no-requeue\n\
                        #SBATCH --constraint=a100\n\
                        module load cuda\n\
                        exec hashlab exec tiny --pack hashlab-1:$SLURM_ARRAY_TASK_ID\n";
        assert_eq!(script.render(), expected);
    }

    #[test]
    fn a_single_job_needs_no_gpu() {
        let profile = SlurmProfile { gres: Some("gpu:1".into()), cpus: 8, ..SlurmProfile::default() };
        let script = BatchScript {
            name: "table",
            profile: &profile,
            tasks: None,
            after: &[],
            logs: Path::new("logs"),
            command: "true",
        };
        let text = script.render();
        assert!(text.contains("--cpus-per-task=1\n") && text.contains("--output=logs/%j.log\n"), "{text}");
        assert!(!text.contains("gres") && !text.contains("array") && !text.contains("dependency"), "{text}");
    }
}
