//! Child processes that never outlive this command.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// A child that is killed when it is dropped.
pub struct Process {
    /// The child; its pipes are free to take.
    pub child: Child,
}

impl Process {
    /// Starts `argv`; what is not piped by `pipes` goes to the file `log`.
    pub fn start(argv: &[String], env: &[(&str, String)], log: &Path, pipes: bool) -> Result<Self> {
        Self::start_in(Path::new("."), argv, env, log, pipes)
    }

    /// Starts `argv` in the folder `dir`.
    pub fn start_in(
        dir: &Path,
        argv: &[String],
        env: &[(&str, String)],
        log: &Path,
        pipes: bool,
    ) -> Result<Self> {
        let (program, args) = argv.split_first().context("nothing to start")?;
        let file = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        let mut command = Command::new(program);
        command
            .current_dir(dir)
            .args(args)
            .envs(env.iter().map(|(key, value)| (*key, value.as_str())));
        if pipes {
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
        } else {
            command.stdin(Stdio::null()).stdout(file.try_clone()?);
        }
        let child = command.stderr(file).spawn();
        Ok(Self { child: child.with_context(|| format!("cannot start {program}"))? })
    }

    /// The exit status, if the child has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Asks the child to stop (SIGTERM) and waits for its end; without one it is killed.
    pub fn stop(mut self, patience: Duration) -> Result<ExitStatus> {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").arg(&pid).status()?;
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "no end within {patience:?} of SIGTERM");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only for a child that has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
