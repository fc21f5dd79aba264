//! A function's process, and what the kernel counts about it.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// A process is idle once its CPU time has not changed for this long.
const IDLE: Duration = Duration::from_millis(3);

pub(crate) struct Process {
    child: Child,
    /// What the shell had used before it became the program.
    before: Counters,
}

/// CPU time and page faults since the program was executed.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counters {
    pub(crate) milliseconds: f64,
    pub(crate) faults: f64,
}

impl Process {
    /// Starts a program with these variables alone. Its log is discarded.
    ///
    /// A shell waits for a line and then executes the program, so that the counters begin there and
    /// leave out the system calls of this process between `fork` and `exec`.
    pub(crate) fn start(program: &Path, variables: &BTreeMap<String, String>) -> io::Result<Self> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", "read -r line; exec \"$0\""])
            .arg(program)
            .env_clear()
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        let line = child.stdin.take();
        let mut process = Self { child, before: Counters::default() };
        process.before = process.idle()?;
        if let Some(mut line) = line {
            line.write_all(b"\n")?;
        }
        Ok(process)
    }

    /// Waits until the process is idle and reads its counters.
    pub(crate) fn idle(&self) -> io::Result<Counters> {
        let mut last = self.nanoseconds()?;
        loop {
            thread::sleep(IDLE);
            let now = self.nanoseconds()?;
            if now == last {
                return Ok(Counters {
                    milliseconds: now as f64 / 1e6 - self.before.milliseconds,
                    faults: self.faults()? - self.before.faults,
                });
            }
            last = now;
        }
    }

    /// CPU time of all threads: the first field of `schedstat` (proc_pid_schedstat(5)).
    fn nanoseconds(&self) -> io::Result<u64> {
        let mut sum = 0;
        for thread in fs::read_dir(self.file("task"))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let first = text.split(' ').next().unwrap_or_default();
            sum += first.parse::<u64>().map_err(io::Error::other)?;
        }
        Ok(sum)
    }

    /// Minor and major faults: fields 10 and 12 of `stat` (proc_pid_stat(5)). The name in field 2
    /// may contain spaces.
    fn faults(&self) -> io::Result<f64> {
        let stat = fs::read_to_string(self.file("stat"))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
        let field = |number: usize| fields.get(number - 2).and_then(|field| field.parse().ok());
        match (field(10), field(12)) {
            (Some::<f64>(minor), Some::<f64>(major)) => Ok(minor + major),
            _ => Err(io::Error::other(format!("not the state of a process: {stat}"))),
        }
    }

    /// Peak of the resident memory: `VmHWM` (proc_pid_status(5)).
    pub(crate) fn resident_megabytes(&self) -> io::Result<f64> {
        let status = fs::read_to_string(self.file("status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = peak.and_then(|text| text.trim().strip_suffix(" kB"));
        kilobytes
            .and_then(|number| number.parse::<f64>().ok())
            .map(|kilobytes| kilobytes / 1024.0)
            .ok_or_else(|| io::Error::other("the process has ended"))
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already if these fail.
        let _killed = self.child.kill();
        let _reaped = self.child.wait();
    }
}
