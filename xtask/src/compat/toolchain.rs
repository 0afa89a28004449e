//! The client programs: Java classes per client version and the Go binary, built on demand.
//!
//! Class paths come from Maven, once; they and everything built stay in `target/compat`.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace;

/// The released Java servers that the control runs.
pub const CONTROL_VERSION: &str = "5.3.3";

/// A client that scenarios run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The Java client of one release.
    Java(&'static str),
    /// The Go client that compat-tests/go/go.mod names.
    Go,
}

impl Client {
    /// Every client of the matrix, in the order in which they run.
    pub const ALL: &'static [Self] = &[
        Self::Java("5.3.3"),
        Self::Java("4.9.7"),
        Self::Java("5.1.4"),
        Self::Java("5.5.0"),
        Self::Go,
    ];
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Java(version) => f.write_str(version),
            Self::Go => f.write_str("go"),
        }
    }
}

/// A client program that is ready to be started.
pub struct Program {
    /// Which client it is.
    pub client: Client,
    /// What to execute, without scenario names.
    pub argv: Vec<String>,
    /// The Go program, for Java scenarios that need a Go peer.
    pub go_peer: Option<PathBuf>,
}

/// Which of the tools the machine has.
pub struct Toolchain {
    java: bool,
    maven: bool,
    go: bool,
}

impl Toolchain {
    /// Looks for the tools on the search path.
    pub fn find() -> Self {
        Self {
            java: workspace::has_tool("javac", &["-version"]),
            maven: workspace::has_tool("mvn", &["-version"]),
            go: workspace::has_tool("go", &["version"]),
        }
    }

    /// The clients that cannot run, with the tool that they miss.
    pub fn missing(&self, control: bool, clients: &[Client]) -> Vec<(Client, &'static str)> {
        let needs_java = |client| control || matches!(client, Client::Java(_));
        let lacking = |client: Client| match client {
            client if needs_java(client) && !self.java => Some("a JDK"),
            client if needs_java(client) && !self.maven => Some("Maven"),
            Client::Go if !self.go => Some("Go"),
            _ => None,
        };
        clients.iter().filter_map(|client| Some((*client, lacking(*client)?))).collect()
    }

    /// Builds the scenario program of `client`.
    pub fn prepare(&self, client: Client) -> Result<Program> {
        let go_peer = if self.go { Some(build_go()?) } else { None };
        let argv = match (client, &go_peer) {
            (Client::Java(version), _) => java_argv(version)?,
            (Client::Go, Some(binary)) => vec![text(binary)],
            (Client::Go, None) => unreachable!("a missing tool leaves its client out"),
        };
        Ok(Program { client, argv, go_peer })
    }

    /// The class path of Testcontainers.
    pub fn testcontainers_class_path(&self) -> Result<String> {
        class_path("testcontainers", "1")
    }

    /// The class path of the Java servers of `version`.
    pub fn server_class_path(&self, version: &str) -> Result<String> {
        class_path("server", version)
    }
}

/// The folder of everything that this command builds and keeps.
pub fn cache() -> PathBuf {
    workspace::target().join("compat")
}

/// The folder of what the processes of the last run said.
pub fn logs() -> PathBuf {
    cache().join("logs")
}

/// Options every JVM of the suite is started with: small, quick to start, quiet.
pub fn jvm_options() -> Vec<String> {
    let home = cache().join("home");
    [
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Xshare:auto",
        "-Djava.net.preferIPv4Stack=true",
        &format!("-Duser.home={}", home.display()),
        // 5.x ships its own copy of the logging library, with a property of its own.
        "-Drocketmq.client.logUseSlf4j=false",
        "-Drocketmq.client.logLevel=ERROR",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn java_argv(version: &str) -> Result<Vec<String>> {
    let jars = class_path("client", version)?;
    let source = workspace::root().join("compat-tests/java");
    let classes = compile(&source, version, &jars)?;
    let resources = source.join("resources");
    let mut argv = vec!["java".to_owned(), "-Xmx900m".to_owned()];
    argv.extend(jvm_options());
    argv.push("-cp".to_owned());
    argv.push(format!("{}:{}:{jars}", text(&classes), text(&resources)));
    argv.push("compat.Main".to_owned());
    Ok(argv)
}

fn compile(source: &Path, version: &str, jars: &str) -> Result<PathBuf> {
    let shim = if version.starts_with('4') { "shim-4" } else { "shim-5" };
    let mut files = Vec::new();
    for tree in ["src", shim] {
        java_files(&source.join(tree), &mut files)?;
    }
    let classes = cache().join(format!("classes-{version}"));
    if is_newer(&classes, &files) {
        return Ok(classes);
    }
    if classes.exists() {
        fs::remove_dir_all(&classes)?;
    }
    fs::create_dir_all(&classes)?;
    let mut javac = Command::new("javac");
    javac.args(["-nowarn", "-Xlint:none", "-proc:none", "--release", "11", "-cp", jars, "-d"]);
    workspace::run(javac.arg(&classes).args(&files))
        .inspect_err(|_| drop(fs::remove_dir_all(&classes)))
        .with_context(|| format!("scenarios do not compile against client {version}"))?;
    Ok(classes)
}

/// True if `classes` was made after the last change of every one of `files`.
fn is_newer(classes: &Path, files: &[PathBuf]) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    let Some(made) = modified(&classes.join("compat")) else { return false };
    files.iter().all(|file| modified(file).is_some_and(|changed| changed < made))
}

fn java_files(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            java_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "java") {
            files.push(path);
        }
    }
    Ok(())
}

fn class_path(side: &str, version: &str) -> Result<String> {
    let pom = workspace::root().join(format!("compat-tests/java/{side}.xml"));
    let file = cache().join(format!("{side}-{version}.classpath"));
    if let Ok(known) = fs::read_to_string(&file)
        && known.split(':').all(|jar| Path::new(jar).exists())
        && is_newer_file(&file, &pom)
    {
        return Ok(known);
    }
    fs::create_dir_all(cache())?;
    // Maven leaves a file alone whose text would not change, and so its time stamp.
    drop(fs::remove_file(&file));
    println!("resolving {side} {version} with Maven");
    let mut maven = Command::new("mvn");
    maven.args(["-q", "-B", "-f"]).arg(&pom);
    maven.arg(format!("-Drocketmq.version={version}"));
    maven.arg("dependency:build-classpath").arg(format!("-Dmdep.outputFile={}", file.display()));
    workspace::run(&mut maven)?;
    fs::read_to_string(&file).context("Maven wrote no class path")
}

fn is_newer_file(file: &Path, than: &Path) -> bool {
    let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    modified(file) > modified(than)
}

fn build_go() -> Result<PathBuf> {
    let binary = cache().join("compat-go");
    let mut go = Command::new("go");
    go.current_dir(workspace::root().join("compat-tests/go"));
    go.arg("build").arg("-o").arg(&binary).arg(".");
    workspace::run(&mut go).context("the Go scenarios do not build")?;
    Ok(binary)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
