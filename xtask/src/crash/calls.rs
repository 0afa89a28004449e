//! One call to the disk after the other fails, under sends.
//!
//! The server may stop acknowledging, or refuse to start, but must not panic or die, and after a
//! restart without the fault everything acknowledged is there. Needs a server with the feature
//! `faults`.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::load::Load;
use super::server::Server;
use super::{Args, Random, TOPIC, audit, print_lost};

const CALLS: [&str; 8] =
    ["pwrite", "fdatasync", "fallocate", "rename", "open", "ftruncate", "mmap", "unlink"];
const ERRORS: [&str; 4] = ["EIO", "ENOSPC", "EINTR", "short"];
/// The call that fails is one of so many first ones.
const CALL_MAX: u64 = 200;
const LOAD: Duration = Duration::from_millis(250);

/// Fails `cycles` calls of each kind with each error; true if it held.
pub fn run(args: &Args, flush: &str, binary: &Path, random: &mut Random) -> Result<bool> {
    let (mut acknowledged, mut lost, mut refused, mut dead) = (0, 0, 0, 0);
    for call in CALLS {
        for error in ERRORS {
            for _ in 0..args.cycles {
                let rule = format!("{call}:{}:{error}", 1 + random.below(CALL_MAX));
                let mut server = Server::prepare(binary, flush, "")?;
                server.faults.clone_from(&rule);
                let started = server.start().is_ok();
                let said = server.said();
                if !said.contains("disk faults are on") {
                    println!("left out: Calls: the server is not built with the feature faults");
                    return Ok(true);
                }
                let mut acks = Vec::new();
                if started {
                    let mut load = Load::own(&server.broker(), TOPIC, args.producers)?;
                    load.collect(LOAD)?;
                    load.pause();
                    acks = load.acks();
                    drop(load);
                    if server.kill().is_err() {
                        println!("{rule}: the server died\n{}", server.said());
                        dead += 1;
                    }
                } else {
                    refused += 1;
                }
                let said = server.said();
                if said.contains("panicked") {
                    println!("{rule}: a panic\n{said}");
                    dead += 1;
                }
                server.faults.clear();
                server.start()?;
                acknowledged += acks.len();
                let gone = print_lost(&audit::lost(&server.broker(), TOPIC, &acks)?);
                if gone > 0 {
                    println!("{rule}: {gone} lost");
                }
                lost += gone;
            }
        }
    }
    let runs = CALLS.len() * ERRORS.len() * args.cycles as usize;
    println!(
        "{flush}: {runs} failing calls, {refused} starts refused, {dead} deaths or panics; \
         {acknowledged} acknowledged, {lost} lost"
    );
    Ok(lost == 0 && dead == 0)
}
