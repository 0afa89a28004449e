//! Routes: what clients ask a name server for every topic they use, again and again.

use std::rc::Rc;

use anyhow::{Result, ensure};
use remoting::protocol::code::RequestCode;
use remoting::protocol::header::GetRouteInfoRequestHeader;

use super::args::RoutesArgs;
use super::driver::drive;
use super::report::Outcome;
use super::send::{Send, topics};
use super::setup;
use super::template::Template;

/// Measures route queries.
pub fn measure(args: &RoutesArgs) -> Result<Outcome> {
    ensure!(args.connections > 0 && args.window > 0 && args.topics > 0);
    let common = &args.common;
    let topics = topics(&common.topic, args.topics);
    // Held to the end: with it the topics go.
    let _broker = setup::register(&common.namesrv, &topics, common.queues)?;
    let route = |topic: &String| {
        let accept_standard_json_only = Some(true);
        let header = GetRouteInfoRequestHeader { topic: topic.clone(), accept_standard_json_only };
        let encoding = common.encoding.encoding();
        Template::new(RequestCode::GetRouteinfoByTopic, &header, Rc::new([]), encoding)
    };
    let templates = topics.iter().map(route).collect::<Result<_>>()?;
    let mut load = Send::new(args.connections, args.window, templates);
    drive(common, &common.namesrv, args.connections, &mut load)
}
