//! The systemd units of `packaging/`, by hand: their commands with their users, environments,
//! limits and directories, one root directory that is read-only otherwise.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::jail::{Jail, Jailed};
use super::{RoundTrip, http};
use crate::{compat, workspace};

/// Number of the user that the units name; any but root's.
const USER: u32 = 990;
const MESSAGES: u32 = 100;
const STOP_MAX: Duration = Duration::from_secs(2);
/// Start and reload wait for this.
const BOOT: &str = "boot success";
const HEALTH_PORT: u16 = 5559;

/// A unit file: values by key, those of a repeated key in order.
struct Unit(BTreeMap<String, Vec<String>>);

impl Unit {
    fn read(name: &str) -> Result<Unit> {
        let text = fs::read_to_string(workspace::root().join("packaging").join(name))?;
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((key, value)) = line.split_once('=') {
                values.entry(key.to_owned()).or_default().push(value.to_owned());
            }
        }
        Ok(Unit(values))
    }

    fn one(&self, key: &str) -> Result<&str> {
        let values = self.0.get(key).with_context(|| format!("no {key}"))?;
        Ok(&values[0])
    }

    /// The command, under the limit of open files.
    fn command(&self) -> Result<Vec<String>> {
        Ok(self.one("ExecStart")?.split(' ').map(str::to_owned).collect())
    }

    fn jail(&self, root: &Path, network_of: Option<u32>) -> Result<Jail> {
        for (key, value) in [
            ("User", "raptormq"),
            ("Group", "raptormq"),
            ("ProtectSystem", "strict"),
            ("ProtectHome", "yes"),
            ("PrivateTmp", "yes"),
            ("NoNewPrivileges", "yes"),
        ] {
            ensure!(self.one(key)? == value, "{key} is not {value}");
        }
        let mut environment = vec![("PATH".to_owned(), "/usr/bin".to_owned())];
        for setting in &self.0["Environment"] {
            let (name, value) = setting.split_once('=').context("NAME=VALUE")?;
            environment.push((name.to_owned(), value.to_owned()));
        }
        let mut writable = vec![format!("/var/lib/{}", self.one("StateDirectory")?)];
        writable.extend(self.one("ReadWritePaths")?.split(' ').map(str::to_owned));
        let state = |path: &String| (root.join(path.trim_start_matches('/')), path.clone());
        let mounts = writable.iter().map(state).collect();
        let root = root.to_owned();
        Ok(Jail { root, user: (USER, USER), environment, mounts, is_strict: true, network_of })
    }
}

/// Runs both, lets Java send and consume, reloads and stops them.
pub fn check(binaries: &Path, home: &Path, java: &RoundTrip) -> Result<String> {
    let root = home.join("root");
    lay_out(binaries, &root)?;
    verify(&root)?;
    let (namesrv, broker) = (Unit::read("mqnamesrv.service")?, Unit::read("mqbroker.service")?);
    let mut name_server = namesrv
        .jail(&root, None)?
        .start(&namesrv.command()?, &compat::cache().join("unit-n.log"))?;
    name_server.line(BOOT)?;
    let jail = broker.jail(&root, Some(name_server.pid))?;
    let log = compat::cache().join("unit-b.log");
    let mut server = jail.start(&broker.command()?, &log)?;
    server.line(BOOT)?;
    ensure!(server.status("Uid")? == [USER; 4].map(|id| id.to_string()).join(" "));
    ensure!(server.status("NoNewPrivs")? == "1");
    ensure!(http(&name_server, HEALTH_PORT, "/health/ready")? == 200);
    java.run(&server, (USER, USER), MESSAGES)?;
    // What a request changes is written where the unit permits it.
    let change = "mqadmin updateBrokerConfig -b 127.0.0.1:10911 -k fileReservedTime -v 48";
    server.inside((USER, USER), &format!("/usr/bin/{change}"))?;
    let file = root.join("etc/raptormq/broker.conf");
    let text = fs::read_to_string(&file)?;
    ensure!(text.contains("fileReservedTime=48"), "{text}");
    // ExecReload, and the line that is taken out.
    fs::write(&file, text.replace("fileReservedTime=48\n", ""))?;
    server.signal("HUP")?;
    server.line("changed=\"fileReservedTime\"")?;
    let broker_took = stop(server)?;
    let name_server_took = stop(name_server)?;
    fails(&broker, &jail, &file, &log)?;
    Ok(format!(
        "units: as user {USER} below read-only directories, {MESSAGES} messages, reload, stopped in \
         {} and {} ms",
        broker_took.as_millis(),
        name_server_took.as_millis()
    ))
}

fn lay_out(binaries: &Path, root: &Path) -> Result<()> {
    for directory in ["usr/bin", "etc/raptormq", "var/lib/raptormq"] {
        fs::create_dir_all(root.join(directory))?;
    }
    for program in ["mqbroker", "mqnamesrv", "mqadmin"] {
        fs::copy(binaries.join(program), root.join("usr/bin").join(program))
            .with_context(|| program.to_owned())?;
    }
    let settings = root.join("etc/raptormq");
    let own = "namesrvAddr=127.0.0.1:9876\nbrokerIP1=127.0.0.1\n";
    fs::write(settings.join("broker.conf"), own)?;
    fs::write(settings.join("namesrv.conf"), format!("healthPort={HEALTH_PORT}\n"))?;
    for path in ["etc/raptormq", "etc/raptormq/broker.conf", "var/lib/raptormq"] {
        chown(root.join(path), Some(USER), Some(USER))?;
    }
    Ok(())
}

/// `systemd-analyze verify` with the binaries in place, among the units of this machine.
fn verify(root: &Path) -> Result<()> {
    let mut names = Vec::new();
    fs::create_dir_all(root.join("etc/systemd/system"))?;
    for entry in fs::read_dir(workspace::root().join("packaging"))? {
        let path = entry?.path();
        if let Some(name) =
            path.file_name().filter(|_| path.extension().is_some_and(|e| e == "service"))
        {
            fs::copy(&path, root.join("etc/systemd/system").join(name))?;
            names.push(name.to_owned());
        }
    }
    fs::create_dir_all(root.join("usr/lib/systemd"))?;
    fs::create_dir_all(root.join("bin"))?;
    fs::copy("/bin/kill", root.join("bin/kill"))?;
    let units = root.join("usr/lib/systemd/system");
    workspace::run(Command::new("cp").args(["-a", "/usr/lib/systemd/system"]).arg(&units))?;
    let mut command = Command::new("systemd-analyze");
    let output =
        command.arg(format!("--root={}", root.display())).arg("verify").args(&names).output()?;
    let said = [output.stdout, output.stderr].concat();
    let found = String::from_utf8_lossy(&said);
    ensure!(output.status.success() && said.is_empty(), "systemd-analyze verify: {found}");
    Ok(())
}

fn stop(server: Jailed) -> Result<Duration> {
    let (status, took) = server.stop("TERM")?;
    ensure!(status.code() == Some(0) && took < STOP_MAX, "{status} after {took:?}");
    Ok(took)
}

/// A start that fails for its settings is none that systemd tries again.
fn fails(unit: &Unit, jail: &Jail, file: &Path, log: &Path) -> Result<()> {
    fs::write(file, "listenPort=x1\nbrokerRole=SLAVE\n")?;
    let jail = Jail {
        network_of: None,
        mounts: jail.mounts.clone(),
        root: jail.root.clone(),
        environment: jail.environment.clone(),
        ..*jail
    };
    let code = jail.start(&unit.command()?, log)?.ended()?.code().context("a signal")?.to_string();
    let prevented = unit.one("RestartPreventExitStatus")?;
    ensure!(prevented.split(' ').any(|one| one == code), "{code} is none of {prevented}");
    Ok(())
}
