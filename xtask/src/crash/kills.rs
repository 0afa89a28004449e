//! kill -9 at random instants, under sends.
//!
//! Every message that a producer was told to be stored must be readable at the queue offset it was
//! told, with its own id and body, after each restart, and again before the directory is renewed.
//! Segments are small, so that rolls fall into the cycles.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::load::Load;
use super::producers::Ack;
use super::server::Server;
use super::{Args, LoadKind, RESTART_MAX, Random, TOPIC, audit, print_lost};

/// A directory is given up after so many cycles, so that it does not fill the disk.
const RENEW: u32 = 25;

/// Runs the cycles of one flush mode; true if nothing was lost and every restart was quick.
pub fn run(
    args: &Args,
    flush: &str,
    binary: &Path,
    java: &[String],
    random: &mut Random,
) -> Result<bool> {
    let mut server = Server::prepare(binary, flush, "")?;
    server.start()?;
    let mut load = match args.load {
        LoadKind::Java => Load::java(java, &server.name_server(), TOPIC, args.producers)?,
        LoadKind::Own => Load::own(&server.broker(), TOPIC, args.producers)?,
    };
    let mut kept: Vec<Ack> = Vec::new();
    let mut restarts = Vec::new();
    let (mut acknowledged, mut lost) = (0, 0);
    for cycle in 1..=args.cycles {
        load.wait_first()?;
        load.collect(Duration::from_millis(args.load.after_ms(random)))?;
        server.kill()?;
        let start = Instant::now();
        server.start()?;
        restarts.push(start.elapsed());
        load.pause();
        let acks = load.acks();
        acknowledged += acks.len();
        lost += print_lost(&audit::lost(&server.broker(), TOPIC, &acks)?);
        kept.extend(acks);
        if cycle % RENEW == 0 && args.load == LoadKind::Own {
            lost += print_lost(&audit::lost(&server.broker(), TOPIC, &kept)?);
            kept.clear();
            server.stop()?;
            server.clear()?;
            server.start()?;
            println!("{flush}: {cycle} kills, {acknowledged} acknowledged, {lost} lost");
        }
        load.resume();
    }
    drop(load);
    let clean = server.stop()?;
    restarts.sort();
    let slowest = restarts.last().copied().unwrap_or_default();
    let at = |part: usize| restarts.get(restarts.len() * part / 100).copied().unwrap_or_default();
    println!(
        "{flush}: {} kills, {acknowledged} acknowledged, {lost} lost; restart median {:.0?}, p99 \
         {:.0?}, slowest {slowest:.0?}; clean stop {clean:.0?}",
        args.cycles,
        at(50),
        at(99)
    );
    let enough = acknowledged > args.cycles as usize;
    if !enough {
        println!("{flush}: too few acknowledgements to say anything");
    }
    if slowest > RESTART_MAX {
        println!("{flush}: a restart took longer than {RESTART_MAX:?}");
    }
    Ok(lost == 0 && enough && slowest <= RESTART_MAX)
}
