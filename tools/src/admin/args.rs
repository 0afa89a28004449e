//! Command lines in the shapes that Java's mqadmin takes, made into clap's.
//!
//! `-x v`, `-xv`, `-x=v`, `--long v`, `--long=v`, `-long v`, unambiguous beginnings of a long name,
//! flags in a bundle (`-ac`); command names in any case. Words that belong to no option are left
//! out, and of an option that comes twice the first counts. Commands with words or verbs of their
//! own (`store check DIR`) have no counterpart in Java and pass as they are.

use std::collections::HashSet;

use clap::{Arg, Command};

/// A first word that names no command.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownCommand(pub String);

/// Makes a command line (without the program's name) into one that clap reads.
///
/// `root` must have been built, so that commands know the options that all have.
pub fn to_clap(words: &[String], root: &Command) -> Result<Vec<String>, UnknownCommand> {
    let mut out = Vec::with_capacity(words.len());
    let mut at = 0;
    while let Some(word) = words.get(at).filter(|word| word.starts_with('-')) {
        at += 1;
        out.push(word.clone());
        let arg = matches(root, word.trim_start_matches('-')).next();
        if arg.is_some_and(takes_value) && !word.contains('=') {
            out.extend(words.get(at).cloned());
            at += 1;
        }
    }
    let Some(word) = words.get(at) else { return Ok(out) };
    let rest = &words[at + 1..];
    if word.eq_ignore_ascii_case("help") {
        out.push("help".to_owned());
        if let Some(name) = rest.first() {
            out.push(named(root, name)?.get_name().to_owned());
            out.extend(rest[1..].iter().cloned());
        }
        return Ok(out);
    }
    let command = named(root, word)?;
    out.push(command.get_name().to_owned());
    if command.has_subcommands() || command.get_positionals().next().is_some() {
        out.extend_from_slice(rest);
    } else {
        Reader { command, seen: HashSet::new(), out: &mut out }.read(rest);
    }
    Ok(out)
}

fn named<'a>(root: &'a Command, name: &str) -> Result<&'a Command, UnknownCommand> {
    root.get_subcommands()
        .find(|command| command.get_name().eq_ignore_ascii_case(name))
        .ok_or_else(|| UnknownCommand(name.to_owned()))
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// The options that a name, with or without a value behind `=`, stands for: one exactly, or some
/// by their beginning. An option that Java does not have is never meant by a beginning.
fn matches<'a>(command: &'a Command, name: &str) -> impl Iterator<Item = &'a Arg> {
    let name = name.split('=').next().unwrap_or_default().trim().to_owned();
    let java = |arg: &Arg| !arg.is_global_set() || arg.get_long() == Some("namesrvAddr");
    let fits = move |arg: &Arg, exact: bool| {
        let mut longs = arg.get_long_and_visible_aliases().unwrap_or_default();
        longs.extend(arg.get_all_aliases().unwrap_or_default());
        longs.iter().any(|long| *long == name || (!exact && java(arg) && long.starts_with(&name)))
    };
    let exact = command.get_arguments().any(|arg| fits(arg, true));
    command.get_arguments().filter(move |arg| fits(arg, exact))
}

/// Reads the options of one command.
struct Reader<'a> {
    command: &'a Command,
    seen: HashSet<String>,
    out: &'a mut Vec<String>,
}

impl<'a> Reader<'a> {
    fn read(&mut self, words: &[String]) {
        let mut at = 0;
        while let Some(word) = words.get(at) {
            at += 1;
            if word == "--" {
                return;
            }
            if word.len() < 2 || !word.starts_with('-') {
                continue;
            }
            let Some((arg, value)) = self.option(word) else { continue };
            let next = words.get(at).filter(|next| takes_value(arg) && !self.is_option(next));
            let value = match (value, next) {
                (None, Some(next)) => {
                    at += 1;
                    Some(next.clone())
                }
                (value, _) => value,
            };
            self.push(arg, value);
        }
    }

    /// The option of a word and the value in it. A word that is none goes to clap, which says so;
    /// all flags of a bundle but the last are done.
    fn option(&mut self, word: &str) -> Option<(&'a Arg, Option<String>)> {
        let name = word.trim_start_matches('-');
        let value = name.split_once('=').map(|(_, value)| value.to_owned());
        let single = !word.starts_with("--");
        let mut letters = name.chars();
        let first = letters.next().and_then(|letter| self.short(letter)).filter(|_| single);
        if let Some(arg) = first.filter(|_| letters.as_str().is_empty() || value_only(&letters)) {
            return Some((arg, value));
        }
        let mut longs = matches(self.command, name);
        if let (Some(arg), None) = (longs.next(), longs.next()) {
            return Some((arg, value));
        }
        match first {
            Some(arg) if takes_value(arg) => Some((arg, Some(letters.as_str().to_owned()))),
            Some(arg) => {
                self.push(arg, None);
                self.option(&format!("-{}", letters.as_str()))
            }
            None => {
                self.out.push(word.to_owned());
                None
            }
        }
    }

    fn push(&mut self, arg: &Arg, value: Option<String>) {
        if !self.seen.insert(arg.get_id().to_string()) {
            return;
        }
        let name = arg.get_long().unwrap_or_default();
        self.out.push(match value {
            Some(value) => format!("--{name}={}", value.trim()),
            None => format!("--{name}"),
        });
    }

    fn short(&self, letter: char) -> Option<&'a Arg> {
        self.command.get_arguments().find(|arg| arg.get_short() == Some(letter))
    }

    /// Whether a word behind an option is one itself, not its value: it begins like one that the
    /// command has, and is no number.
    fn is_option(&self, word: &str) -> bool {
        let name = word.trim_start_matches('-');
        if !word.starts_with('-') || name.is_empty() || name.parse::<f64>().is_ok() {
            return false;
        }
        let letter = name.chars().next().filter(|_| !word.starts_with("--"));
        letter.is_some_and(|letter| self.short(letter).is_some())
            || matches(self.command, name).next().is_some()
    }
}

/// Whether nothing but `=` and a value follows the letter of an option.
fn value_only(rest: &std::str::Chars<'_>) -> bool {
    rest.as_str().starts_with('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> Command {
        let option = |short: char, long: &'static str| Arg::new(long).short(short).long(long);
        let flag =
            |short: char, long: &'static str| option(short, long).action(clap::ArgAction::SetTrue);
        let mut root = Command::new("mqadmin")
            .arg(option('n', "namesrvAddr").global(true))
            .arg(Arg::new("output").long("output").global(true))
            .subcommand(
                Command::new("updateTopic")
                    .arg(option('t', "topic"))
                    .arg(option('o', "order"))
                    .arg(option('a', "attributes"))
                    .arg(Arg::new("totalQueueNum").long("totalQueueNum").alias("qn"))
                    .arg(flag('c', "clusterModel"))
                    .arg(flag('m', "moreStats")),
            )
            .subcommand(Command::new("store").subcommand(Command::new("check")));
        root.build();
        root
    }

    fn read(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        match to_clap(&words, &root()) {
            Ok(words) => words.join(" "),
            Err(UnknownCommand(name)) => format!("unknown {name}"),
        }
    }

    #[test]
    fn every_shape_of_an_option_is_read() {
        for line in ["-t T", "-tT", "-t=T", "--topic T", "--topic=T", "-topic T", "--top T"] {
            assert_eq!(read(&format!("UPDATETOPIC {line}")), "updateTopic --topic=T", "{line}");
        }
        assert_eq!(read("updateTopic -cm"), "updateTopic --clusterModel --moreStats");
        assert_eq!(read("updateTopic -qn 8 -o -1"), "updateTopic --totalQueueNum=8 --order=-1");
        assert_eq!(read("updateTopic -a +k=v,+l=w"), "updateTopic --attributes=+k=v,+l=w");
        assert_eq!(read("updateTopic -a -k"), "updateTopic --attributes=-k");
        assert_eq!(read("updateTopic -a -o true"), "updateTopic --attributes --order=true");
        assert_eq!(read("updateTopic x -t A y -t B"), "updateTopic --topic=A");
        assert_eq!(read("updateTopic -t -o true"), "updateTopic --topic --order=true");
        assert_eq!(read("updateTopic --o true"), "updateTopic --order=true");
        assert_eq!(read("updateTopic --output json"), "updateTopic --output=json");
    }

    #[test]
    fn unknown_things_are_left_to_clap_or_named() {
        assert_eq!(read("updateTopic -z"), "updateTopic -z");
        assert_eq!(read("nothing -t T"), "unknown nothing");
        assert_eq!(read("help updatetopic"), "help updateTopic");
        assert_eq!(read("help nothing"), "unknown nothing");
    }

    #[test]
    fn options_before_the_command_and_own_verbs_pass() {
        assert_eq!(read("--output json updatetopic -t T"), "--output json updateTopic --topic=T");
        assert_eq!(read("-n a:1 store check -x"), "-n a:1 store check -x");
    }
}
