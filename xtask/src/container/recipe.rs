//! The Testcontainers recipe of the README: compiled against Testcontainers, and asked what it
//! wants of a container. To start one takes a daemon.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::compat::{self, Toolchain};
use crate::workspace;

/// What the recipe wants.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    /// Ports of the host and of the container.
    pub bindings: Vec<(u16, u16)>,
    /// Words behind the entry point.
    pub command: Vec<String>,
    /// A file of the container and its content.
    pub file: (String, String),
    /// Pattern of the line that says that it serves.
    pub wait: String,
}

impl Recipe {
    /// What it wants, as a reader of the README sees it.
    pub fn of_readme() -> Recipe {
        Recipe {
            bindings: vec![(9876, 9876), (10911, 10911)],
            command: ["-c", "/broker.conf"].map(str::to_owned).to_vec(),
            file: ("/broker.conf".to_owned(), "brokerIP1=127.0.0.1".to_owned()),
            wait: ".*\"event\":\"ready\".*".to_owned(),
        }
    }
}

/// Compiles and runs it.
pub fn ask(tools: &Toolchain) -> Result<Recipe> {
    let jars = tools.testcontainers_class_path()?;
    let readme = fs::read_to_string(workspace::root().join("README.md"))?;
    let block = block(&readme).context("README.md has no recipe for Testcontainers")?;
    let frame = workspace::root().join("compat-tests/java/recipe/Recipe.java");
    let source = fs::read_to_string(frame)?.replace("// RECIPE", block);
    let folder = compat::cache().join("recipe");
    fs::create_dir_all(&folder)?;
    let file = folder.join("Recipe.java");
    fs::write(&file, source)?;
    let mut javac = Command::new("javac");
    javac.args(["-nowarn", "-Xlint:none", "-proc:none", "-cp", &jars, "-d"]).arg(&folder);
    workspace::run(javac.arg(&file)).context("the recipe does not compile")?;
    let path = format!("{}:{jars}", folder.display());
    let output = Command::new("java").args(["-cp", &path, "Recipe"]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    parse(&said)
}

/// The code between the fences.
fn block(readme: &str) -> Option<&str> {
    let blocks = readme.split("```java\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.into_iter().find(|block| block.contains("GenericContainer"))
}

fn parse(said: &str) -> Result<Recipe> {
    let mut recipe = Recipe::default();
    for line in said.lines() {
        match line.split_once(' ') {
            Some(("BINDING", text)) => {
                let ports = text.trim_end_matches("/tcp").split_once(':').context("ports")?;
                recipe.bindings.push((ports.0.parse()?, ports.1.parse()?));
            }
            Some(("COMMAND", text)) => {
                recipe.command = text.split(' ').map(str::to_owned).collect();
            }
            Some(("FILE", text)) => {
                let (path, content) = text.split_once(' ').context("a file")?;
                recipe.file = (path.to_owned(), content.to_owned());
            }
            Some(("WAIT", text)) => text.clone_into(&mut recipe.wait),
            _ => {}
        }
    }
    Ok(recipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_is_read() {
        let said = "BINDING 1:2/tcp\nCOMMAND -c /f\nFILE /f a=b c\nWAIT .*x.*\nelse\n";
        let recipe = parse(said).unwrap();
        assert_eq!(recipe.bindings, [(1, 2)]);
        assert_eq!(recipe.command, ["-c", "/f"]);
        assert_eq!(recipe.file, ("/f".to_owned(), "a=b c".to_owned()));
        assert_eq!(recipe.wait, ".*x.*");
    }

    #[test]
    fn the_readme_has_one() {
        let readme = fs::read_to_string(workspace::root().join("README.md")).unwrap();
        let block = block(&readme).unwrap();
        let Recipe { bindings, command, file: (path, content), wait } = Recipe::of_readme();
        let ports = bindings.iter().map(|(host, own)| format!("({host}, {own})"));
        let rest =
            [format!("{:?}, {:?}", command[0], command[1]), path, content, format!("{wait:?}")];
        for part in ports.chain(rest) {
            assert!(block.contains(&part), "{part}");
        }
    }
}
