//! The load generator: one thread, one epoll, no allocation per message, every answer checked.
//!
//! ```text
//! mod ─ args ─ what to do                     driver ─ the loop: pump, wait, read, write
//!       setup ─ route, topic, offsets           send, pull, e2e, routes, create, crowd, cold,
//!                                                 transaction, beside ─ loads that it runs
//!       compare, rows ─ rows × targets × rounds links, poller ─ sockets; template, answer ─ bytes
//!       floor ─ the stub to measure against     tally, watch, soak, process, report ─ figures
//! ```

mod answer;
mod args;
mod ballast;
mod beside;
mod cold;
mod compare;
mod create;
mod crowd;
mod driver;
mod e2e;
mod floor;
mod links;
mod poller;
mod process;
mod pull;
mod report;
mod routes;
mod rows;
mod send;
mod setup;
mod soak;
mod tally;
mod template;
#[cfg(test)]
mod tests;
mod transaction;
mod watch;

pub use args::Command;

/// Carries out a command line.
pub fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Send(send) => report::print(&send.common, &send::measure(&send)?),
        Command::Pull(pull) => report::print(&pull.common, &pull::measure(&pull)?),
        Command::E2e(e2e) => report::print(&e2e.common, &e2e::measure(&e2e)?),
        Command::Routes(routes) => report::print(&routes.common, &routes::measure(&routes)?),
        Command::Create(create) => report::print(&create.common, &create::measure(&create)?),
        Command::Crowd(crowd) => report::print(&crowd.common, &crowd::measure(&crowd)?),
        Command::Cold(cold) => report::print(&cold.pull.common, &cold::measure(&cold)?),
        Command::Transaction(args) => report::print(&args.common, &transaction::measure(&args)?),
        Command::Compare(compare) => compare::run(&compare),
        Command::Floor(floor) => {
            let mut server = floor::Floor::bind(&floor)?;
            println!("ready {} {}", server.address()?, std::process::id());
            server.serve()
        }
    }
}
