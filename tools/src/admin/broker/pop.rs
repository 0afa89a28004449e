//! `exportPopRecord`: lets brokers move the records of popping to their other store.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::NoHeader;
use serde::Serialize;

use super::config_of;
use crate::admin::client::{Admin, Target};
use crate::admin::output::Out;

/// How long a broker may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Lets brokers move the records of popping to their other store.
#[derive(Args, Debug)]
pub struct ExportPopRecord {
    #[command(flatten)]
    target: Target,
    /// Java's: only the value `false` makes a dry run. `--dry-run` always does.
    #[arg(short, long = "dryRun")]
    dry: Option<String>,
}

/// What came of one broker.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Exported {
    broker_name: String,
    broker_addr: String,
    dry_run: bool,
    error: Option<String>,
}

impl ExportPopRecord {
    /// Carries it out.
    pub async fn run(&self, admin: &Admin, out: &Out) -> Result<()> {
        // Java quirk: the sense of the option is turned round.
        let inverted = self.dry.as_ref().is_some_and(|text| text.eq_ignore_ascii_case("false"));
        let dry_run = out.dry_run || inverted;
        let mut failed = false;
        for address in self.target.all(admin).await? {
            let mut config = config_of(admin, &address).await?;
            let code = RequestCode::PopRollback;
            let error = match dry_run {
                true => None,
                false => admin.ask_within(&address, code, &NoHeader, &[], TIMEOUT).await.err(),
            };
            failed |= error.is_some();
            out.item(&Exported {
                broker_name: config.remove("brokerName").unwrap_or_default(),
                broker_addr: address,
                dry_run,
                error: error.map(|error| format!("{error:#}")),
            })?;
        }
        if failed { bail!("records of popping were not exported everywhere") } else { Ok(()) }
    }
}

impl Display for Exported {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { broker_name, broker_addr, dry_run, error } = self;
        let mark = if error.is_some() { " error" } else { "" };
        writeln!(
            f,
            "Export broker records{mark}, brokerName={broker_name}, brokerAddr={broker_addr}, \
             dryRun={dry_run}"
        )?;
        error.iter().try_for_each(|error| writeln!(f, "{error}"))
    }
}
