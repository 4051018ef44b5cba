//! What the kernel says of a process: CPU, memory, threads, open files. Linux only, read from `/proc`.

use std::fs;
use std::path::Path;

/// Clock ticks a second in `/proc/<pid>/stat`: the kernel's `USER_HZ`, 100 on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// A process at one moment.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Sample {
    /// CPU used so far by all its threads, user and system, seconds.
    pub cpu_seconds: f64,
    /// Resident memory, MiB.
    pub rss_mib: f64,
    /// Its proportional share of resident memory, MiB.
    pub pss_mib: f64,
    /// Threads.
    pub threads: u64,
    /// Open files and sockets.
    pub files: u64,
}

/// Reads a process now; zeros where it is gone.
pub fn sample(pid: u32) -> Sample {
    let folder = format!("/proc/{pid}");
    let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
    let rollup = fs::read_to_string(format!("{folder}/smaps_rollup")).unwrap_or_default();
    Sample {
        cpu_seconds: cpu_ticks(pid).map_or(0.0, |ticks| ticks[0] as f64 / TICKS),
        rss_mib: field(&status, "VmRSS:") as f64 / 1_024.0,
        pss_mib: field(&rollup, "Pss:") as f64 / 1_024.0,
        threads: field(&status, "Threads:"),
        files: fs::read_dir(format!("{folder}/fd")).map_or(0, |entries| entries.count() as u64),
    }
}

/// CPU of the private Postgres below `data_dir`, all its processes, those that ended too, seconds.
pub fn postgres_cpu_seconds(data_dir: &Path) -> Option<f64> {
    let file = fs::read_to_string(pid_file(data_dir, 3)?).ok()?;
    let postmaster: u32 = file.lines().next()?.trim().parse().ok()?;
    let ended_and_own: u64 = cpu_ticks(postmaster)?.iter().sum();
    let children =
        fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let living: u64 = children
        .filter(|pid| parent(*pid) == Some(postmaster))
        .filter_map(|pid| cpu_ticks(pid).map(|ticks| ticks[0]))
        .sum();
    Some((ended_and_own + living) as f64 / TICKS)
}

fn pid_file(folder: &Path, depth: u32) -> Option<std::path::PathBuf> {
    let here = folder.join("postmaster.pid");
    if here.exists() {
        return Some(here);
    }
    let below = fs::read_dir(folder).ok()?.flatten().filter(|entry| depth > 0 && entry.path().is_dir());
    below.map(|entry| entry.path()).find_map(|path| pid_file(&path, depth - 1))
}

/// Own ticks, and those of children that ended.
fn cpu_ticks(pid: u32) -> Option<[u64; 2]> {
    let fields = stat(pid)?;
    let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some([ticks(11)? + ticks(12)?, ticks(13)? + ticks(14)?])
}

fn parent(pid: u32) -> Option<u32> {
    stat(pid)?.get(1)?.parse().ok()
}

/// The fields behind the name, which may itself hold spaces and brackets; the first is the state.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().map(str::to_owned).collect())
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_has_memory_threads_and_files() {
        let here = sample(std::process::id());
        assert!(here.rss_mib > 0.5 && here.threads >= 1 && here.files >= 3, "{here:?}");
        assert!(parent(std::process::id()).is_some());
    }
}
