//! Programs that the tests run: in the namespaces of the calling thread, with an environment that
//! holds nothing of the caller's, and never for longer than their limit.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may run before it is ended and its test fails.
const LIMIT: Duration = Duration::from_secs(60);

/// A program about to be run.
#[derive(Clone, Debug)]
pub struct Program {
    path: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    folder: Option<OsString>,
    input: Vec<u8>,
    limit: Duration,
}

/// What a program said and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The command line, for messages.
    pub command: String,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// Its exit code; 128 and the signal's number where a signal ended it, as shells count.
    pub code: i32,
}

impl Program {
    /// A program by name (looked up in the caller's `PATH`, and where root's programs are) or path.
    pub fn new(path: impl AsRef<OsStr>) -> Self {
        let search = std::env::var_os("PATH").unwrap_or_default();
        let mut search = search.into_string().unwrap_or_default();
        search.push_str(":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin");
        Self {
            path: path.as_ref().to_owned(),
            arguments: Vec::new(),
            environment: vec![
                ("PATH".into(), search.into()),
                ("LC_ALL".into(), "C".into()),
            ],
            folder: None,
            input: Vec::new(),
            limit: LIMIT,
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments
            .extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Sets a variable. `PATH` and `LC_ALL=C` are set already, and nothing else.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Runs it in a folder.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// What it reads from standard input; nothing where this is not called.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// How long it may run; a minute where this is not called.
    #[must_use]
    pub const fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// Where it cannot be started, or is not done at its limit: it is ended, and what it said so
    /// far is in the message.
    pub fn run(&self) -> Run {
        let ended = self.run_to_limit();
        ended.unwrap_or_else(|run| panic!("not done after {:?}, and killed: {run}", self.limit))
    }

    /// Runs it to its end or its limit.
    ///
    /// # Errors
    /// It was not done at its limit, and was ended: what it said so far.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn run_to_limit(&self) -> Result<Run, Run> {
        let command = self.to_string();
        let mut child = self.spawn(&command);
        let mut stdin = child.stdin.take().expect("stdin is a pipe");
        let stdout = Stream::read(child.stdout.take().expect("stdout is a pipe"));
        let stderr = Stream::read(child.stderr.take().expect("stderr is a pipe"));
        let input = self.input.clone();
        // A program that ends without reading all of it breaks the pipe: that is no failure.
        thread::spawn(move || stdin.write_all(&input).ok());

        let deadline = Instant::now() + self.limit;
        let done = stdout.has_ended(deadline) && stderr.has_ended(deadline);
        if !done {
            child.kill().expect("a child of ours can be killed");
        }
        let status = child.wait().expect("a child of ours can be waited for");
        let code = status
            .code()
            .or_else(|| status.signal().map(|signal| 128 + signal));
        let run = Run {
            command,
            stdout: stdout.text(),
            stderr: stderr.text(),
            code: code.expect("a program ends by itself or by a signal"),
        };
        if done { Ok(run) } else { Err(run) }
    }

    /// Starts it and goes on. A program that ends when its input does (`cat`) ends with the test,
    /// whatever becomes of that.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start(&self) -> Running {
        Running {
            child: self.spawn(&self.to_string()),
        }
    }

    /// Starts it, with the three streams as pipes.
    fn spawn(&self, command: &str) -> Child {
        let mut starting = Command::new(&self.path);
        starting
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().cloned());
        if let Some(folder) = &self.folder {
            starting.current_dir(folder);
        }
        starting
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        starting
            .spawn()
            .unwrap_or_else(|e| panic!("{command}: cannot be started: {e}"))
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path.to_string_lossy())?;
        self.arguments
            .iter()
            .try_for_each(|a| write!(f, " {}", a.to_string_lossy()))
    }
}

impl Run {
    /// The run, where it ended with this code.
    ///
    /// # Panics
    /// Where it ended with another.
    #[track_caller]
    #[must_use]
    pub fn ended(self, code: i32) -> Self {
        assert!(self.code == code, "wanted exit code {code}: {self}");
        self
    }

    /// Ends the test unless it ended with 0; for what is run for its effect.
    ///
    /// # Panics
    /// Where it ended with another code.
    #[track_caller]
    pub fn succeed(self) {
        drop(self.ended(0));
    }

    /// What it wrote to standard output, read as JSON.
    ///
    /// # Panics
    /// Where it did not end with 0, or wrote something else.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        let run = self.ended(0);
        serde_json::from_str(&run.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {run}"))
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "`{}` ended with {}", self.command, self.code)?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            text.lines()
                .try_for_each(|line| writeln!(f, "    {name}: {line}"))?;
        }
        Ok(())
    }
}

/// A program that goes on until this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it is still there.
    ///
    /// # Panics
    /// Where the kernel does not know it.
    pub fn is_alive(&mut self) -> bool {
        self.child
            .try_wait()
            .expect("a child of ours can be waited for")
            .is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// One of a program's streams, read by a thread of its own: a program may fill both.
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Nothing is ever sent: the reader hangs up when the stream has ended.
    ended: Receiver<()>,
}

impl Stream {
    fn read(mut stream: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (sender, ended) = channel();
        let all = Arc::clone(&bytes);
        thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut some) {
                all.lock()
                    .expect("no reader panics")
                    .extend_from_slice(&some[..count]);
            }
            drop(sender);
        });
        Self { bytes, ended }
    }

    fn has_ended(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        self.ended.recv_timeout(left) == Err(RecvTimeoutError::Disconnected)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().expect("no reader panics")).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program::new("sh").args(["-c", script])
    }

    #[test]
    fn both_streams_and_the_code_are_read() {
        let run = shell("cat; echo $NAME >&2; exit 3")
            .env("NAME", "n")
            .input("in")
            .run();
        assert_eq!((&*run.stdout, &*run.stderr, run.code), ("in", "n\n", 3));
    }

    #[test]
    fn a_signal_counts_as_in_a_shell() {
        assert_eq!(shell("kill -TERM $$").run().code, 128 + 15);
    }

    #[test]
    fn what_was_started_ends_when_it_is_dropped() {
        let mut running = Program::new("cat").start();
        let own = format!("/proc/{}", running.id());
        assert!(running.is_alive() && std::path::Path::new(&own).exists());
        drop(running);
        assert!(!std::path::Path::new(&own).exists());
    }

    #[test]
    fn nothing_of_the_callers_environment_comes_along() {
        let run = Program::new("env").run().ended(0);
        let names = run.stdout.lines().filter_map(|line| line.split('=').next());
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        assert_eq!(names, ["LC_ALL", "PATH"]);
    }

    #[test]
    #[should_panic(expected = "stdout: begun")]
    fn what_hangs_is_ended_and_what_it_said_is_shown() {
        shell("echo begun; exec sleep 600")
            .limit(Duration::from_millis(300))
            .run();
    }
}
