//! Checks that a function looks up the name of its AWS endpoint as it does on Lambda, where the
//! name server can be unreachable.
//!
//! ```text
//! functions names --bootstraps target/x86_64-unknown-linux-gnu/release [--nsswitch FILE]
//! ```
//!
//! A statically linked glibc contains `files` and `dns` and loads every other service of
//! `nsswitch.conf` from the system, which may have another version of glibc. The check therefore
//! repeats for several of these files. `--nsswitch` adds one, such as that of Amazon Linux 2023.
//! It runs in namespaces of its own, with other files in `/etc`: it needs `unshare`, `mount` and
//! `ip`.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use tests::{aws::Aws, events, template::root};

use crate::{
    endpoint::Endpoint,
    name_server::{Behaviour, NameServer},
    process::Process,
    runtime_api::RuntimeApi,
    settings,
};

/// It reads one item.
const FUNCTION: &str = "get-order";
/// A name of the reserved domain `test` (RFC 6761).
const NAME: &str = "dynamodb.names.test";
/// The gateway and the callers wait this long.
const LIMIT: Duration = Duration::from_secs(10);

/// `hosts` lines: the default of glibc, that of Fedora's glibc package, and that of systemd.
const HOSTS: [&str; 3] =
    ["files dns", "files dns myhostname", "files myhostname resolve [!UNAVAIL=return] dns"];

/// What the name server does, and the status that the function then answers: 404 comes from the
/// table, which does not contain the order.
const CASES: [(&str, Behaviour, u64); 4] = [
    ("the name resolves", Behaviour::Answers, 404),
    ("the name does not exist", Behaviour::Denies, 503),
    ("the name server is silent", Behaviour::IsSilent, 503),
    ("the name server answers again", Behaviour::Answers, 404),
];

/// What the command `names` checks.
pub(crate) struct Check {
    pub(crate) bootstraps: PathBuf,
    /// Another `nsswitch.conf`.
    pub(crate) nsswitch: Option<PathBuf>,
}

/// Runs this program again in new namespaces. A user namespace makes this user root in the others.
pub(crate) fn run_inside(words: &[String]) -> Result<ExitCode, Box<dyn Error>> {
    let inside = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "--net", "--"])
        .arg(std::env::current_exe()?)
        .arg(INSIDE)
        .args(words)
        .status()?;
    Ok(if inside.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The command of the run in the new namespaces.
pub(crate) const INSIDE: &str = "names-inside";

/// Checks every case with every file.
pub(crate) fn run(check: &Check) -> Result<ExitCode, Box<dyn Error>> {
    let folder = root().join("target/bench/names");
    fs::create_dir_all(&folder)?;
    command("ip", &["link", "set", "lo", "up"])?;
    replace(&folder, "resolv.conf", "nameserver 127.0.0.1\n")?;
    replace(&folder, "hosts", "127.0.0.1 localhost\n")?;
    let names = NameServer::start()?;

    let mut files: Vec<String> =
        HOSTS.iter().map(|hosts| format!("passwd: files\nhosts: {hosts}\n")).collect();
    if let Some(file) = &check.nsswitch {
        files.push(fs::read_to_string(file)?);
    }
    let mut failures = 0;
    replace(&folder, "nsswitch.conf", "")?;
    for file in &files {
        // In place: the mounted file is the one in the folder.
        fs::write(folder.join("nsswitch.conf"), file)?;
        println!("{}", file.lines().find(|line| line.starts_with("hosts:")).unwrap_or("no hosts"));
        failures += all_cases(&check.bootstraps.join(FUNCTION), &names)?;
    }
    println!("name look-ups: {} passed, {failures} failed", files.len() * CASES.len() - failures);
    Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs all cases, each in a new process except the last one. Returns the number of failures.
fn all_cases(program: &Path, names: &NameServer) -> Result<usize, Box<dyn Error>> {
    let endpoint = Endpoint::start(&Aws::new(), None)?;
    let url = endpoint.url().replace("localhost", NAME);
    let mut running: Option<(Process, RuntimeApi)> = None;
    let mut failures = 0;
    for (case, behaviour, expected) in CASES {
        names.behave(behaviour);
        // The last case continues the one before.
        let earlier = running.take().filter(|_| case == CASES[3].0);
        let (process, runtime) = match earlier {
            Some(running) => running,
            None => start(program, &url)?,
        };
        let started = Instant::now();
        let answer = runtime.invoke(&events::sample(FUNCTION))?;
        let elapsed = started.elapsed();
        runtime.wait_until_asked()?;
        let (status, queries) = (answer["statusCode"].as_u64(), names.take_queries());
        let passed = status == Some(expected) && elapsed < LIMIT && queries > 0;
        failures += usize::from(!passed);
        println!(
            "  {:6} {case}: status {}, {:.2} s, {queries} queries",
            if passed { "passed" } else { "FAILED" },
            status.unwrap_or_default(),
            elapsed.as_secs_f64()
        );
        running = Some((process, runtime));
    }
    Ok(failures)
}

fn start(program: &Path, endpoint: &str) -> Result<(Process, RuntimeApi), Box<dyn Error>> {
    let runtime = RuntimeApi::start()?;
    let variables = settings::variables(FUNCTION, endpoint, &runtime.address());
    let process = Process::start(program, &variables)?;
    runtime.wait_until_asked()?;
    Ok((process, runtime))
}

/// Mounts a file with this text over the one in `/etc`, in this namespace alone.
fn replace(folder: &Path, name: &str, text: &str) -> Result<(), Box<dyn Error>> {
    let file = folder.join(name);
    fs::write(&file, text)?;
    command("mount", &["--bind", &file.display().to_string(), &format!("/etc/{name}")])
}

fn command(program: &str, arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    let status = Command::new(program).args(arguments).status()?;
    if status.success() {
        return Ok(());
    }
    Err(format!("{program} {} failed", arguments.join(" ")).into())
}
