//! `cargo xtask container`: what `packaging/` promises, where neither an image builder nor systemd
//! is there. The image of the container file is laid out in a directory, from static binaries
//! built as it says, and run as its user in namespaces of its own; so are the commands of the
//! units. A Java client sends and consumes in each, or our own `mqadmin`.
//!
//! Not shown: the build in an image, a container runtime, systemd itself.

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::compat::{Client, Toolchain};
use crate::workspace;

mod containerfile;
mod image;
mod jail;
mod recipe;
mod units;

use containerfile::Image;
use jail::Jailed;
use recipe::Recipe;

/// The target whose binaries need nothing of a machine.
const TARGET: &str = "x86_64-unknown-linux-musl";
const CLIENT: &str = "5.3.3";
const NAME_SERVER: &str = "127.0.0.1:9876";
const TOPIC: &str = "RoundTrip";

/// Options of `cargo xtask container`.
#[derive(clap::Args)]
pub struct Args {
    /// Folder that holds the static binaries; without it they are built as the container file says
    #[arg(long)]
    bin: Option<PathBuf>,
    /// Send and consume with the image's own mqadmin, and leave the recipe of the README out
    #[arg(long)]
    without_java: bool,
}

/// Runs both; needs root, for namespaces and users.
pub fn run(args: &Args) -> Result<bool> {
    let tools = Toolchain::find();
    let client = Client::Java(CLIENT);
    let own = std::fs::metadata("/proc/self")?;
    ensure!(own.uid() == 0, "namespaces, users and mounts need root");
    for tool in ["unshare", "nsenter", "setpriv", "ip", "curl", "systemd-analyze"] {
        let is_there = ["--version", "-V"].iter().any(|word| workspace::has_tool(tool, &[word]));
        ensure!(is_there, "{tool} is not installed");
    }
    if let Some((_, tool)) = tools.missing(false, &[client]).first()
        && !args.without_java
    {
        ensure!(!workspace::is_ci(), "CI needs {tool}");
        println!("left out: the container and the units, because {tool} is not installed");
        return Ok(true);
    }
    let text = std::fs::read_to_string(workspace::root().join("packaging/Containerfile"))?;
    let image = Image::parse(&text).context("Containerfile")?;
    let binaries = match &args.bin {
        Some(folder) => folder.clone(),
        None => build(&image)?,
    };
    let (recipe, java) = match args.without_java {
        true => (Recipe::of_readme(), RoundTrip { java: None }),
        false => {
            let recipe = recipe::ask(&tools).context("the recipe for Testcontainers")?;
            println!("recipe: compiles against Testcontainers, {recipe:?}");
            (recipe, RoundTrip { java: Some(tools.prepare(client)?.argv) })
        }
    };
    let home = || TempDir::with_prefix("container-");
    let shown = image::check((&image, &binaries), &recipe, home()?.path(), &java);
    println!("{}", shown.context("container")?);
    println!("{}", units::check(&binaries, home()?.path(), &java).context("units")?);
    Ok(true)
}

/// Builds the static binaries; returns their folder.
fn build(image: &Image) -> Result<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(workspace::root()).args(&image.build).args(["--target", TARGET]);
    workspace::run(&mut cargo).context("the static binaries do not build")?;
    Ok(workspace::target().join(TARGET).join("dist"))
}

/// A client that sends and consumes beside a server.
pub struct RoundTrip {
    /// The command of the Java scenario program; without it our own tool does it.
    java: Option<Vec<String>>,
}

impl RoundTrip {
    /// Runs it in the network of a server; `user` is that of the server.
    fn run(&self, server: &Jailed, user: (u32, u32), messages: u32) -> Result<()> {
        let Some(java) = &self.java else { return own_tool(server, user, messages) };
        let mut argv = java.clone();
        let main = argv.last_mut().context("no Java command")?;
        *main = "compat.RoundTrip".to_owned();
        argv.extend([NAME_SERVER, TOPIC, &messages.to_string()].map(str::to_owned));
        let output = server.in_network(&argv)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "Java: {said}");
        Ok(())
    }
}

/// Sends and reads with the `mqadmin` beside the server.
fn own_tool(server: &Jailed, user: (u32, u32), messages: u32) -> Result<()> {
    let tool =
        |line: &str| server.inside(user, &format!("/usr/bin/mqadmin {line} -n {NAME_SERVER}"));
    for number in 0..messages {
        tool(&format!("sendMessage -t {TOPIC} -p message-{number}"))?;
    }
    let printed = tool(&format!("printMsg -t {TOPIC}"))?;
    let read = |number: u32| printed.contains(&format!("BODY: message-{number}\n"));
    ensure!((0..messages).all(read), "not all messages came: {printed}");
    Ok(())
}

/// Whether somebody listens on a port of a server's network.
fn answers(server: &Jailed, port: u16) -> Result<bool> {
    let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
    let argv = ["bash", "-c", &script].map(str::to_owned);
    Ok(server.in_network(&argv)?.status.success())
}

/// The status that a path is answered with over HTTP.
fn http(server: &Jailed, port: u16, path: &str) -> Result<u16> {
    let url = format!("http://127.0.0.1:{port}{path}");
    let argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", &url].map(str::to_owned);
    let output = server.in_network(&argv)?;
    Ok(String::from_utf8_lossy(&output.stdout).parse()?)
}
