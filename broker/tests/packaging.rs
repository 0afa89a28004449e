//! What stands in `packaging/`: the script that stops servers.
#![allow(clippy::unwrap_used, reason = "a test may fail where it stands")]

#[path = "common/process.rs"]
mod process;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use process::{MQSERVER, Process, output};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/mqshutdown");

/// `mqshutdown` on a machine that has these processes, a line each.
fn mqshutdown(bin: &Path, processes: &str) -> Command {
    let ps = bin.join("ps");
    std::fs::write(&ps, format!("#!/bin/sh\nprintf '{processes}'\n")).unwrap();
    std::fs::set_permissions(&ps, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("sh");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    command.arg(SCRIPT).env("PATH", path);
    command
}

#[test]
fn mqshutdown_stops_what_is_named_with_javas_words() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(MQSERVER);
    let mut server = Process::start(command.args(["--temp", "--port", "0"]));
    assert!(server.line().contains("ready"));
    let id = server.child.id();
    let processes = format!("    1 init\\n{id} mqserver\\n 77 mqserverx\\n");
    let (said, code) = output(mqshutdown(directory.path(), &processes).arg("server"));
    let expected =
        format!("The mqserver({id}) is running...\nSend shutdown request to mqserver({id}) OK\n");
    assert_eq!((said.as_str(), code), (expected.as_str(), Some(0)));
    let (status, _, _) = server.ended();
    assert!(status.success());

    for (what, expected) in
        [("broker", "No mqbroker running.\n"), ("namesrv", "No mqnamesrv running.\n")]
    {
        let (said, code) = output(mqshutdown(directory.path(), "1 init\\n").arg(what));
        assert_eq!((said.as_str(), code), (expected, Some(1)));
    }
    let (said, code) = output(mqshutdown(directory.path(), "").arg("all"));
    assert!(said.starts_with("Usage: ") && code == Some(1), "{said}");
}
