//! What `packaging/Containerfile` says, as far as it can be done without an image builder.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// Where the sources are built in the first stage.
const BUILT: &str = "/src/target/dist/";

/// What the last stage makes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Arguments of the `cargo` that builds.
    pub build: Vec<String>,
    /// Directories that the first stage makes.
    made: Vec<String>,
    copies: Vec<Copy>,
    /// User and group.
    pub user: (u32, u32),
    /// Environment.
    pub environment: Vec<(String, String)>,
    /// Directory of the volume.
    pub volume: String,
    /// Declared ports.
    pub ports: Vec<u16>,
    /// The signal that stops it.
    pub stop_signal: String,
    /// The command.
    pub entry_point: Vec<String>,
}

/// Files and a directory that they go to.
#[derive(Debug, PartialEq, Eq)]
struct Copy {
    from: Vec<String>,
    to: String,
    owner: Option<(u32, u32)>,
}

impl Image {
    /// Reads the text of a container file.
    pub fn parse(text: &str) -> Result<Image> {
        let mut image = Image::default();
        let joined = text.replace("\\\n", " ");
        for line in joined.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (word, rest) = line.split_once(' ').with_context(|| line.to_owned())?;
            image.take(word, rest).with_context(|| line.to_owned())?;
        }
        Ok(image)
    }

    fn take(&mut self, word: &str, rest: &str) -> Result<()> {
        let words: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
        match word {
            // The tools of the first stage are those of this machine.
            "FROM" | "WORKDIR" => {}
            "RUN" => match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["cargo", ..] => self.build = words[1..].to_vec(),
                ["mkdir", "-p", ..] => self.made = words[2..].to_vec(),
                ["apk", ..] => {}
                _ => bail!("nobody can do this here"),
            },
            "COPY" if rest == ". ." => {}
            "COPY" => self.copies.push(copy(&words)?),
            "USER" => self.user = pair(rest)?,
            "ENV" => {
                for setting in words {
                    let (name, value) = setting.split_once('=').context("NAME=VALUE")?;
                    self.environment.push((name.to_owned(), value.to_owned()));
                }
            }
            "VOLUME" => rest.clone_into(&mut self.volume),
            "EXPOSE" => self.ports = words.iter().map(|w| w.parse()).collect::<Result<_, _>>()?,
            "STOPSIGNAL" => rest.clone_into(&mut self.stop_signal),
            "ENTRYPOINT" => self.entry_point = serde_json::from_str(rest)?,
            _ => bail!("unknown instruction"),
        }
        Ok(())
    }

    /// Makes the root directory of the image from what was built into `binaries`.
    pub fn lay_out(&self, binaries: &Path, root: &Path) -> Result<()> {
        for Copy { from, to, owner } in &self.copies {
            let to = below(root, to);
            fs::create_dir_all(&to)?;
            for path in from {
                if let Some(name) = path.strip_prefix(BUILT) {
                    let built = binaries.join(name);
                    fs::copy(&built, to.join(name)).with_context(|| built.display().to_string())?;
                    continue;
                }
                let made: Vec<&str> =
                    self.made.iter().filter_map(|d| d.strip_prefix(path.as_str())).collect();
                ensure!(!made.is_empty(), "nothing makes {path}");
                for directory in made {
                    let directory = to.join(directory);
                    fs::create_dir_all(&directory)?;
                    if let Some((user, group)) = owner {
                        chown(&directory, Some(*user), Some(*group))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A path of the image on this machine.
pub fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn copy(words: &[String]) -> Result<Copy> {
    let (options, paths): (Vec<&String>, Vec<&String>) =
        words.iter().partition(|word| word.starts_with("--"));
    let owner = options.iter().find_map(|option| option.strip_prefix("--chown="));
    let (to, from) = paths.split_last().context("nothing to copy")?;
    let from = from.iter().map(|path| (*path).clone()).collect();
    Ok(Copy { from, to: (*to).clone(), owner: owner.map(pair).transpose()? })
}

fn pair(text: &str) -> Result<(u32, u32)> {
    let (user, group) = text.split_once(':').context("USER:GROUP")?;
    Ok((user.parse()?, group.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_understood() {
        let path = crate::workspace::root().join("packaging/Containerfile");
        let image = Image::parse(&fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(image.build[..3], ["build", "--locked", "--profile"]);
        assert_eq!(image.entry_point, ["mqserver", "--data", "/data"]);
        assert_eq!((image.user, image.volume.as_str()), ((65532, 65532), "/data"));
        assert_eq!(image.ports, [9876, 10911, 10909, 5557]);
        assert_eq!(image.copies.len(), 2);
        assert!(image.environment.contains(&("HOME".to_owned(), "/data".to_owned())));
        assert!(Image::parse("HEALTHCHECK CMD x").is_err());
    }
}
